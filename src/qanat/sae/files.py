"""Read an ordinary file; replace one whole or leave no trace."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from qanat.core.errors import EnvironmentProblem


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    try:
        with open(path, "rb") as file:
            if not S_ISREG(os.fstat(file.fileno()).st_mode):
                raise EnvironmentProblem(f"{path} is no ordinary file. Copy it into one first.")
            yield file
    except OSError as error:
        raise EnvironmentProblem(
            f"{error.filename or path}: {error.strerror}. Check the name and your rights."
        ) from None


@contextmanager
def replacing(path: str | os.PathLike[str], *, size_bytes: int = 0) -> Iterator[BinaryIO]:
    """A file that takes the place of ``path`` at the end, or leaves no trace. Mode 0600.

    Args:
        size_bytes: What it will need; room that the disk does not have is told at once.
    """
    target = Path(path)
    try:
        if shutil.disk_usage(target.parent).free < size_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fd, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(fd, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise EnvironmentProblem(f"{path} cannot be written: {error.strerror}. Nothing was left behind.") from None
