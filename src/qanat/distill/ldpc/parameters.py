"""What both ends agree on before the first syndrome: code, frames, how many parities now and how many more later."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from qanat.core.errors import RemoteProtocolError
from qanat.distill.ldpc.codes import COLUMNS, LANES, row_counts

QBER_LEAST, QBER_MOST = 0.004, 0.12
SIZE_BITS_LEAST = 60_000  # below it f exceeds 1.15 and Cascade is better at any distance
FRAMES_MAX = 256
QBER_UNIT = 1e-5
ADDED_DIVISOR = 4  # spread over more rows than a quarter more, a code is a poor one; two codes are a twelfth apart
STEPS_MAX = 8  # times that a frame gets more parities
_FORMAT = struct.Struct("!BBBIBBH")
VERSION = 2

# Efficiency aimed at by the first syndromes, by circulant size: there decoding takes some 45 iterations, and of long
# frames nearly none needs more; of short ones a third do, whose errors happen to be many. Measured by bench/ldpc.py.
AIMS = (1.085, 1.08, 1.075)
# The codes for few errors are further from capacity (design/ldpc_profiles.jsonl): what is added below each rate.
AIM_MORE = ((0.009, 0.03), (0.0135, 0.015))
STEP_SHARE = 0.004  # of the rows, that the first later step adds; the n-th adds n times as much, all together a seventh


@dataclass(frozen=True, slots=True)
class LdpcPlan:
    """The public plan of one key block.

    Attributes:
        size: Index of the circulant size in ``codes.LANES``.
        code: Index of the code.
        parities: Bits of the first syndrome, a multiple of 8. The code is spread over as many rows as that takes; of
            the last row only the first lanes are disclosed.
        step_rows: Rows that the first step after that splits; the second splits twice as many, and so on.
        step_count: How many steps before Cascade takes over.
        qber_units: Error rate that decoding and Cascade assume, in units of 1e-5.
    """

    size: int
    code: int
    parities: int
    step_rows: int
    step_count: int
    qber_units: int

    @property
    def qber(self) -> float:
        return self.qber_units * QBER_UNIT

    @property
    def code_bits(self) -> int:
        return COLUMNS * LANES[self.size]

    def encode(self) -> bytes:
        return _FORMAT.pack(
            VERSION, self.size, self.code, self.parities, self.step_rows, self.step_count, self.qber_units
        )

    def frame_count(self, size_bits: int) -> int:
        return -(-size_bits // self.code_bits)

    @property
    def rows(self) -> int:
        """At the beginning, the last one perhaps in part."""
        return -(-self.parities // LANES[self.size])

    @property
    def rows_added(self) -> int:
        return self.rows - row_counts()[self.code]

    @property
    def hidden(self) -> int:
        """Lanes of the last row that are not disclosed. That row is never split."""
        return self.rows * LANES[self.size] - self.parities

    def splits_after(self, steps: int) -> int:
        return min(self.rows - 1, self.step_rows * steps * (steps + 1) // 2)


def ldpc_parameters(size_bits: int, qber: float, round_trip_ns: int = 0) -> bytes | None:
    """The plan for this key as the peer is told it; None where LDPC does not suit (key too short, qber outside).

    Args:
        qber: Estimated, never the true one.
        round_trip_ns: Where round trips are dear, steps are larger, so that there are fewer.

    Example:
        >>> ldpc_parameters(1_000_000, 0.03) is not None, ldpc_parameters(10_000, 0.03)
        (True, None)
    """
    if size_bits < SIZE_BITS_LEAST or not QBER_LEAST <= qber <= QBER_MOST:
        return None
    size = _size(size_bits)
    code_bits = COLUMNS * LANES[size]
    frames = -(-size_bits // code_bits)
    if frames > FRAMES_MAX:
        return None
    frame_bits = -(-size_bits // frames)
    entropy = -qber * math.log2(qber) - (1 - qber) * math.log2(1 - qber)
    # Padding is known, so a short frame needs as many parities as its own bits do.
    aim = AIMS[size] + next((more for below, more in AIM_MORE if qber < below), 0.0)
    counts, lanes = row_counts(), LANES[size]
    parities = max(counts[0] * lanes, 8 * round(aim * entropy * frame_bits / 8))
    code = max(index for index, rows in enumerate(counts) if rows * lanes <= parities)
    if parities > counts[code] * lanes * (1 + 1 / ADDED_DIVISOR):
        return None
    share = STEP_SHARE * (2 if round_trip_ns > 50_000_000 else 1)
    step_rows = max(1, round(share * parities / lanes))
    return LdpcPlan(size, code, parities, step_rows, STEPS_MAX, round(qber / QBER_UNIT)).encode()


def plan_from_parameters(parameters: bytes, size_bits: int) -> LdpcPlan:
    """The peer's plan, checked.

    Raises:
        RemoteProtocolError: not a plan, or none that ``ldpc_parameters`` could give for such a key.
    """
    if len(parameters) != _FORMAT.size:
        raise RemoteProtocolError(f"{len(parameters)} bytes of LDPC parameters, not {_FORMAT.size}")
    version, *fields = _FORMAT.unpack(parameters)
    plan = LdpcPlan(*fields)
    rows = row_counts()
    if version != VERSION or plan.size >= len(LANES) or plan.code >= len(rows):
        raise RemoteProtocolError("LDPC parameters name a version, size or code that does not exist")
    is_fair = (
        plan.parities % 8 == 0
        and 0 <= plan.rows_added <= 1 + rows[plan.code] // ADDED_DIVISOR
        and 1 <= plan.step_rows <= rows[plan.code]
        and plan.step_count <= STEPS_MAX
        and round(QBER_LEAST / QBER_UNIT) <= plan.qber_units <= round(QBER_MOST / QBER_UNIT)
        and size_bits >= SIZE_BITS_LEAST
        and plan.frame_count(size_bits) <= FRAMES_MAX
        and plan.code_bits * plan.frame_count(size_bits) <= 2 * size_bits + plan.code_bits
    )
    if not is_fair:
        raise RemoteProtocolError("LDPC parameters are outside what this key allows")
    return plan


def _size(size_bits: int) -> int:
    """The largest circulants whose frames this key fills to four fifths; else those it fills best."""
    filled = []
    for size, lanes in enumerate(LANES):
        code_bits = COLUMNS * lanes
        filled.append((size_bits / (-(-size_bits // code_bits) * code_bits), size))
    good = [size for share, size in filled if share >= 0.8]
    return max(good) if good else max(filled)[1]
