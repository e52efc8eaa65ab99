"""Links of the landmark networks, simulated for ``qanat reproduce``: read here, counted in ``sim``."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from qanat.core.errors import MisuseError
from qanat.core.ids import LinkId
from qanat.core.timebase import NS_PER_S

if TYPE_CHECKING:
    from qanat.core.topology import Network
    from qanat.plan.experiment import SimulatedLink

DURATION_S = 120
SEED = 1


def simulated_link(place: str) -> SimulatedLink:
    """Two minutes of link time on FILE/LINK, as `qanat sim FILE --duration 120s --seed 1` counts them.

    Raises:
        MisuseError: the network has no such link.
        EnvironmentProblem: there is no such file.
    """
    from qanat.plan.experiment import SimulatedLink  # noqa: PLC0415
    from qanat.sim.alone import link_totals  # noqa: PLC0415 - numpy only when it runs

    file, _, name = place.partition("/")
    network = _network(file)
    link = network.links.get(LinkId(name))
    if link is None:
        raise MisuseError(f"network {file} has no link {name}; it has {', '.join(network.links)}")
    totals = link_totals(network, link.id, duration_ns=DURATION_S * NS_PER_S, seed=SEED)
    return SimulatedLink(
        rate_bps=totals.secret_bits / DURATION_S,
        qber=totals.errors / totals.tests if totals.tests else 0.5,
        how=f"finite keys of {DURATION_S} s of simulated light; source {link.transmitter} at {link.clock_hz:g} Hz, "
        f"receiver {link.receiver}, as their datasheets say",
    )


@lru_cache
def _network(name: str) -> Network:
    from qanat.cli.check import load_network  # noqa: PLC0415
    from qanat.cli.place import shipped_network_path  # noqa: PLC0415

    return load_network(shipped_network_path(name))
