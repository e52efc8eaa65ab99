"""The receiver's side of a frame: from a syndrome to the error pattern."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qanat.distill.ldpc import kernels
from qanat.distill.ldpc.codes import COLUMNS, Code

ITERATIONS_MAX = 90  # what has not decoded by then seldom does; more parities are cheaper
FIRST_CHECK = 12  # iterations before which no frame is done


def placed(bits: NDArray[np.uint8], lanes: int) -> NDArray[np.uint8]:
    """A frame's bits in the code's order, zero where it is shorter than the code: bit i is lane i // COLUMNS of
    column i mod COLUMNS, so that the padding is spread over all columns alike."""
    padded = np.zeros(COLUMNS * lanes, dtype=np.uint8)
    padded[: len(bits)] = bits
    return np.ascontiguousarray(padded.reshape(lanes, COLUMNS).T).reshape(-1)


def syndrome(code: Code, placed_bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Parities of every row, uint8, shape (rows * lanes,)."""
    out = np.empty(code.rows * code.lanes, dtype=np.uint8)
    kernels.syndrome(code.starts, code.columns, code.shifts, code.lanes, placed_bits, out)
    return out


class Decoder:
    """Room for decoding one frame after another: 4 bytes per edge, some 25 bytes per bit of a frame."""

    def __init__(self, code: Code) -> None:
        self._odds = np.empty(code.bits, dtype=np.float32)
        self._messages = np.empty(len(code.columns) * code.lanes, dtype=np.float32)
        self._errors = np.empty(code.bits, dtype=np.uint8)
        self._product = np.empty(code.lanes, dtype=np.float32)
        self.iteration_count = 0

    def errors(self, code: Code, wanted: NDArray[np.uint8], frame_bits: int, qber: float) -> NDArray[np.uint8] | None:
        """The likely error pattern with this syndrome, one bit per element, shape (frame_bits,).

        Args:
            code: The same edges as at the beginning, rows split or not.
            wanted: XOR of both ends' syndromes.

        Returns:
            None when none is found in ITERATIONS_MAX iterations.
        """
        is_known = placed(np.zeros(frame_bits, dtype=np.uint8) + np.uint8(1), code.lanes) == 0
        self._odds[:] = np.float32((1 - qber) / qber)
        self._odds[is_known] = kernels.ODDS_MOST
        self._messages[:] = 1
        signs = 1 - 2 * wanted.astype(np.float32)
        reached = np.empty_like(wanted)
        shape = (code.starts, code.columns, code.shifts, code.lanes)
        for iteration in range(ITERATIONS_MAX):
            kernels.sweep(*shape, signs, self._odds, self._messages, self._product)
            self.iteration_count += 1
            if iteration + 1 < FIRST_CHECK:
                continue
            kernels.decide(self._odds, self._errors)
            kernels.syndrome(*shape, self._errors, reached)
            if np.array_equal(reached, wanted) and not self._errors[is_known].any():
                return self._errors.reshape(COLUMNS, code.lanes).T.reshape(-1)[:frame_bits].copy()
        return None

    def wipe(self) -> None:
        """Forget what was decoded."""
        for array in (self._odds, self._messages, self._errors, self._product):
            array[:] = 0
