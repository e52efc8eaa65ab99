"""Clicks of both ends of a pair source. Exact: joint marks first, then each end's detectors remember alone.

Marks of different gates are independent and there are no settings, so a gate shows marks with one probability c and
gaps between such gates are geometric; the joint pattern has the law of ``pairs.pair_law``. Hold-off and traps of an
end look at that end's marks only. ``DensePairSampler`` follows pair after pair instead and shares no table with it.

Cost: about 100 ns per gate with a mark; empty gates cost nothing. Singles dominate: of the marked gates a share of
about the transmittance has both ends in it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanat.physics.clicks import stream_state
from qanat.physics.errors import SamplerError
from qanat.physics.memory import DetectorMemory
from qanat.physics.pairs import PairEnd, PairLink, pair_law
from qanat.physics.squash import squashed_law, telling
from qanat.physics.tables import traps_from_memory

CARRIERS_MAX = 4096
GATES_PER_DRAW = 1 << 18  # gates with a mark, drawn at a time: 4 MB

Gates = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndClicks:
    """What one end saw.

    Attributes:
        gate: Global slot number, strictly increasing, int64, shape (n,).
        basis, bit: After squashing, uint8, shape (n,).
        double_click_count: Slots in which several detectors clicked.
    """

    gate: Gates
    basis: NDArray[np.uint8]
    bit: NDArray[np.uint8]
    double_click_count: int


class EndDetectors:
    """Memory and squashing of one end."""

    def __init__(self, end: PairEnd, memory: DetectorMemory, *, seed: bytes, purpose: str) -> None:
        self.traps = traps_from_memory(memory, end.layout.detector_count)
        self.state = stream_state(seed, purpose)
        self.alive_from = np.zeros(end.layout.detector_count, dtype=np.int64)
        self._carriers = np.zeros((2, CARRIERS_MAX), dtype=np.int64)
        self._carrier_count = 0
        self._squash = np.cumsum(squashed_law(end.p_x, end.layout), axis=1)
        self._telling = telling(end.layout)
        self._stream = _generator(seed, f"{purpose}/squash")

    def clicks(self, gates: Gates, marks: Gates, start: int, end: int) -> EndClicks:
        """Clicks in [start, end) from this end's marks there.

        Raises:
            SamplerError: traps overflow.
        """
        gate, pattern = self._remembered(gates, marks, start, end)
        law = self._squash[pattern]
        outcome = (self._stream.random(len(gate))[:, None] * law[:, -1:] >= law).sum(axis=1)
        told = pattern & self._telling
        return EndClicks(
            gate=gate,
            basis=(outcome >> 1).astype(np.uint8),
            bit=(outcome & 1).astype(np.uint8),
            double_click_count=int((told & (told - 1) != 0).sum()),
        )

    def _remembered(self, gates: Gates, marks: Gates, start: int, end: int) -> tuple[Gates, Gates]:
        from qanat.physics import kernels

        # Rows that can be: one per mark, or, where carriers add to them, one per dead time and detector.
        room = len(gates) + self._carrier_count + 1
        if self.traps.p_trap.any():
            apart = (end - start) // (int(self.traps.dead_gates.min()) + 1) + 1
            room = min(end - start, apart * (1 if self.traps.is_simultaneous else len(self.alive_from)))
        out = np.empty((2, room), dtype=np.int64)
        count, self._carrier_count, status = kernels.remembered(
            end, gates, marks, self.traps, self.state, self._carriers, self._carrier_count, self.alive_from, out
        )
        if status == kernels.TRAPS_FULL:
            raise SamplerError(f"more than {CARRIERS_MAX} trapped carriers at once")
        return out[0, :count].copy(), out[1, :count].copy()


class PairSampler:
    """Both ends' clicks, chunk after chunk.

    Args:
        link: Source and ends.
        alice_memory, bob_memory: What the detectors remember.
        seed: Names the sampler's own streams.
    """

    purpose = "pairs"

    def __init__(
        self, *, link: PairLink, alice_memory: DetectorMemory, bob_memory: DetectorMemory, seed: bytes
    ) -> None:
        self._stream = _generator(seed, self.purpose)
        self.alice = EndDetectors(link.alice, alice_memory, seed=seed, purpose=f"{self.purpose}/alice")
        self.bob = EndDetectors(link.bob, bob_memory, seed=seed, purpose=f"{self.purpose}/bob")
        self._reached = 0
        self.set_link(link)

    def set_link(self, link: PairLink) -> None:
        """From the next chunk on, the light has this law; the ends' layouts stay."""
        self.link = link
        self._prepare()

    def clicks(self, start: int, end: int) -> tuple[EndClicks, EndClicks]:
        """Alice's and Bob's clicks in gates [start, end). Chunks come in order and do not overlap.

        Raises:
            SamplerError: out of order, or traps overflow.
        """
        if start < self._reached:
            raise SamplerError(f"gate {start} was sampled already; the next is {self._reached}")
        self._reached = end
        gates, patterns = self._marks(start, end)
        width = self.link.alice.layout.channel_count
        low, high = patterns & ((1 << width) - 1), patterns >> width
        return (
            self.alice.clicks(gates[low > 0], low[low > 0], start, end),
            self.bob.clicks(gates[high > 0], high[high > 0], start, end),
        )

    def _prepare(self) -> None:
        law = pair_law(self.link)
        order = np.argsort(-law[1:], kind="stable")
        self._cumulative, self._pattern = np.cumsum(law[1:][order]), order + 1

    def _marks(self, start: int, end: int) -> tuple[Gates, Gates]:
        p_any, parts, position = float(self._cumulative[-1]), [np.empty(0, dtype=np.int64)], start - 1
        while p_any > 0 and position < end:
            count = min(GATES_PER_DRAW, int((end - position) * p_any * 1.01) + 64)
            gaps = np.minimum(self._stream.geometric(p_any, count), end - start + 1)
            part = position + np.cumsum(gaps)
            position = int(part[-1])
            parts.append(part[part < end])
        gates = np.concatenate(parts)
        rank = np.searchsorted(self._cumulative, self._stream.random(len(gates)) * p_any, side="right")
        return gates, self._pattern[np.minimum(rank, len(self._pattern) - 1)]


