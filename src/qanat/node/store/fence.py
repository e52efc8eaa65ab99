"""The rollback fence: how far a key store has come, kept outside of it.

Every commit of a store carries a mark, one higher than the last; after the commit and before anything of it
leaves the process, the mark is written here too. So a store whose mark is below the fence is an old copy:
keys that it holds may have been delivered since.

The write is not flushed with every commit. Against ``kill -9`` it needs no flush (the kernel has it); for a
power cut the fence lies behind by at most ``SYNC_INTERVAL_S``.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

SYNC_INTERVAL_S = 1.0
LIFE_BYTES = 16
_SIZE_BYTES = 8 + 2 * LIFE_BYTES
_CHECK_BYTES = 8


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a store is.

    Attributes:
        count: Commits so far.
        life: Random name of the opening that wrote it, so that two stores grown from one copy differ.
        parent: Life before this one.
    """

    count: int
    life: bytes
    parent: bytes

    def to_bytes(self) -> bytes:
        return self.count.to_bytes(8) + self.life + self.parent

    @classmethod
    def from_bytes(cls, data: bytes) -> Mark:
        """Raises: ValueError."""
        if len(data) != _SIZE_BYTES:
            raise ValueError(f"a mark has {_SIZE_BYTES} bytes, not {len(data)}")
        return cls(int.from_bytes(data[:8]), data[8 : 8 + LIFE_BYTES], data[8 + LIFE_BYTES :])

    def follows(self, fence: Mark) -> bool:
        """A store at this mark is the one that the fence knows, as new as the fence or newer.

        It is newer after a crash between commit and fence, and after a power cut.
        """
        if self.life == fence.life:
            return self.count >= fence.count
        return self.parent == fence.life and self.count > fence.count


NOTHING = Mark(0, bytes(LIFE_BYTES), bytes(LIFE_BYTES))


class Fence:
    """One fence file, of fixed size and written in place."""

    def __init__(self, path: Path) -> None:
        """Raises: OSError."""
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._synced_s = -SYNC_INTERVAL_S
        self._is_behind = False

    def read(self) -> Mark | None:
        """The mark, or None from a file that is new.

        Raises:
            ValueError: it is damaged.
        """
        data = os.pread(self._fd, _SIZE_BYTES + _CHECK_BYTES + 1, 0)
        if not data:
            return None
        if data[_SIZE_BYTES:] != _check(data[:_SIZE_BYTES]):
            raise ValueError("the check value of the fence does not fit")
        return Mark.from_bytes(data[:_SIZE_BYTES])

    def write(self, mark: Mark) -> None:
        """Raise the fence. Raises: OSError."""
        data = mark.to_bytes()
        os.pwrite(self._fd, data + _check(data), 0)  # far below a page: no reader and no kill sees half of it
        self._is_behind = True
        if time.monotonic() - self._synced_s >= SYNC_INTERVAL_S:
            self.sync()

    def sync(self) -> None:
        """Raises: OSError."""
        if self._is_behind:
            os.fsync(self._fd)
            self._is_behind = False
        self._synced_s = time.monotonic()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _check(data: bytes) -> bytes:
    return hashlib.sha256(b"qanat fence" + data).digest()[:_CHECK_BYTES]
