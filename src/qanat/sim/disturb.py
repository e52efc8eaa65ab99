"""Makes the faults of a schedule happen, and end."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from qanat.core.ids import LinkId, SiteId
from qanat.core.topology import Network
from qanat.physics.attack import Attack, Cut
from qanat.sim.faults import ATTACKS, Fault, sentence
from qanat.sim.hub import SimulatedHub
from qanat.sim.modules import SimulatedModules
from qanat.sim.network import HUB, SimulatedNetwork
from qanat.sim.site import SimulatedSite
from qanat.sim.trace import Trace
from qanat.sim.world import World


class Disturber:
    """Knows every part of the world that a fault can touch."""

    def __init__(
        self,
        *,
        topology: Network,
        world: World,
        network: SimulatedNetwork,
        trace: Trace,
        sites: Mapping[SiteId, SimulatedSite],
        modules: Mapping[LinkId, SimulatedModules],
        hub: SimulatedHub,
        seed: bytes,
    ) -> None:
        self._topology, self._world, self._network, self._trace = topology, world, network, trace
        self._sites, self._modules, self._hub = sites, modules, hub
        self._random = random.Random(seed)
        self._losses: list[float] = []

    def plan(self, faults: Sequence[Fault]) -> None:
        """Let each begin and end at its time."""
        for fault in faults:
            self._world.at(fault.start_ns, lambda fault=fault: self._begin(fault))  # type: ignore[misc]

    def _begin(self, fault: Fault) -> None:
        self._trace.add("fault", " | ".join(fault.targets) or "network", sentence(fault, self._topology))
        stop = _STARTS[fault.kind](self, fault)
        if stop is not None:
            self._world.at(fault.end_ns, lambda: self._end(fault, stop))

    def _end(self, fault: Fault, stop: Callable[[], None]) -> None:
        self._trace.add("mended", " | ".join(fault.targets) or "network", fault.kind)
        stop()

    def _eve(self, fault: Fault) -> Callable[[], None]:
        return self._modules[LinkId(fault.targets[0])].attack(fault.attack)

    def _cut(self, fault: Fault) -> Callable[[], None]:
        dark: Attack = Cut()
        links = [link.id for link in self._topology.links.values() if link.fibre == fault.targets[0]]
        stops = [self._modules[link].attack(dark) for link in links]

        def mend() -> None:
            for stop in stops:
                stop()

        return mend

    def _crash(self, fault: Fault) -> None:
        """One of three ways to die, by chance: now, in one of the next commits, or with an answer on the lips."""
        site, down_ns = self._sites[SiteId(fault.targets[0])], fault.end_ns - fault.start_ns
        how = self._random.randrange(3)
        commits_left = self._random.randrange(4) if how == 1 else None
        site.crash(down_ns=down_ns, commits_left=commits_left, before_reply=how == 2)

    def _partition(self, fault: Fault) -> Callable[[], None]:
        a, b = (side.split("+") for side in fault.targets)
        join = self._network.part(a, b)

        def stop() -> None:
            join()
            for side, other in ((a, b), (b, a)):
                for name in side if HUB in other else ():
                    self._hub.resync(SiteId(name))

        return stop

    def _lossy(self, fault: Fault) -> Callable[[], None]:
        p_loss = fault.number or 0.0
        self._losses.append(p_loss)
        self._network.weather.p_loss = max(self._losses)

        def stop() -> None:
            self._losses.remove(p_loss)
            self._network.weather.p_loss = max(self._losses, default=0.0)

        return stop

    def _clock(self, fault: Fault) -> Callable[[], None]:
        site, shift_ns = self._sites[SiteId(fault.targets[0])], round(fault.number or 0)
        site.set_clock(site.clock_offset_ns + shift_ns)
        return lambda: site.set_clock(site.clock_offset_ns - shift_ns)


_STARTS: dict[str, Callable[[Disturber, Fault], Callable[[], None] | None]] = {
    **dict.fromkeys(ATTACKS, Disturber._eve),
    "cut": Disturber._cut,
    "crash": Disturber._crash,
    "partition": Disturber._partition,
    "lossy": Disturber._lossy,
    "clock": Disturber._clock,
}
