"""Pulse blocks in order, gathered until a key block is full. Both ends come to the same cut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qanat.core.errors import RemoteProtocolError
from qanat.core.report import LinkReport
from qanat.distill.plan import SIFTED_BITS_MAX, SessionPlan
from qanat.distill.sift import Bits, PulseBlock
from qanat.keyrate.counts import DecoyCounts
from qanat.keyrate.three_state import ThreeStateCounts

# A key block also ends here, or a dark link would gather for ever: 17 min of 50 ms. An empty pulse block's messages
# with the health of both modules are 900 bytes: 18 MB of transcript.
PULSE_BLOCKS_MAX = 20_000
# A peer that keeps nothing of what was seen would have us gather words for ever. Laser light says 5 bytes per sifted
# detection, pairs of which one in twenty coincides say 45; empty pulse blocks see above.
SAID_BYTES_PER_SIFTED = 100
SAID_BYTES_EMPTY = 2**25


@dataclass(slots=True, kw_only=True)
class GatheredBlock:
    """One sifted key with its public counts, at one end.

    Attributes:
        number: Counts key blocks of the session from 0.
        size_bits: Length of the sifted key; stays when the key itself has moved on.
        x_bits: This end's sifted key, one bit per element. Secret; ``wipe`` when done.
        said: All messages of its sifting, in the order both ends agree on.
    """

    number: int
    first_number: int
    last_number: int
    start_ns: int
    end_ns: int
    n_pulses: int
    size_bits: int
    x_bits: Bits
    counts: DecoyCounts
    said: list[bytes]

    @property
    def qber_z(self) -> float | None:
        return self.counts.errors_z / self.counts.total_z if self.counts.total_z else None

    @property
    def said_bytes(self) -> int:
        return sum(len(said) for said in self.said)

    def wipe(self) -> None:
        self.forget_key()
        self.said.clear()

    def forget_key(self) -> None:
        """Reconciliation has its own copy: one bit a byte is too much to keep while many key blocks are open."""
        self.x_bits[:] = 0
        self.x_bits = self.x_bits[:0].copy()


class Gathering:
    """The key block that is filling."""

    def __init__(self, plan: SessionPlan) -> None:
        self._plan = plan
        self._said_bytes_max = SAID_BYTES_PER_SIFTED * plan.sifted_count_wanted + SAID_BYTES_EMPTY
        self._number = 0
        self._blocks: list[PulseBlock] = []
        self._sifted_count = 0
        self._said_bytes = 0

    def add(self, block: PulseBlock) -> GatheredBlock | None:
        """One more pulse block; the key block that it completes, if it does.

        Only the number of sifted detections decides, never their bases or intensities.

        Raises:
            RemoteProtocolError: more was said than about any honest key block.
        """
        self._blocks.append(block)
        self._said_bytes += sum(len(said) for said in block.said)
        if self._said_bytes > self._said_bytes_max:
            raise RemoteProtocolError(f"{self._said_bytes} bytes of sifting, and still no key block")
        self._sifted_count += sum(block.n_x) + sum(block.n_z)
        is_full = self._sifted_count >= self._plan.sifted_count_wanted or len(self._blocks) >= PULSE_BLOCKS_MAX
        return self._finished() if is_full else None

    def wipe(self) -> None:
        for block in self._blocks:
            block.x_bits[:] = 0
        self._blocks.clear()

    def _finished(self) -> GatheredBlock:
        blocks, self._blocks, self._sifted_count, self._said_bytes = self._blocks, [], 0, 0
        number, self._number = self._number, self._number + 1
        x_bits = np.concatenate([block.x_bits for block in blocks])[:SIFTED_BITS_MAX]
        gathered = GatheredBlock(
            number=number,
            first_number=blocks[0].number,
            last_number=blocks[-1].number,
            start_ns=blocks[0].start_ns,
            end_ns=blocks[-1].start_ns + self._plan.pulse_block_ns,
            n_pulses=len(blocks) * self._plan.pulses_per_block,
            size_bits=len(x_bits),
            x_bits=x_bits,
            counts=self._counts(blocks),
            said=[said for block in blocks for said in block.said],
        )
        for block in blocks:
            block.x_bits[:] = 0
        return gathered

    def _counts(self, blocks: list[PulseBlock]) -> DecoyCounts:
        names = ("n_x", "n_z", "m_z", *(("n_c", "zero_c") if self._plan.is_three_state else ()))
        sums = {name: _sums([getattr(block, name) for block in blocks]) for name in names}
        return ThreeStateCounts(**sums) if self._plan.is_three_state else DecoyCounts(**sums)


def link_report(block: PulseBlock, plan: SessionPlan, now_ns: int) -> LinkReport:
    """The public statistics of one pulse block, known to both ends after the test bits."""
    return LinkReport(
        link=plan.link,
        number=block.number,
        start_ns=block.start_ns,
        duration_ns=plan.pulse_block_ns,
        n_pulses=plan.pulses_per_block,
        detection_count=block.detection_count,
        double_click_count=block.double_click_count,
        sifted_counts=tuple(zip(block.n_x, block.n_z, strict=True)),
        error_counts_z=block.m_z,
        made_at_ns=now_ns,
        receiver=block.receiver,
        transmitter=block.transmitter,
    )


def _sums(columns: list[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(np.array(columns, dtype=np.int64).sum(axis=0).tolist())
