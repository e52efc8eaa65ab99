"""The light of a link with Eve's attacks in force, made ready for a sampler: branches per phase, memory, names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qanat.physics.attack import Attack
from qanat.physics.branch import HONEST, Branch, Table
from qanat.physics.errors import AttackError
from qanat.physics.memory import DetectorMemory
from qanat.physics.optics import Optics, branches_of
from qanat.physics.tables import Pulses

PULSED_ATTACKS_MAX = 4  # every one doubles the tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """What may happen in a gate, and how detectors remember it.

    Attributes:
        phases: Branches of a gate while these pulsed attacks are on (index: one bit each); one phase without any.
        pulses: When they are on.
        names: The branches' labels, each once: the ground truth's words.
    """

    optics: Optics
    memory: DetectorMemory
    phases: tuple[tuple[Branch, ...], ...]
    pulses: Pulses
    names: tuple[str, ...]

    @property
    def branch_count(self) -> int:
        """Of the phase that has most; a branch is numbered phase * branch_count + its place."""
        return max(map(len, self.phases))

    @property
    def numbered(self) -> list[Branch]:
        """All branches by number; short phases are filled up with their last."""
        return [phase[min(h, len(phase) - 1)] for phase in self.phases for h in range(self.branch_count)]

    @property
    def labels(self) -> list[int]:
        """Each numbered branch's index into ``names``."""
        return [self.names.index(branch.label) for branch in self.numbered]

    @property
    def shares(self) -> Table:
        """Share of the gates in each phase, in the long run; exact where the periods have no common factor."""
        on = self.pulses.length / self.pulses.period
        bits = np.arange(len(self.phases))[:, None] >> np.arange(len(on)) & 1
        return np.asarray(np.where(bits == 1, on, 1 - on).prod(axis=1))


def light_of(optics: Optics, memory: DetectorMemory, attacks: Sequence[Attack] = ()) -> Light:
    """The light under these attacks, each acting on what the ones before left.

    Raises:
        AttackError: too many pulsed attacks, or a pulse that is no pulse.
    """
    pulsed = [attack for attack in attacks if attack.pulse_gates is not None]
    if len(pulsed) > PULSED_ATTACKS_MAX:
        raise AttackError(f"{len(pulsed)} pulsed attacks at once; at most {PULSED_ATTACKS_MAX} can be played")
    times = [attack.pulse_gates for attack in attacks if attack.pulse_gates is not None]
    for period, length in times:
        if not 0 < length <= period:
            raise AttackError(f"a pulse of {length} gates every {period} gates cannot be")
    phases = []
    for on in range(1 << len(pulsed)):
        off = {id(attack) for i, attack in enumerate(pulsed) if not on >> i & 1}
        phases.append(tuple(branches_of(optics, [attack for attack in attacks if id(attack) not in off])))
    for attack in attacks:
        memory = attack.on_memory(memory)
    labels = dict.fromkeys([HONEST, *(branch.label for phase in phases for branch in phase)])
    columns = np.array(times, dtype=np.int64).reshape(-1, 2)
    pulses = Pulses(period=columns[:, 0].copy(), length=columns[:, 1].copy())
    return Light(optics=optics, memory=memory, phases=tuple(phases), pulses=pulses, names=tuple(labels))
