"""What the two samplers of clicks share: attacks in, chunks out, and the time tagger behind them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qanat.physics.attack import Attack
from qanat.physics.clicks import Clicks, stream_state
from qanat.physics.light import Light, light_of
from qanat.physics.memory import DetectorMemory
from qanat.physics.optics import Optics
from qanat.physics.recorder import Recorder
from qanat.physics.settings import SettingsFunction
from qanat.physics.tables import Traps, choice_from_settings, traps_from_memory

Rows = NDArray[np.int64]


class Sampler:
    """Clicks of one link, chunk after chunk; detector memory goes from each to the next.

    Args:
        optics: What the light meets.
        memory: What the detectors remember.
        settings: F_K of the transmitter.
        seed: Names the sampler's own streams, which must have nothing to do with K.
    """

    purpose = ""

    def __init__(self, *, optics: Optics, memory: DetectorMemory, settings: SettingsFunction, seed: bytes) -> None:
        self.optics = optics
        self.memory = memory
        self.settings = settings
        self.state = stream_state(seed, self.purpose)
        self.choice = choice_from_settings(settings)
        self.light = light_of(optics, memory)
        self.recorder = Recorder(self.light, seed=seed, purpose=f"{self.purpose}/tagger")
        self.wiring = self.recorder.wiring
        self.alive_from = np.zeros(optics.layout.detector_count, dtype=np.int64)
        self._reached = 0
        self._memory = np.empty(0, dtype=np.int64)
        self._attacks: tuple[Attack, ...] = ()
        self._renew()

    def set_attacks(self, attacks: Sequence[Attack]) -> None:
        """From the next chunk on, the light has this law (a few gates later, where tags fall beyond their gate)."""
        self._attacks = tuple(attacks)
        self._renew()

    def set_optics(self, optics: Optics, memory: DetectorMemory | None = None) -> None:
        """From the next chunk on, the link has drifted to these values; its layout stays."""
        self.optics = optics
        self.memory = self.memory if memory is None else memory
        self._renew()

    def clicks(self, start: int, end: int) -> Clicks:
        """Clicks in slots [start, end). Chunks must come in order and must not overlap.

        Raises:
            SamplerError: a bound of the thinning does not hold, or traps overflow.
        """
        first = max(start, self._reached)
        self._reached = max(first, end + self.recorder.reach_gates)
        clicked, looked_at = self._clicked(first, self._reached)
        return self.recorder.clicks(clicked, start, end, looked_at)

    def _renew(self) -> None:
        self.light = light_of(self.optics, self.memory, self._attacks)
        self.traps: Traps = traps_from_memory(self.light.memory, self.alive_from.size)
        self.recorder.set_light(self.light)
        self._prepare(self.light)

    def _room(self, gate_count: int, most: int) -> int:
        """How many clicks these gates can hold, at most."""
        per_detector = gate_count // (int(self.traps.dead_gates.min()) + 1) + 2
        return min(most, per_detector * (1 if self.traps.is_simultaneous else self.alive_from.size))

    def _rows(self, room: int) -> Rows:
        """Columns for the kernel to fill, the same memory again and again: fresh pages cost more than clicks."""
        if self._memory.size < 5 * room:
            self._memory = np.empty(5 * room, dtype=np.int64)
        return self._memory[: 5 * room].reshape(5, room)

    def _prepare(self, light: Light) -> None:
        raise NotImplementedError

    def _clicked(self, start: int, end: int) -> tuple[Rows, int]:
        """Clicks of the detectors in gates [start, end): rows as ``Recorder.clicks`` takes them."""
        raise NotImplementedError
