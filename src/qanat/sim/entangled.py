"""A simulated pair source between two receivers, and the end that plays the transmitter's part in distillation.

The glass yields two blocks at a time, one per end. Bob's goes to the receiver's session as any receiver's. Alice's
stays at her end, in ``PairTransmitter``: asked what she "prepared" in a slot, it answers with what she measured
there, and with "nothing known" where she saw nothing; sifting drops those slots. Neither session nor host change.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from qanat.core.errors import MisuseError
from qanat.core.health import TransmitterHealth
from qanat.core.ids import LinkId
from qanat.core.records import DetectionBlock, SettingsColumns
from qanat.physics.memory import DetectorMemory
from qanat.physics.pair_sampler import EndClicks, PairSampler
from qanat.physics.pairs import PairLink

BLOCKS_KEPT = 4096  # a receiver that lags further behind than this finds its slots forgotten


class SimulatedPairGlass:
    """Source, both fibres and both ends' detectors.

    Args:
        link: Name of the QKD link.
        pairs: Source and ends; ``intercepted`` is Eve.
        alice_memory, bob_memory: What the detectors remember.
        pulses_per_block, pulse_block_ns: As in the session's plan.
        stream_seed: Names the glass's own chance.
    """

    is_simulated = True

    def __init__(
        self,
        *,
        link: LinkId,
        pairs: PairLink,
        alice_memory: DetectorMemory,
        bob_memory: DetectorMemory,
        pulses_per_block: int,
        pulse_block_ns: int,
        stream_seed: bytes,
    ) -> None:
        if pulses_per_block < 1 or pulse_block_ns < 1:
            raise MisuseError(f"link {link}: a pulse block needs at least one slot and one nanosecond")
        self.link = link
        self.pairs = pairs
        self.pulses_per_block = pulses_per_block
        self.pulse_block_ns = pulse_block_ns
        self._number = 0
        self._sampler = PairSampler(link=pairs, alice_memory=alice_memory, bob_memory=bob_memory, seed=stream_seed)

    def set_pairs(self, pairs: PairLink) -> None:
        """From the next block on: another brightness, loss or Eve; the ends' layouts stay."""
        self._sampler.set_link(pairs)
        self.pairs = pairs

    def next_blocks(self) -> tuple[DetectionBlock, DetectionBlock]:
        """What Alice and Bob saw in the next block of pulses."""
        first = self._number * self.pulses_per_block
        alice, bob = self._sampler.clicks(first, first + self.pulses_per_block)
        blocks = self._block(alice, first), self._block(bob, first)
        self._number += 1
        return blocks

    def _block(self, clicks: EndClicks, first: int) -> DetectionBlock:
        return DetectionBlock(
            link=self.link,
            number=self._number,
            start_ns=self._number * self.pulse_block_ns,
            n_pulses=self.pulses_per_block,
            index=clicks.gate - first,
            basis=clicks.basis,
            bit=clicks.bit,
            double_click_count=clicks.double_click_count,
        )


class PairTransmitter:
    """Alice's receiver in the transmitter's place. Satisfies ``core.ports.TransmitterModule``.

    Her record of a block is given away once and then forgotten, so that nobody can ask for it in another way.

    Args:
        mean_pairs: Per pulse; the only "intensity".
        p_x: Share of the light that she measures in X.
    """

    is_simulated = True

    def __init__(self, *, link: LinkId, mean_pairs: float, p_x: float) -> None:
        self.link = link
        self.intensities = (mean_pairs,)
        self.p_intensities = (1.0,)
        self.p_x = p_x
        self._seen: OrderedDict[int, DetectionBlock] = OrderedDict()

    def add_detections(self, block: DetectionBlock) -> None:
        """What Alice's receiver saw in the next block."""
        self._seen[block.number] = block
        while len(self._seen) > BLOCKS_KEPT:
            _wipe(self._seen.popitem(last=False)[1])

    def health_of(self, block_number: int) -> TransmitterHealth | None:
        """Nothing: a source in the middle is nobody's own."""
        return None

    def settings_at(self, block_number: int, index: NDArray[np.int64]) -> SettingsColumns:
        """What Alice measured in these slots; not known where she saw nothing, or the block is gone."""
        slots = np.asarray(index, dtype=np.int64)
        nothing = np.zeros(len(slots), dtype=np.uint8)
        seen = self._seen.pop(block_number, None)
        if seen is None or not len(seen.index):
            return SettingsColumns(intensity=nothing, basis=nothing, bit=nothing.copy(), is_known=nothing > 0)
        place = np.minimum(np.searchsorted(seen.index, slots), len(seen.index) - 1)
        is_known = seen.index[place] == slots
        columns = SettingsColumns(
            intensity=nothing,
            basis=np.where(is_known, seen.basis[place], nothing),
            bit=np.where(is_known, seen.bit[place], nothing),
            is_known=is_known,
        )
        _wipe(seen)
        return columns


def _wipe(block: DetectionBlock) -> None:
    block.bit[:] = 0
