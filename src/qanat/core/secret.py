"""Secret bits: the only type that may hold them."""

from __future__ import annotations

import hmac
from typing import Final, NoReturn


class SecretBits:
    """Secret bits in a buffer that its last owner wipes.

    Packed most significant bit first; unused bits of the last byte are zero. It has no readable repr,
    cannot be pickled, hashed or formatted, and compares in constant time. ``reveal`` is the one way to
    the bytes, so that every place that touches them can be found by that word.

    What it cannot promise: Python may have copied the bytes before they came here (see
    docs/explanation/assumptions.md).
    """

    __slots__ = ("_data", "size_bits")

    def __init__(self, data: bytes | bytearray | memoryview, size_bits: int | None = None) -> None:
        self._data: Final = bytearray(data)
        self.size_bits = len(self._data) * 8 if size_bits is None else size_bits
        if (self.size_bits + 7) // 8 != len(self._data):
            raise ValueError(f"{self.size_bits} bits do not fill {len(self._data)} bytes")
        spare = -self.size_bits % 8
        if spare and self._data[-1] & ((1 << spare) - 1):
            raise ValueError("bits after the last one must be zero")

    @property
    def size_bytes(self) -> int:
        return len(self._data)

    def reveal(self) -> bytes:
        """A copy of the bytes. Say why at the place of the call."""
        return bytes(self._data)

    def take(self, start_bytes: int, size_bytes: int) -> SecretBits:
        """A copy of a range of whole bytes.

        Raises:
            ValueError: the range is outside.
        """
        if start_bytes < 0 or size_bytes < 0 or start_bytes + size_bytes > len(self._data):
            raise ValueError(f"bytes {start_bytes}+{size_bytes} are outside 0..{len(self._data)}")
        with memoryview(self._data) as view:  # no copy between the two that nobody would wipe
            return SecretBits(view[start_bytes : start_bytes + size_bytes])

    def xor(self, other: SecretBits) -> bytes:
        """This XOR another of the same size: how a one-time pad is applied.

        The result is bytes, because a one-time-pad ciphertext is public. Whoever removes a pad wraps
        the result in ``SecretBits`` again.
        """
        if len(self._data) != len(other._data):
            raise ValueError(f"sizes differ: {len(self._data)} and {len(other._data)} bytes")
        size = len(self._data)
        return (int.from_bytes(self._data) ^ int.from_bytes(other._data)).to_bytes(size)

    def wipe(self) -> None:
        """Overwrite the bits with zeros."""
        self._data[:] = bytes(len(self._data))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretBits):
            return NotImplemented
        return self.size_bits == other.size_bits and hmac.compare_digest(self._data, other._data)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<SecretBits of {self.size_bits} bits>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("SecretBits cannot be pickled: secret bits leave a process only where `reveal` says so")
