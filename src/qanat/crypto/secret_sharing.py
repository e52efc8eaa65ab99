"""Threshold secret sharing: a secret in n shares, of which any t give it back and t - 1 say nothing at all.

Every byte is the constant of a polynomial of degree t - 1 over GF(2^8) whose other coefficients are random; share
number p is its value at the point p. Source: A. Shamir, Commun. ACM 22, 612 (1979). It hides perfectly and protects
nothing: whoever changes a share changes the secret by an amount of his choice. ``shared_block.py`` notices that.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

POINT_MAX = 255  # every point but 0, where the secret is
_REDUCTION = 0x11B  # x^8 + x^4 + x^3 + x + 1, the field of FIPS 197


def product(a: int, b: int) -> int:
    """In GF(2^8).

    Example:
        >>> hex(product(0x57, 0x83))  # FIPS 197, section 4.2
        '0xc1'
    """
    result = 0
    while b:
        if b & 1:
            result ^= a
        a, b = a << 1, b >> 1
        if a & 0x100:
            a ^= _REDUCTION
    return result


@cache
def _inverse(a: int) -> int:
    return next(b for b in range(1, 256) if product(a, b) == 1)


@cache
def _times(factor: int) -> bytes:
    """What ``bytes.translate`` needs to multiply every byte by this factor."""
    return bytes(product(factor, byte) for byte in range(256))


def value_at(coefficients: Sequence[bytes], point: int) -> bytes:
    """The share at a point; coefficients of equal length, the secret first. Wipe what came of it.

    Example:
        >>> value_at([bytes([5]), bytes([7])], 1)  # 5 + 7, and addition is XOR
        b'\\x02'
    """
    size = len(coefficients[0])
    total = 0
    for coefficient in reversed(coefficients):  # Horner
        scaled = total.to_bytes(size).translate(_times(point))
        total = int.from_bytes(scaled) ^ int.from_bytes(coefficient)
    return total.to_bytes(size)


def coefficients_from_shares(points: Sequence[int], shares: Sequence[bytes]) -> list[bytes]:
    """The polynomial through these shares, the secret first: as many coefficients as shares.

    Args:
        points: All different, 1 to 255.

    Example:
        >>> coefficients_from_shares([1, 3], [value_at([b"s", b"r"], 1), value_at([b"s", b"r"], 3)])
        [b's', b'r']
    """
    if len(set(points)) != len(points) or not all(1 <= point <= POINT_MAX for point in points):
        raise ValueError("shares need different points from 1 to 255")
    size = len(shares[0])
    found = []
    for row in _inverted(tuple(points)):
        total = 0
        for factor, share in zip(row, shares, strict=True):
            total ^= int.from_bytes(share.translate(_times(factor)))
        found.append(total.to_bytes(size))
    return found


@cache
def _inverted(points: tuple[int, ...]) -> list[list[int]]:
    """Inverse of the Vandermonde matrix: row j makes coefficient j. Column i is Lagrange's i-th polynomial."""
    columns = []
    for point in points:
        column, scale = [1], 1
        for other in points:
            if other == point:
                continue
            # times (x - other), where minus is plus
            shifted, kept = [0, *column], [*(product(other, c) for c in column), 0]
            column = [a ^ b for a, b in zip(shifted, kept, strict=True)]
            scale = product(scale, point ^ other)
        columns.append([product(c, _inverse(scale)) for c in column])
    return [list(row) for row in zip(*columns, strict=True)]
