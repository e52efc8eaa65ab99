"""LDPC decoding in few lines: what ``kernels.py`` must equal, bit for bit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qanat.distill.ldpc.codes import Code
from qanat.distill.ldpc.kernels import NEAR, ODDS_LEAST, ODDS_MOST


def syndrome_plain(code: Code, bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Parities of every row, one bit at a time."""
    out = np.zeros(code.rows * code.lanes, dtype=np.uint8)
    for row in range(code.rows):
        for edge in range(code.starts[row], code.starts[row + 1]):
            for z in range(code.lanes):
                place = code.columns[edge] * code.lanes + (z + code.shifts[edge]) % code.lanes
                out[row * code.lanes + z] ^= bits[place]
    return out


def sweep_plain(
    code: Code, signs: NDArray[np.float32], odds: NDArray[np.float32], messages: NDArray[np.float32]
) -> None:
    """One layered iteration of the sum-product algorithm in odds; changes ``odds`` and ``messages``."""
    lanes = np.arange(code.lanes)
    for row in range(code.rows):
        edges = range(code.starts[row], code.starts[row + 1])
        places = [code.columns[e] * code.lanes + (lanes + code.shifts[e]) % code.lanes for e in edges]
        said = [messages[e * code.lanes : (e + 1) * code.lanes] for e in edges]
        product = signs[row * code.lanes : (row + 1) * code.lanes].copy()
        before = [odds[place] for place in places]
        for known, message in zip(before, said, strict=True):
            product *= (known - message) / (known + message)
        for place, known, message in zip(places, before, said, strict=True):
            total, difference = known + message, known - message
            above = np.maximum(np.abs(difference + product * total), total * NEAR)
            below = np.maximum(np.abs(difference - product * total), total * NEAR)
            ratio = above / (below * message)
            message[:] = ratio * message
            odds[place] = np.minimum(np.maximum(known * ratio, ODDS_LEAST), ODDS_MOST)
