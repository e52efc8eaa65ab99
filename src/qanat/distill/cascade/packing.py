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
    stream = _empty_stream(frame_count * frame_bits)
    stream.view(np.uint8)[: (len(bits) + 7) // 8] = np.packbits(bits, bitorder="little")
    rows = np.empty(frame_bits, dtype=np.uint64)
    for first in range(0, frame_count, 64):
        columns = min(64, frame_count - first)
        _rows_from_stream(stream, frame_count, first, columns, rows)
        _pack(rows, _NO_ORDER, 0, first, columns, *shape, words)
    _forget(stream, rows)


def pack_later_passes(order: NDArray[np.uint16], frame_count: int, frame_bits: int, shape: Shape, words: Words) -> None:
    """Fill all other passes from the first; ``order`` has a row for each of them."""
    rows = np.empty(_whole(frame_bits), dtype=np.uint64)
    for first in range(0, frame_count, 64):
        columns = min(64, frame_count - first)
        _rows_from_words(words, first, columns, *shape, rows)
        for which, places in enumerate(order):
            _pack(rows[:frame_bits], places, which + 1, first, columns, *shape, words)
    _forget(rows)


def unpacked_frames(
    words: NDArray[np.uint64], size_bits: int, frame_count: int, frame_bits: int, shape: Shape
) -> NDArray[np.uint8]:
    """The key again, one bit per element, from every frame's first pass."""
    stream = _empty_stream(frame_count * frame_bits)
    rows = np.empty(_whole(frame_bits), dtype=np.uint64)
    for first in range(0, frame_count, 64):
        columns = min(64, frame_count - first)
        _rows_from_words(words, first, columns, *shape, rows)
        _stream_from_rows(rows[:frame_bits], frame_count, first, columns, stream)
    bits = np.unpackbits(stream.view(np.uint8), count=size_bits, bitorder="little")
    _forget(stream, rows)
    return bits


def _empty_stream(size_bits: int) -> Words:
    """Room for the key as one row of bits, and a word more, so that a row's second word is always there."""
    return np.zeros(size_bits // 64 + 2, dtype=np.uint64)


def _whole(frame_bits: int) -> int:
    return -(-frame_bits // 64) * 64


def _forget(*secrets: Words) -> None:
    for secret in secrets:
        secret[:] = 0


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
def _rows_from_stream(stream, frame_count, first, columns, rows):
    """Row of each place: bit k is frame ``first + k``'s."""
    mask = ~_U(0) >> _U(64 - columns)
    for place in range(len(rows)):
        at = place * frame_count + first
        shift = at & 63
        row = stream[at >> 6] >> _U(shift)
        if shift + columns > 64:
            row |= stream[(at >> 6) + 1] << _U(64 - shift)
        rows[place] = row & mask


@_jit
def _stream_from_rows(rows, frame_count, first, columns, stream):
    """The way back: each row's bits are added to the stream."""
    for place in range(len(rows)):
        at = place * frame_count + first
        shift = at & 63
        stream[at >> 6] |= rows[place] << _U(shift)
        if shift + columns > 64:
            stream[(at >> 6) + 1] |= rows[place] >> _U(64 - shift)


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
    """Few frames share a square: word ``w + g`` of frame k is its row ``g * columns + k``."""
    square = np.empty(64, dtype=np.uint64)
    beside = 64 // columns
    mask = ~_U(0) >> _U(64 - columns)
    count = len(rows) >> 6
    for w in range(0, count, beside):
        square[:] = _U(0)
        for g in range(min(beside, count - w)):
            for k in range(columns):
                square[g * columns + k] = words[(first + k) * passes * width + w + g]
        _transpose(square)
        for g in range(min(beside, count - w)):
            for i in range(64):
                rows[((w + g) << 6) + i] = (square[i] >> _U(g * columns)) & mask


@_jit
def _pack(rows, order, p, first, columns, passes, width, words):
    """Words of one pass, from the rows in this order (as they are when it is empty)."""
    square = np.empty(64, dtype=np.uint64)
    beside = 64 // columns
    count = (len(rows) + 63) >> 6
    for w in range(0, count, beside):
        square[:] = _U(0)
        for g in range(min(beside, count - w)):
            start = (w + g) << 6
            size = min(64, len(rows) - start)
            shift = _U(g * columns)
            if len(order):
                for i in range(size):
                    square[i] |= rows[order[start + i]] << shift
            else:
                for i in range(size):
                    square[i] |= rows[start + i] << shift
        _transpose(square)
        for g in range(min(beside, count - w)):
            for k in range(columns):
                words[((first + k) * passes + p) * width + w + g] = square[g * columns + k]
