"""The pre-shared secret as a file that a trusted person carries to the other end."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from qanat.core.errors import EnvironmentProblem, MisuseError
from qanat.node.privatefile import create_private, privacy_problem
from qanat.node.processes.auth_reserve import FILE_SIZE_BYTES, AuthReserve, new_secret

LIGHT_KEY_BYTES = 32


class SecretFileError(EnvironmentProblem):
    """The pre-shared secret cannot be used as it is. `qanat secret` makes one for both ends of a link."""


def make_files(paths: Sequence[Path], *, is_light: bool) -> None:
    """The same new secret in every one of these files, mode 0600; ``is_light``: a simulation key instead.

    Raises:
        MisuseError: a file exists already: it may be in use.
        EnvironmentProblem: it cannot be written.
    """
    data = os.urandom(LIGHT_KEY_BYTES) if is_light else new_secret()
    for path in paths:
        if path.exists():
            raise MisuseError(f"{path} exists already; remove it first if no end uses it any more")
    for path in paths:
        try:
            create_private(path, data)
        except FileExistsError:
            raise MisuseError(f"{path} appeared just now; nothing was overwritten") from None


class SecretFile:
    """One end's copy, claimed for this process; the kernel drops the claim with the process.

    Raises:
        SecretFileError: missing, readable by others, of another size, or in use.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = self._opened()
        self.reserve = AuthReserve(path)

    def close(self) -> None:
        self._file.close()

    def _opened(self) -> BinaryIO:
        try:
            file = self.path.open("r+b")
        except OSError as error:
            raise SecretFileError(f"pre-shared secret {self.path} cannot be opened: {error.strerror}") from None
        try:
            self._check(os.fstat(file.fileno()))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise SecretFileError(
                f"{self.path} is in use by another process; each end of a link needs its own copy"
            ) from None
        except SecretFileError:
            file.close()
            raise
        return file

    def _check(self, status: os.stat_result) -> None:
        if status.st_size != FILE_SIZE_BYTES:
            raise SecretFileError(f"{self.path} is not a pre-shared secret: it must have {FILE_SIZE_BYTES} bytes")
        problem = privacy_problem(self.path, status)
        if problem is not None:
            raise SecretFileError(problem)
