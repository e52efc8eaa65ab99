"""The dense oracle: every slot, every photon, every trapped carrier, one by one. Slow on purpose.

It shares with the sparse sampler the settings function and the squashing of a pattern, nothing else: photon
numbers are drawn and each photon's fate is followed (Eve, fibre, basis splitter, misalignment, efficiency),
darks are drawn per detector, carriers are released by a hazard per slot, hold-off counts down. If both agree in
law, thinning, geometric gaps, mixtures over Eve's choices and scheduled releases are right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from qanat.physics.attack import Attack, Cut, InterceptResend, Jamming, Tap
from qanat.physics.clicks import Clicks, stream_state
from qanat.physics.memory import DetectorMemory
from qanat.physics.optics import DETECTOR_COUNT, Optics
from qanat.physics.settings import SettingsFunction


class DenseSampler:
    """As ``SparseSampler``, same arguments and methods."""

    def __init__(self, *, optics: Optics, memory: DetectorMemory, settings: SettingsFunction, seed: bytes) -> None:
        self.optics = optics
        self.memory = memory
        self.settings = settings
        self.state = stream_state(seed, "dense")
        self._trapped = np.zeros((DETECTOR_COUNT, len(memory.p_trap)), dtype=np.int64)
        self._dead_left = 0
        self._attacks: tuple[Attack, ...] = ()

    def set_attacks(self, attacks: Sequence[Attack]) -> None:
        """From the next chunk on, Eve does this."""
        self._attacks = tuple(attacks)

    def clicks(self, start: int, end: int) -> Clicks:
        """Clicks in slots [start, end). Chunks must come in order without gaps."""
        from qanat.physics import kernels

        attacks, optics = self._attacks, self.optics
        room = (end - start) // (self.memory.dead_gates + 1) + 2
        gate, pattern = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
        survival = [attack.transmittance for attack in attacks if isinstance(attack, Tap)]
        survival += [0.0 for attack in attacks if isinstance(attack, Cut)]
        count, self._dead_left = kernels.dense_clicks(
            start,
            end,
            *self.settings.key_words,
            self.settings.run,
            np.array(self.settings.law.thresholds, dtype=np.uint64),
            self.settings.law.threshold_x,
            np.array(optics.intensities),
            optics.transmittance * math.prod(survival),
            optics.p_x,
            optics.misalignment,
            np.array(optics.efficiency),
            np.array(optics.p_dark),
            np.array([attack.fraction for attack in attacks if isinstance(attack, InterceptResend)], dtype=np.float64),
            sum(attack.rate_hz for attack in attacks if isinstance(attack, Jamming)) / optics.clock_hz,
            self.memory.dead_gates,
            np.array(self.memory.p_trap, dtype=np.float64),
            np.array(self.memory.p_release, dtype=np.float64),
            self.state,
            self._trapped,
            self._dead_left,
            gate,
            pattern,
        )
        basis, bit = np.empty(count, dtype=np.uint8), np.empty(count, dtype=np.uint8)
        doubles = int(kernels.squash(pattern[:count], optics.p_x, self.state, basis, bit))
        return Clicks(gate=gate[:count], basis=basis, bit=bit, double_click_count=doubles, candidate_count=end - start)
