"""The large arrays of a reconciliation, lent again and again: fresh pages cost more than all of Cascade's arithmetic.

What is given back is cleared first where it held secrets, and where its next user counts on zeros.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

IDLE_BYTES_MAX = 256 * 2**20  # kept for later, of all shapes together

Array = NDArray[Any]


class Workspace:
    """Lends arrays; one for the process. ``take`` and ``give`` may be called from any thread."""

    def __init__(self, idle_bytes_max: int = IDLE_BYTES_MAX) -> None:
        self._idle: dict[tuple[int, str], deque[Array]] = {}
        self._idle_bytes_max = idle_bytes_max
        self._idle_bytes = 0

    def take(self, size: int, dtype: str, *, is_zeroed: bool = False) -> Array:
        """A flat array of this many elements; its content is arbitrary unless ``is_zeroed``."""
        try:
            array = self._idle[(size, dtype)].pop()
        except (KeyError, IndexError):
            return np.zeros(size, dtype=dtype) if is_zeroed else np.empty(size, dtype=dtype)
        self._idle_bytes -= array.nbytes
        if is_zeroed:
            array[:] = 0
        return array

    def give(self, array: Array, *, is_secret: bool = False) -> None:
        """Take an array back; whoever gives it must not touch it again."""
        if is_secret:
            array[:] = 0
        if self._idle_bytes + array.nbytes > self._idle_bytes_max:
            return
        self._idle_bytes += array.nbytes
        self._idle.setdefault((array.size, array.dtype.str), deque()).append(array)


WORKSPACE: Final = Workspace()
