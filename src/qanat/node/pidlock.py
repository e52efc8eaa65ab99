"""The claim of one process on a folder, which the kernel drops with the process."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from qanat.core.errors import EnvironmentProblem

_TRIES = 5
_PAUSE_S = 0.02


class PidLock:
    """A file lock that names its holder.

    flock, not the mere presence of a file: a killed `qanat up` leaves no stale lock behind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def __enter__(self) -> PidLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def acquire(self) -> None:
        """Raises:
        EnvironmentProblem: another process holds it.
        """
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _locked(fd):
            pid = _pid_in(fd)
            os.close(fd)
            raise EnvironmentProblem(
                f"A network is already running from {self.path.parent}"
                f"{f' (process {pid})' if pid else ''}. Stop it with Ctrl-C in its window or `kill`, or "
                "give this one another state directory with QANAT_STATE.",
                pid=pid,
            )
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd

    def release(self) -> None:
        if self._fd is not None:
            os.ftruncate(self._fd, 0)  # the file stays: removing it would let two processes hold two locks
            os.close(self._fd)
            self._fd = None

    def holder(self) -> int | None:
        """Who holds it, without taking it for longer than the look."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return _pid_in(fd)
        finally:
            os.close(fd)
        return None


def _locked(fd: int) -> bool:
    """Take the lock, waiting 0.1 s in all: ``holder()`` of somebody else holds it for an instant."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(_PAUSE_S)
    return False


def _pid_in(fd: int) -> int | None:
    text = os.pread(fd, 32, 0).strip()
    return int(text) if text.isdigit() else None