class DensePairSampler(PairSampler):
    """The oracle: every pair's two photons one by one, for independent pairs. Slow on purpose.

    Alice's photon is unpolarised; her splitter chooses the basis, chance the bit. Bob's photon is then polarised in the
    direction that she found (with probability (1 + V) / 2, else across it) and obeys Malus's law; where hers was lost
    his has any direction. Each meets fibre, splitter and detector on its own.
    """

    purpose = "dense-pairs"

    def _prepare(self) -> None:
        if not np.isinf(self.link.source.mode_count) or self.link.intercepted:
            raise SamplerError("pair by pair works for independent pairs that nobody measures on the way")

    def _marks(self, start: int, end: int) -> tuple[Gates, Gates]:
        pairs = self._stream.poisson(self.link.source.mean_pairs, end - start)
        of_pair = np.repeat(np.arange(end - start), pairs)
        direction = self._stream.random(len(of_pair)) * 2 * np.pi
        width = self.link.alice.layout.channel_count
        patterns = self._darks(end - start, self.link.alice.p_dark) | (
            self._darks(end - start, self.link.bob.p_dark) << width
        )
        alice = self._photon(self.link.alice, direction, first=True)
        found = np.where(alice >= 0, self._angle(self.link.alice, alice), direction)
        keeps = self._stream.random(len(of_pair)) < (1 + self._strength) / 2
        bob = self._photon(self.link.bob, np.where(keeps, found, found + np.pi), first=False)
        np.bitwise_or.at(patterns, of_pair[alice >= 0], np.int64(1) << alice[alice >= 0])
        np.bitwise_or.at(patterns, of_pair[bob >= 0], np.int64(1) << (bob[bob >= 0] + width))
        gates = np.flatnonzero(patterns)
        return gates + start, patterns[gates]

    @property
    def _strength(self) -> float:
        return self.link.source.visibility * self.link.alice.visibility * self.link.bob.visibility

    def _darks(self, count: int, p_dark: tuple[float, ...]) -> Gates:
        drawn = self._stream.random((count, len(p_dark))) < np.array(p_dark)
        return drawn.astype(np.int64) @ (1 << np.arange(len(p_dark)))

    def _angle(self, end: PairEnd, channel: Gates) -> NDArray[np.float64]:
        return np.asarray(np.asarray(end.angles_rad)[channel] - end.rotation_rad)

    def _photon(self, end: PairEnd, direction: NDArray[np.float64], *, first: bool) -> Gates:
        """The channel that detects each photon, -1 for none; the first photon of a pair is unpolarised."""
        angle = np.asarray(end.angles_rad) - end.rotation_rad
        polarised = np.zeros_like(angle) if first else np.ones_like(angle)
        lean = 1 + polarised * np.cos(direction[:, None] - angle)
        shares = np.cumsum(np.asarray(end.shares) * lean / 2, axis=1)
        channel = (self._stream.random(len(direction))[:, None] * shares[:, -1:] >= shares).sum(axis=1)
        efficiency = end.transmittance * np.asarray(end.efficiency)[channel]
        return np.where(self._stream.random(len(direction)) < efficiency, channel, -1)


def _generator(seed: bytes, purpose: str) -> np.random.Generator:
    digest = hashlib.sha256(f"qanat/physics/{purpose}/".encode() + seed).digest()
    return np.random.Generator(np.random.Philox(int.from_bytes(digest, "little") % 2**128))
