"""A key dealt out to frames, and every frame packed in every pass's order. Twin: ``packed_frames_plain``.

Bit j of the key is place j // F of frame j mod F. Frames share their permutations, so 64 frames are packed at once:
64 rows (places) of 64 frames are a square of bits, and its transpose is one word of each frame.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

_U = numba.uint64
Words = NDArray[np.uint64]
Shape = tuple[int, int]  # passes, words per pass
_NO_ORDER = np.empty(0, dtype=np.uint16)
_jit: Any = numba.njit(cache=True, error_model="numpy", boundscheck=False, nogil=True)


def pack_first_pass(bits: NDArray[np.uint8], frame_count: int, frame_bits: int, shape: Shape, words: Words) -> None:
    """Fill the first pass of ``words``, flat [frame][pass][width], from the key, one bit per element."""
    for first in range(0, frame_count, 64):
        rows = np.zeros(frame_bits, dtype=np.uint64)
        _rows_from_bits(bits, frame_count, first, rows)
        _pack(rows, _NO_ORDER, 0, first, min(64, frame_count - first), *shape, words)


def pack_later_passes(order: NDArray[np.uint16], frame_count: int, frame_bits: int, shape: Shape, words: Words) -> None:
    """Fill all other passes from the first; ``order`` has a row for each of them."""
    for first in range(0, frame_count, 64):
        columns = min(64, frame_count - first)
        rows = np.zeros((frame_bits + 63) // 64 * 64, dtype=np.uint64)
        _rows_from_words(words, first, columns, *shape, rows)
        for which, places in enumerate(order):
            _pack(rows[:frame_bits], places, which + 1, first, columns, *shape, words)


def unpacked_frames(words: NDArray[np.uint64], size_bits: int, frame_count: int, stride: int) -> NDArray[np.uint8]:
    """The key again, from every frame's first pass; ``stride`` is the number of words between two frames."""
    bits = np.empty(size_bits, dtype=np.uint8)
    _unpack(words, frame_count, stride, bits)
    return bits


def packed_frames_plain(
    bits: NDArray[np.uint8], order: NDArray[np.uint16], frame_count: int, frame_bits: int, width: int
) -> Words:
    """All passes by numpy, one frame and pass after the other: the reference."""
    dealt = np.zeros(frame_count * frame_bits, dtype=np.uint8)
    dealt[: len(bits)] = bits
    packed = np.zeros((frame_count, len(order) + 1, width * 8), dtype=np.uint8)
    for frame in range(frame_count):
        own = dealt[frame::frame_count]
        for which, places in enumerate([np.arange(frame_bits), *order]):
            column = np.packbits(own[places], bitorder="little")
            packed[frame, which, : len(column)] = column
    return packed.view("<u8").astype(np.uint64).ravel()


@_jit
def _rows_from_bits(bits, frame_count, first, rows):
    """Row of each place: bit k is frame ``first + k``'s."""
    columns = min(64, frame_count - first)
    for place in range(len(rows)):
        start = place * frame_count + first
        row = _U(0)
        for k in range(min(columns, len(bits) - start)):
            row |= _U(bits[start + k]) << _U(k)
        rows[place] = row


@_jit
def _transpose(square):
    """64 x 64 bits in place: bit k of word i becomes bit i of word k."""
    width = 32
    mask = _U(0x00000000FFFFFFFF)
    while width:
        k = 0
        while k < 64:
            for i in range(k, k + width):
                swap = ((square[i] >> _U(width)) ^ square[i + width]) & mask
                square[i] ^= swap << _U(width)
                square[i + width] ^= swap
            k += 2 * width
        width >>= 1
        mask ^= mask << _U(width)


@_jit
def _rows_from_words(words, first, columns, passes, width, rows):
    square = np.empty(64, dtype=np.uint64)
    for w in range(len(rows) >> 6):
        for k in range(columns):
            square[k] = words[(first + k) * passes * width + w]
        for k in range(columns, 64):
            square[k] = _U(0)
        _transpose(square)
        for i in range(64):
            rows[(w << 6) + i] = square[i]


@_jit
def _pack(rows, order, p, first, columns, passes, width, words):
    m = len(rows)
    square = np.empty(64, dtype=np.uint64)
    for w in range((m + 63) >> 6):
        start = w << 6
        size = min(64, m - start)
        if len(order):
            for i in range(size):
                square[i] = rows[order[start + i]]
        else:
            for i in range(size):
                square[i] = rows[start + i]
        for i in range(size, 64):
            square[i] = _U(0)
        _transpose(square)
        for k in range(columns):
            words[((first + k) * passes + p) * width + w] = square[k]


@_jit
def _unpack(words, frame_count, stride, bits):
    j = 0
    for place in range((len(bits) + frame_count - 1) // frame_count):
        at = place >> 6
        shift = _U(place & 63)
        for frame in range(min(frame_count, len(bits) - j)):
            bits[j] = (words[frame * stride + at] >> shift) & _U(1)
            j += 1
