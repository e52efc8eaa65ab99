"""`qanat up`: the network live until somebody stops it."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from qanat.cli.check import load_network
from qanat.cli.place import network_path

if TYPE_CHECKING:
    from qanat.node.statedir import StateDir


def stop_on_sigterm() -> None:
    """SIGTERM ends us as Ctrl-C does: through the same `finally`."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)


def check_place(place: StateDir) -> None:
    """Say what is wrong with the state directory before half a minute goes into compiling.

    Raises:
        EnvironmentProblem: it cannot be used, or a network runs from it.
    """
    place.prepare()
    with place.lock():
        pass


def up(file: Path | None, *, state: Path | None, is_isolated: bool, as_json: bool) -> int:
    from qanat.node.reach import open_doors  # noqa: PLC0415
    from qanat.node.statedir import StateDir  # noqa: PLC0415
    from qanat.node.supervisor import Supervisor, running  # noqa: PLC0415
    from qanat.node.warm import warm_kernels  # noqa: PLC0415

    network = load_network(network_path(file))
    place = StateDir(state) if state is not None else StateDir.default(network.name)
    stop_on_sigterm()
    check_place(place)
    warm_kernels(lambda text: print(text, file=sys.stderr))
    supervisor = Supervisor(network, place, is_isolated=is_isolated, say=lambda text: print(text, file=sys.stderr))
    with running(supervisor):
        page = f"http://127.0.0.1:{supervisor.ports.dashboard}/"
        if as_json:
            print(json.dumps({"network": network.name, "page": page, "state": str(place.path)}), flush=True)
        else:
            mark = " with SIMULATED photons" if network.is_simulation else ""
            print(f"network {network.name} is up{mark}: {len(network.sites)} KMEs, {len(network.links)} links")
            print(f"live page  {page}\nstate      {place.path}")
            for line in open_doors(supervisor.ports):
                print(f"open to    {line}")
            print("stop with Ctrl-C", flush=True)
        while True:
            supervisor.watch(0.5)
