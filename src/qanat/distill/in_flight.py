"""How many key blocks are open at once: enough to hide the round trips, few enough to fit into memory.

One key block alone would yield its bits once per (rounds times round-trip time): 200 000 bits in 200 rounds of
10 ms are 0.1 Mbit/s, however fast the machine. The bound is in bytes, because key blocks differ in size.
"""

from __future__ import annotations

import math

from qanat.distill.cascade.schedule import Pace
from qanat.distill.plan import SessionPlan

# What one end holds per sifted bit while a key block is open: Cascade's packed passes and trees, its permutations
# (shared by the frames of a key block; a small key block bears them alone) and the words of the transcript.
BYTES_PER_BIT = 10
ROUND_TRIPS_EXPECTED = Pace.FEW_ROUNDS.rounds_typical / 2
RATE_EXPECTED_BPS = 50e6  # sifted bits one end reconciles per second when it never waits
BLOCKS_MAX = 256  # small key blocks: more messages per round trip than this cost more than they win
BLOCKS_LIMIT = 2 * BLOCKS_MAX + 8  # open at an honest peer's at most, who counts with a delay
SLACK_BYTES = 2**27  # light on its way through sifting when the receiver stopped, as key blocks


def blocks_wanted(plan: SessionPlan, round_trip_ns: int) -> int:
    """Key blocks in distillation at once so that this round-trip time costs no throughput.

    Example:
        >>> from qanat.core.ids import LinkId
        >>> plan = SessionPlan(link=LinkId("a-b"), epoch=1, intensities=(0.5, 0.1, 0.0), p_intensities=(0.5, 0.3, 0.2),
        ...     p_x=0.9, pulses_per_block=1000, pulse_block_ns=1000, block_sifted_bits=1_000_000, epsilon_sec=1e-9,
        ...     epsilon_cor=1e-12, is_simulated=True)
        >>> [blocks_wanted(plan, round_trip_ns) for round_trip_ns in (0, 1_000_000, 10_000_000)]
        [1, 10, 53]
    """
    waiting_bits = ROUND_TRIPS_EXPECTED * round_trip_ns / 1e9 * RATE_EXPECTED_BPS
    wanted = 1 + math.ceil(waiting_bits / plan.block_sifted_bits)
    by_memory = plan.in_flight_bytes_max // (BYTES_PER_BIT * plan.block_sifted_bits)
    return max(1, min(wanted, by_memory, BLOCKS_MAX))


def held_bytes(size_bits: int, transcript_bytes: int) -> int:
    """Memory of one open key block, on the safe side."""
    return BYTES_PER_BIT * size_bits + transcript_bytes
