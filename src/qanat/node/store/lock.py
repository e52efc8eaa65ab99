"""One process per key store: a second one would give the same keys out again."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from qanat.core.errors import EnvironmentProblem


class StoreLock:
    """Held from construction to ``release``; the kernel drops it with the process."""

    def __init__(self, store: Path) -> None:
        path = store.with_name(store.name + ".lock")
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise EnvironmentProblem(
                f"{path} cannot be opened: {error.strerror}. Mend the folder, or set QANAT_STATE."
            ) from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            raise EnvironmentProblem(
                f"key store {store} is open in another process. Only one KME may use it; stop the other one."
            ) from None

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
