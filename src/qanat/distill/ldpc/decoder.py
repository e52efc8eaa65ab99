"""The receiver's side of a frame: from a syndrome to the error pattern."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qanat.distill.ldpc import kernels
from qanat.distill.ldpc.codes import COLUMNS, Code

# Iterations before more parities are asked for, at first and after each step. Measured by bench/ldpc.py: what does not
# decode by then seldom does, and decoding goes on from where it stands.
ITERATIONS_FIRST, ITERATIONS_MORE = 60, 25


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
        self._is_known = np.empty(code.bits, dtype=bool)
        self._product = np.empty(code.lanes, dtype=np.float32)
        self._frame_bits = 0
        self.iteration_count = 0

    def begin(self, frame_bits: int, qber: float) -> None:
        """Take up a frame of which nothing is known but its length and the error rate."""
        self._frame_bits = frame_bits
        code_bits = len(self._odds)
        self._is_known[:] = placed(np.ones(frame_bits, dtype=np.uint8), code_bits // COLUMNS) == 0
        self._odds[:] = np.float32((1 - qber) / qber)
        self._odds[self._is_known] = kernels.ODDS_MOST
        self._messages[:] = 1

    def errors(
        self, code: Code, wanted: NDArray[np.uint8], iterations: int, hidden: int = 0
    ) -> NDArray[np.uint8] | None:
        """The likely error pattern with this syndrome, one bit per element, shape (frame_bits,).

        What was learned of the frame before is kept: a message of a row that was split since is one that either half
        replaces in its turn.

        Args:
            code: The same edges as at the beginning, rows split or not.
            wanted: XOR of both ends' syndromes.
            iterations: How many to try.
            hidden: Lanes of the last row, at its end, whose parities nobody disclosed.

        Returns:
            None when none is found.
        """
        signs = 1 - 2 * wanted.astype(np.float32)
        disclosed = len(wanted) - hidden
        signs[disclosed:] = 0  # a check that says nothing: P = 0 in kernels.py
        shape = (code.starts, code.columns, code.shifts, code.lanes)
        parities = np.empty(code.lanes, dtype=np.uint8)
        for _ in range(iterations):
            kernels.sweep(*shape, signs, self._odds, self._messages, self._product)
            self.iteration_count += 1
            kernels.decide(self._odds, self._errors)
            is_met = kernels.has_syndrome(*shape, self._errors, wanted, disclosed, parities)
            if is_met and not self._errors[self._is_known].any():
                return self._errors.reshape(COLUMNS, code.lanes).T.reshape(-1)[: self._frame_bits].copy()
        return None

    def wipe(self) -> None:
        """Forget what was decoded."""
        for array in (self._odds, self._messages, self._errors, self._product):
            array[:] = 0
