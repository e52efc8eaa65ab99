"""Files and folders that only their owner can read, written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from qanat.core.errors import EnvironmentProblem


def private_folder(path: Path) -> None:
    """Make a folder that only its owner can enter; refuse one that others can.

    Raises:
        EnvironmentProblem: see above, or it cannot be made.
    """
    with _told(path):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                path.mkdir(mode=0o700)
        status = path.stat()
    if not stat.S_ISDIR(status.st_mode):
        raise EnvironmentProblem(f"{path} is in the way: it is not a folder. Move it, or set QANAT_STATE.")
    if status.st_uid != os.geteuid():
        raise EnvironmentProblem(f"{path} belongs to another user (uid {status.st_uid}). Set QANAT_STATE to your own.")
    if status.st_mode & 0o077:
        raise EnvironmentProblem(
            f"{path} can be read by others (mode {stat.S_IMODE(status.st_mode):04o}) and will hold keys. "
            f"Close it with `chmod 700 {path}`, or set QANAT_STATE to another place."
        )


def write_private(path: Path, data: bytes) -> None:
    """Replace a file by another of mode 0600, at once and durably.

    Raises:
        EnvironmentProblem: disk full, no right to write.
    """
    with _told(path):
        fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mkstemp makes it 0600
        try:
            _write_all(fd, data)
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
        sync_folder(path.parent)


def create_private(path: Path, data: bytes) -> None:
    """Make a file of mode 0600 whole or not at all; it must not exist yet.

    Raises:
        FileExistsError: it does.
        EnvironmentProblem: disk full, no right to write.
    """
    with _told(path):
        fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            _write_all(fd, data)
            os.link(temporary, path)  # unlike a rename, this fails when somebody else was faster
        finally:
            os.unlink(temporary)
        sync_folder(path.parent)


def _write_all(fd: int, data: bytes) -> None:
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Names made or removed in a folder are on the disk when this returns."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """An OSError on our own files becomes one sentence that says what to do."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        hint = {
            errno.ENOSPC: "Free some space, then start again; nothing was half written.",
            errno.EACCES: "Give yourself the right to write there, or set QANAT_STATE to another place.",
            errno.EROFS: "The file system is read-only; set QANAT_STATE to another place.",
        }.get(error.errno or 0, "Set QANAT_STATE to another place, or mend this one.")
        raise EnvironmentProblem(f"{path} cannot be written: {error.strerror}. {hint}") from None


def privacy_problem(path: Path, status: os.stat_result) -> str | None:
    """Why a file cannot hold a secret of ours; None when it can."""
    if not stat.S_ISREG(status.st_mode):
        return f"{path} is no regular file"
    if status.st_uid != os.geteuid():
        return f"{path} belongs to another user (uid {status.st_uid})"
    if status.st_mode & 0o077:
        return (
            f"{path} can be read by others (mode {stat.S_IMODE(status.st_mode):04o}); if nobody did, close it with "
            f"`chmod 600 {path}`, else make a new one"
        )
    return None


def is_private_folder(path: Path) -> bool:
    """A folder of ours that nobody else can enter; no symbolic link."""
    status = path.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077
