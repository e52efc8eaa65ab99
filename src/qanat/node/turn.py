"""Networks of one user start one after the other, so that two never choose the same free ports."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def turn_to_start() -> Iterator[None]:
    """Wait until no other network of this user is starting; the kernel ends our turn with the process.

    A help, not a guard: where the file cannot be made we go on, and a taken port ends the start in words.
    """
    path = Path(tempfile.gettempdir()) / f"qanat-start-{os.getuid()}.lock"
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            stack.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
