"""Which network file and which state directory a command means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qanat.core.errors import EnvironmentProblem, MisuseError

if TYPE_CHECKING:
    from qanat.node.statedir import StateDir


def network_path(file: Path | None) -> Path:
    """The file named, or the metro network that comes with qanat."""
    if file is not None:
        return file
    here = Path(__file__).resolve()
    for candidate in (here.parents[1] / "networks" / "metro.toml", here.parents[3] / "networks" / "metro.toml"):
        if candidate.exists():
            return candidate
    raise EnvironmentProblem("the metro network file is missing from this installation; name a network file")


def shipped_network_path(name: str) -> Path:
    """A network file that comes with qanat, by its name without ``.toml``."""
    here = Path(__file__).resolve()
    for candidate in (here.parents[1] / "networks", here.parents[3] / "networks"):
        if (candidate / f"{name}.toml").exists():
            return candidate / f"{name}.toml"
    raise EnvironmentProblem(f"the network file {name}.toml is missing from this installation")


def demonstrations_path() -> Path:
    """The landmark experiments that come with qanat."""
    here = Path(__file__).resolve()
    for candidate in (here.parents[1] / "authorities", here.parents[3] / "authorities"):
        if (candidate / "demonstrations.toml").exists():
            return candidate / "demonstrations.toml"
    raise EnvironmentProblem("the list of demonstrations is missing from this installation")


def running_state(chosen: Path | None) -> StateDir:
    """The state directory of the network that a command talks to.

    In this order: the one named, ``$QANAT_STATE``, the only one running, the metro network's.

    Raises:
        MisuseError: several networks are running and none was named.
    """
    import os  # noqa: PLC0415

    from qanat.node.statedir import StateDir, state_home  # noqa: PLC0415

    if chosen is not None:
        return StateDir(chosen)
    if os.environ.get("QANAT_STATE"):
        return StateDir.default("metro")
    home = state_home()
    found = [StateDir(path) for path in sorted(home.iterdir()) if path.is_dir()] if home.is_dir() else []
    running = [state for state in found if state.running_pid() is not None]
    if len(running) > 1:
        names = ", ".join(str(state.path) for state in running)
        raise MisuseError(f"several networks are running; choose one with --state: {names}")
    return running[0] if running else StateDir.default("metro")
