"""A QKD link at the statistical tier: counts become reports, and equal key blocks for both ends.

What is real: the law of the counts (``physics.statistical``), the security proof and its finite-key terms
(``keyrate.lim2014``, ``keyrate.three_state``), what a block pays for authentication. What is not: no bit is sifted or
reconciled. The leak is a model, and the key's bits come from ``SimulatedEntropy``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from qanat.core.ids import block_id
from qanat.core.provenance import Authentication, Origin, Provenance
from qanat.core.records import KeyBlock
from qanat.core.report import BlockReport, LinkReport
from qanat.core.secret import SecretBits
from qanat.core.topology import Fibre, Link
from qanat.distill.authenticate import RETURNED_BYTES
from qanat.distill.cascade.schedule import FRAME_BITS_MAX
from qanat.distill.estimate import QBER_HOPELESS
from qanat.distill.plan import sifted_count_wanted
from qanat.distill.release import TOKEN_BYTES
from qanat.distill.verify import tag_size_bytes
from qanat.keyrate.counts import DecoyCounts
from qanat.keyrate.lim2014 import SecretLength, secret_length
from qanat.keyrate.sampling import binary_entropy
from qanat.keyrate.three_state import ThreeStateCounts, three_state_length
from qanat.physics.attack import Attack
from qanat.physics.datasheet import load_transmitter
from qanat.sim.counted import StatisticalGlass, WindowCounts
from qanat.sim.entropy import SimulatedEntropy

# What Cascade discloses over the Shannon limit, on the safe side: `bench/cascade.py` measures a mean of 1.05 to
# 1.08 at 1e6 bits and 1 to 3 %.
LEAK_FACTOR = 1.15
AUTH_BITS = 8 * (RETURNED_BYTES + TOKEN_BYTES)
EPSILON_AUTH = 1e-15  # of one block's transcript; the live session computes it from the transcript's length
EPOCH = 1

_Number = TypeVar("_Number", int, float)


@dataclass(slots=True)
class _Gathered:
    """Windows that will become one key block."""

    first: WindowCounts
    n_x: list[int] = field(default_factory=lambda: [0, 0, 0])
    n_z: list[int] = field(default_factory=lambda: [0, 0, 0])
    m_z: list[int] = field(default_factory=lambda: [0, 0, 0])
    crossed: list[list[int]] = field(default_factory=lambda: [[0, 0, 0], [0, 0, 0]])  # outcome 0, outcome 1
    errors_x: int = 0
    n_pulses: int = 0

    def add(self, window: WindowCounts) -> None:
        for index, (x, z) in enumerate(window.sifted_counts):
            self.n_x[index] += x
            self.n_z[index] += z
            self.m_z[index] += window.error_counts_z[index]
        for index, outcomes in enumerate(window.crossed_counts):
            for outcome, count in enumerate(outcomes):
                self.crossed[outcome][index] += count
        self.errors_x += sum(window.error_counts_x)
        self.n_pulses += window.n_pulses

    @property
    def counts(self) -> DecoyCounts:
        return DecoyCounts(n_x=_three(self.n_x), n_z=_three(self.n_z), m_z=_three(self.m_z))

    @property
    def three_state_counts(self) -> ThreeStateCounts:
        zeros, ones = self.crossed
        n_c = _three([zero + one for zero, one in zip(zeros, ones, strict=True)])
        return ThreeStateCounts(
            n_x=_three(self.n_x), n_z=_three(self.n_z), m_z=_three(self.m_z), n_c=n_c, zero_c=_three(zeros)
        )


class StatisticalLink:
    """One link, window after window.

    Attributes:
        attacks: What Eve does to the light from the next window on; change it with ``set_attacks``.
    """

    def __init__(self, *, link: Link, fibre: Fibre, stream_seed: bytes, entropy: SimulatedEntropy) -> None:
        self.link = link
        self._glass = StatisticalGlass(link=link, fibre=fibre, stream_seed=stream_seed)
        self._sheet = load_transmitter(link.transmitter)
        self._wanted = sifted_count_wanted(block_sifted_bits=link.block_sifted_bits, p_x=self._sheet.p_x)
        self._entropy = entropy
        self._gathered: _Gathered | None = None
        self._number = 0

    @property
    def attacks(self) -> tuple[Attack, ...]:
        return self._glass.attacks

    def set_attacks(self, attacks: tuple[Attack, ...]) -> None:
        self._glass.set_attacks(attacks)

    def next_window(self, duration_ns: int, now_ns: int) -> tuple[LinkReport, BlockReport | None, KeyBlock | None]:
        """The next window's report; with the window that fills a key block, also its report and, where the proof
        gives anything, the block. Both ends get ``copy_of`` it."""
        window = self._glass.next_counts(duration_ns)
        if self._gathered is None:
            self._gathered = _Gathered(first=window)
        self._gathered.add(window)
        report = _link_report(window, now_ns)
        if sum(self._gathered.n_x) + sum(self._gathered.n_z) < self._wanted:
            return report, None, None
        gathered, self._gathered = self._gathered, None
        return (report, *self._distil(gathered, window, now_ns))

    def _distil(self, gathered: _Gathered, last: WindowCounts, now_ns: int) -> tuple[BlockReport, KeyBlock | None]:
        counts = gathered.three_state_counts if self._sheet.is_three_state else gathered.counts
        qber_x = gathered.errors_x / counts.total_x
        leak_bits = math.ceil(LEAK_FACTOR * counts.total_x * binary_entropy(min(0.5, qber_x)))
        proof = self._proof(counts, leak_bits)
        secret_bits = _net_bits(proof, counts.total_x)
        aborted = _reason(counts, secret_bits)
        name = block_id(self.link.id, EPOCH, self._number)
        self._number += 1
        report = BlockReport(
            link=self.link.id,
            block=name,
            aborted=aborted,
            first_number=gathered.first.number,
            last_number=last.number,
            start_ns=gathered.first.start_ns,
            end_ns=last.start_ns + last.duration_ns,
            n_pulses=gathered.n_pulses,
            sifted_bits=counts.total_x,
            qber_x=qber_x,
            leak_bits=leak_bits,
            tag_bits=self._tag_bits(counts),
            authentication=Authentication.PRE_SHARED,
            auth_bits=0 if aborted else AUTH_BITS,
            secret_bits=0 if aborted else secret_bits,
            phase_error_bound=proof.phase_error_bound,
            single_photon_bound=proof.single_photon_bound,
            vacuum_bound=proof.vacuum_bound,
            epsilon={**proof.epsilon, "authentication": EPSILON_AUTH},
            made_at_ns=now_ns,
        )
        return report, None if aborted else self._block(report)

    def _tag_bits(self, counts: DecoyCounts) -> int:
        """As distillation's: one tag per frame of Cascade."""
        frames = max(1, -(-counts.total_x // FRAME_BITS_MAX))
        size_bits = -(-counts.total_x // frames)
        return 8 * frames * tag_size_bytes([size_bits] * frames, self.link.epsilon_cor)

    def _proof(self, counts: DecoyCounts, leak_bits: int) -> SecretLength:
        proof = partial(secret_length, counts)
        if isinstance(counts, ThreeStateCounts):
            proof = partial(three_state_length, counts, p_x=self._sheet.p_x)
        return proof(
            intensities=_three(self._sheet.intensities),
            p_intensities=_three(self._sheet.p_intensities),
            leak_bits=leak_bits,
            tag_bits=self._tag_bits(counts),
            epsilon_sec=self.link.epsilon_sec,
            epsilon_cor=self.link.epsilon_cor,
        )

    def _block(self, report: BlockReport) -> KeyBlock:
        return KeyBlock(
            link=self.link.id,
            block=report.block,
            start_ns=report.start_ns,
            end_ns=report.end_ns,
            bits=SecretBits(self._entropy.random_bytes(report.secret_bits // 8)),
            provenance=Provenance(
                origin=Origin.QKD,
                links=(self.link.id,),
                authentication=Authentication.PRE_SHARED,
                epsilon_total=min(1.0, sum(report.epsilon.values())),
                simulated=True,
            ),
        )


def copy_of(block: KeyBlock) -> KeyBlock:
    """The same block for the other end, with bits of its own: each end wipes what it owns."""
    return KeyBlock(
        link=block.link,
        block=block.block,
        start_ns=block.start_ns,
        end_ns=block.end_ns,
        bits=block.bits.take(0, block.bits.size_bytes),
        provenance=block.provenance,
    )


def _net_bits(proof: SecretLength, sifted_bits: int) -> int:
    """As ``distill.estimate``: the vacuum term is not credited, whole bytes, authentication is paid for."""
    gross = min(proof.length_bits, math.floor(proof.signed_bits - proof.vacuum_bound), sifted_bits) // 8 * 8
    return max(0, gross - AUTH_BITS)


def _reason(counts: DecoyCounts, secret_bits: int) -> str | None:
    qber = counts.errors_z / counts.total_z if counts.total_z else None
    if qber is None:
        return "no test bits: nothing is known about the channel"
    if qber > QBER_HOPELESS:
        return f"QBER too high: {100 * qber:.2f} % in Z, no key above {100 * QBER_HOPELESS:.0f} %"
    if not secret_bits:
        return f"the proof gives nothing: QBER {100 * qber:.2f} %"
    return None


def _link_report(window: WindowCounts, now_ns: int) -> LinkReport:
    return LinkReport(
        link=window.link,
        number=window.number,
        start_ns=window.start_ns,
        duration_ns=window.duration_ns,
        n_pulses=window.n_pulses,
        detection_count=window.detection_count,
        double_click_count=window.double_click_count,
        sifted_counts=window.sifted_counts,
        error_counts_z=window.error_counts_z,
        made_at_ns=now_ns,
        receiver=window.receiver,
        transmitter=window.transmitter,
    )


def _three(values: Sequence[_Number]) -> tuple[_Number, _Number, _Number]:
    first, second, third = values
    return first, second, third
