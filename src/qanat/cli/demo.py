"""`qanat demo`: starts the network, tells the story, and leaves it running unless told to end."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from qanat.cli.check import load_network
from qanat.cli.place import network_path
from qanat.cli.show import as_json_text, table
from qanat.cli.up import check_place, stop_on_sigterm

if TYPE_CHECKING:
    from qanat.core.topology import Network
    from qanat.node.demo.teller import Teller
    from qanat.node.statedir import StateDir
    from qanat.node.supervisor import Supervisor

MARK = "demo"


def demo(file: Path | None, *, state: Path | None, is_ending: bool, as_json: bool) -> int:
    """Exit code 0 when every claim was met, 1 when one was not."""
    from qanat.node.demo.story import cast  # noqa: PLC0415
    from qanat.node.demo.teller import Teller  # noqa: PLC0415
    from qanat.node.statedir import StateDir  # noqa: PLC0415
    from qanat.node.supervisor import Supervisor, running  # noqa: PLC0415
    from qanat.node.warm import warm_kernels  # noqa: PLC0415

    network = load_network(network_path(file))
    cast(network)  # a file without the two pairs is told at once
    stop_on_sigterm()
    place = StateDir(state) if state is not None else own_place(network.name)
    check_place(place)
    warm_kernels(lambda text: print(text, file=sys.stderr))
    teller = Teller(is_quiet=as_json)
    supervisor = Supervisor(network, place, is_isolated=True, say=lambda text: teller.say(f"  supervisor: {text}"))
    _opening(network, teller)
    with running(supervisor):
        page = f"http://127.0.0.1:{supervisor.ports.dashboard}/"
        teller.say(f"  {len(supervisor.children)} processes are up; live page {page}")
        _tell(network, place, supervisor, teller)
        _closing(teller, page, as_json=as_json, is_ending=is_ending)
        while not is_ending:
            supervisor.watch(0.5)
    return 0 if teller.is_met else 1


def own_place(network: str) -> StateDir:
    """``$QANAT_STATE``, or a directory of the demo's own that is empty at each start.

    What it claims of buffers and quarantine is about key of this run; key that an earlier one left goes out first.
    """
    from qanat.node.statedir import StateDir  # noqa: PLC0415

    place = StateDir.default(f"{network}-demo")
    mark = place.path / MARK
    if os.environ.get("QANAT_STATE"):
        return place
    if mark.exists():  # else somebody's network has that name
        check_place(place)
        shutil.rmtree(place.path)
    if not place.path.exists():
        place.prepare()
        mark.write_text("made by qanat demo, which empties this folder at its next start\n")
    return place


def _opening(network: Network, teller: Teller) -> None:
    lengths_km = [fibre.length_km for fibre in network.fibres.values()]
    clock_ghz = min(link.clock_hz for link in network.links.values()) / 1e9
    teller.step(1, f"the {network.name} network starts live")
    if network.is_simulation:
        teller.say("  the photons are SIMULATED; everything else is real: processes, TLS, stores, protocols")
    teller.say(
        f"  {len(network.sites)} sites, {len(network.links)} links of {min(lengths_km):g} to {max(lengths_km):g} km, "
        f"decoy-state BB84 at {clock_ghz:g} GHz, {len(network.saes)} applications"
    )


def _tell(network: Network, place: StateDir, supervisor: Supervisor, teller: Teller) -> None:
    from qanat.node.demo.stage import Stage  # noqa: PLC0415
    from qanat.node.demo.story import Story  # noqa: PLC0415

    story = Story(network, place, Stage(network, place, supervisor), teller)
    story.first_key()
    story.run()


def _closing(teller: Teller, page: str, *, as_json: bool, is_ending: bool) -> None:
    if as_json:
        as_json_text(teller.as_dict() | {"page": page})
        return
    teller.step(7, "summary")
    rows = [(str(check.step), "ok" if check.is_met else "FAIL", check.claim, check.measured) for check in teller.checks]
    table("", ("step", "", "claim", "measured"), rows)
    print(f"\n{'all claims met' if teller.is_met else 'SOME CLAIMS WERE NOT MET'} in {teller.elapsed_s:.0f} s")
    if not is_ending:
        print(f"live page {page}   (stop with Ctrl-C)", flush=True)
