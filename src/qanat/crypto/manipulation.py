"""Algebraic manipulation detection: notices that somebody added something to a value that he could not see.

A tag f(x, s) = x^(d+2) + s_d x^d + ... + s_1 x over a field of q elements, for a random x that nobody has seen. Whoever
adds any amounts of his choice to s, x and the tag passes the check with probability (d + 1) / q at most, even if he
knows s, whatever his computing power. Source: R. Cramer, Y. Dodis, S. Fehr, C. Padro, D. Wichs, EUROCRYPT 2008, LNCS
4965, 471, section 3: "Detection of Algebraic Manipulation with Applications to Robust Secret Sharing and Fuzzy
Extractors". The characteristic must not divide d + 2; ours is 2, so d is odd.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BinaryField:
    """GF(2^bits), its elements as integers whose bit i is the coefficient of x^i.

    Attributes:
        tail: The reduction polynomial without its highest term.
    """

    bits: int
    tail: int

    def product(self, a: int, b: int) -> int:
        """The plain way, bit by bit."""
        result, top = 0, 1 << self.bits
        while b:
            if b & 1:
                result ^= a
            a, b = a << 1, b >> 1
            if a & top:
                a ^= top | self.tail
        return result

    def tag(self, x: int, symbols: Sequence[int]) -> int:
        """f(x, s), with a zero symbol added where their number is even.

        Example:
            >>> field = BinaryField(3, 0b011)
            >>> field.tag(2, [5]) == field.product(2, field.product(2, 2)) ^ field.product(2, 5)
            True
        """
        times = self._times(x)
        total = times(1)
        for symbol in reversed(symbols if len(symbols) % 2 else [*symbols, 0]):
            total = times(total) ^ symbol
        return times(total)

    def _times(self, x: int) -> Callable[[int], int]:
        """Multiplication by x, a window of bits at a time."""
        window = 8 if self.bits % 8 == 0 else self.bits
        rest, low = self.bits - window, (1 << window) - 1
        table = [self.product(x, value) for value in range(1 << window)]
        carried = [self.product(self.tail, value) for value in range(1 << window)]  # x^bits is the tail

        def times(value: int) -> int:
            total = 0
            for shift in range(rest, -1, -window):
                kept = (total & ((1 << rest) - 1)) << window
                total = kept ^ carried[total >> rest] ^ table[(value >> shift) & low]
            return total

        return times


# The field of NIST SP 800-38D, section 6.3, with its bits in the usual order.
FIELD = BinaryField(128, 0x87)
SYMBOL_BYTES = 16


def symbols_from_bytes(data: bytes) -> list[int]:
    """16 bytes each, the last filled up with zeros: the length must be agreed beforehand."""
    return [
        int.from_bytes(data[start : start + SYMBOL_BYTES].ljust(SYMBOL_BYTES, b"\0"))
        for start in range(0, len(data), SYMBOL_BYTES)
    ]


def manipulation_bound(size_bytes: int) -> float:
    """Probability, at most, that a manipulation of so many bytes goes unnoticed.

    Example:
        >>> manipulation_bound(3 * 1056) < 1e-36
        True
    """
    symbols = -(-size_bytes // SYMBOL_BYTES)
    return (symbols + 1 - symbols % 2 + 1) * 2.0**-128
