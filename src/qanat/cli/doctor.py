"""`qanat doctor`: looks for the usual causes of trouble. Exit code 3 when one is found."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qanat.cli.place import running_state
from qanat.cli.show import as_json_text
from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import SiteId

if TYPE_CHECKING:
    from qanat.node.statedir import StateDir

DISK_FREE_BYTES_MIN = 500_000_000  # kernels' cache, stores and logs of the metro network, with room
OPEN_FILES_MIN = 256


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    is_fine: bool
    detail: str


def _python() -> Finding:
    return Finding("Python", sys.version_info >= (3, 11), f"{sys.version.split()[0]} (3.11 or newer is needed)")


def _parts() -> Finding:
    names = ("numpy", "numba", "scipy", "apsw", "cryptography", "msgspec", "uvicorn", "starlette", "pydantic")
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    return Finding(
        "packages", not missing, f"missing: {', '.join(missing)}; run `make` again" if missing else "all there"
    )


def _sqlite() -> Finding:
    import apsw  # noqa: PLC0415

    version = apsw.sqlite_lib_version()
    is_fine = tuple(int(part) for part in version.split(".")) >= (3, 51, 3)
    return Finding("SQLite", is_fine, f"{version} (3.51.3 or newer: older ones can lose a commit in WAL mode)")


def _cores() -> Finding:
    count = os.cpu_count() or 1
    return Finding("cores", count >= 2, f"{count}; with fewer than 2, link time stretches a lot")


def _disk(place: Path) -> Finding:
    there = next(parent for parent in (place, *place.parents) if parent.exists())
    free_bytes = shutil.disk_usage(there).free
    return Finding("disk", free_bytes > DISK_FREE_BYTES_MIN, f"{free_bytes / 1e9:.1f} GB free at {there}")


def _state_is_ours(place: Path) -> Finding:
    if not place.exists():
        return Finding("state directory", True, f"{place} is not there yet; `qanat up` makes it")
    is_fine = place.stat().st_mode & 0o077 == 0 and os.access(place, os.W_OK)
    return Finding("state directory", is_fine, f"{place}" + ("" if is_fine else ": others may look inside; chmod 700"))


def _open_files() -> Finding:
    try:
        import resource  # noqa: PLC0415
    except ImportError:
        return Finding("open files", False, "this system has no Unix sockets as qanat uses them")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return Finding("open files", limit >= OPEN_FILES_MIN, f"limit {limit} (ulimit -n)")


def _ports() -> Finding:
    from qanat.node.supervisor import FIRST_PORT, free_ports  # noqa: PLC0415

    port = next(free_ports())
    return Finding("loopback ports", True, f"first free one from {FIRST_PORT}: {port}")


def _memory() -> Finding:
    """Said, not demanded: many machines limit it, and the how-to guides name the way out."""
    from qanat.node.processes.hardening import may_lock  # noqa: PLC0415

    detail = (
        "locked against swapping"
        if may_lock()
        else "NOT locked against swapping: needs Linux and `ulimit -l unlimited`; or have no swap, or an encrypted one"
    )
    return Finding("memory of keys", True, detail)


def _guards(place: StateDir) -> list[Finding]:
    """Who guards each site's key encryption key."""
    return [_guard(place, SiteId(path.parent.name)) for path in sorted((place.path / "nodes").glob("*/kek"))]


def _guard(place: StateDir, site: SiteId) -> Finding:
    from qanat.node.kek import KEK_LABEL, KekFile, kek_path  # noqa: PLC0415
    from qanat.node.token.settings import settings_path, token_settings  # noqa: PLC0415

    what = f"KEK of {site}"
    try:
        file = KekFile.load(kek_path(place, site))
        if file.token_key is not None:
            token_settings(place, site)
    except EnvironmentProblem as problem:
        return Finding(what, False, problem.detail)
    if file.label == KEK_LABEL and settings_path(place, site).exists():
        return Finding(
            what, False, f"guarded by {file.guardian}, although kek.toml names a token: `qanat kme init-token {site}`"
        )
    if file.token_key is not None and importlib.util.find_spec("pkcs11") is None:
        return Finding(what, False, f"guarded by {file.guardian}, but run `pip install 'qanat[pkcs11]'` first")
    return Finding(what, True, f"guarded by {file.guardian}")


def doctor(state: Path | None, as_json: bool) -> int:
    place = running_state(state)
    checks: tuple[Callable[[], Finding], ...] = (
        _python, _parts, _sqlite, _cores, lambda: _disk(place.path), lambda: _state_is_ours(place.path), _open_files,
        _ports, _memory,
    )  # fmt: skip
    findings = [check() for check in checks]
    findings += _guards(place)
    pid = place.running_pid()
    findings.append(Finding("network", True, f"running as process {pid}" if pid else "none is running here"))
    is_fine = all(finding.is_fine for finding in findings)
    if as_json:
        as_json_text([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            print(f"{'ok  ' if finding.is_fine else 'NO  '} {finding.what:<16} {finding.detail}")
    return 0 if is_fine else 3
