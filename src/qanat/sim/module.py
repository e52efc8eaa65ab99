"""Simulated QKD modules: the glass that stands for source, fibre and detectors, and the transmitter's memory.

Three parties, two of which share the simulation key K: the *glass* process makes clicks and holds K, Eve and the
sampler's own stream; the *transmitter* process holds K and answers only for the slots it is asked about; the
*receiver* gets DetectionBlocks and never K. What comes of it is a rehearsal: ``is_simulated`` is always True, and
keys grown here are labelled so.

How to treat it: with real hardware in place of this file, nothing above changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanat.core.errors import MisuseError
from qanat.core.health import TransmitterHealth
from qanat.core.ids import LinkId
from qanat.core.records import DetectionBlock, SettingsColumns
from qanat.core.report import Counts
from qanat.core.topology import Fibre, Link
from qanat.physics.attack import Attack
from qanat.physics.clicks import Truth
from qanat.physics.datasheet import load_receiver, load_transmitter
from qanat.physics.dense import DenseSampler
from qanat.physics.health import instruments_under, receiver_health, transmitter_health
from qanat.physics.memory import DetectorMemory, memory_from_sheet
from qanat.physics.optics import Optics, optics_from_sheets
from qanat.physics.settings import SettingsFunction, law_from_sheet
from qanat.physics.sparse import SparseSampler
from qanat.physics.statistical import StatisticalSampler


def pulses_per_block(link: Link) -> int:
    """Whole clock slots in one pulse block; what is left of a slot at the end stays dark.

    Raises:
        MisuseError: the pulse block is shorter than one slot, or the clock is faster than the transmitter allows.
    """
    fastest_hz = load_transmitter(link.transmitter).clock_hz_max
    if not 0 < link.clock_hz <= fastest_hz:
        raise MisuseError(
            f"link {link.id}: clock_hz {link.clock_hz:g} is outside the range of transmitter {link.transmitter!r}, "
            f"which runs up to {fastest_hz:g} Hz"
        )
    pulses = round(link.clock_hz * link.pulse_block_ns / 1e9)
    if pulses < 1:
        raise MisuseError(f"link {link.id}: a pulse block of {link.pulse_block_ns} ns is shorter than one clock slot")
    return pulses


class SimulatedGlass:
    """Source, fibre and detectors of one link. Satisfies ``core.ports.ReceiverModule``.

    Slot i of block b is slot b * pulses_per_block + i of the link; detector memory goes from block to block.

    Args:
        link, fibre: What the network file says.
        key: K, shared with the transmitter's ``SimulatedTransmitter``; at least 8 bytes.
        stream_seed: Names the glass's own chance; must have nothing to do with K.

    Attributes:
        truth: What really happened in the last block, detection by detection: for judging monitors. It leaves this
            object in no DetectionBlock.

    Raises:
        DatasheetError: the link names an unknown module.
        MisuseError: clock and pulse block do not fit.
    """

    is_simulated = True

    def __init__(self, *, link: Link, fibre: Fibre, key: bytes, stream_seed: bytes) -> None:
        if key == stream_seed:
            raise MisuseError(f"link {link.id}: the glass's own stream must not be the simulation key")
        self.link = link
        self.pulses_per_block = pulses_per_block(link)
        self._attacks: tuple[Attack, ...] = ()
        self._number = 0
        optics, memory = _optics_and_memory(link, fibre)
        law = law_from_sheet(load_transmitter(link.transmitter))
        settings = SettingsFunction(key, law)
        self._sampler = SparseSampler(optics=optics, memory=memory, settings=settings, seed=stream_seed)
        self._instruments = instruments_under(optics)
        self.truth: Truth | None = None

    @property
    def attacks(self) -> tuple[Attack, ...]:
        """What Eve is doing, from the next block on."""
        return self._attacks

    def set_attacks(self, attacks: tuple[Attack, ...]) -> None:
        """From the next block on, Eve does this and nothing else; an empty tuple sends her home."""
        self._sampler.set_attacks(attacks)
        self._attacks = tuple(attacks)
        self._instruments = instruments_under(self._sampler.optics, self._attacks)

    def next_block(self) -> DetectionBlock:
        """The next block of detections, in order."""
        number, pulses = self._number, self.pulses_per_block
        first = number * pulses
        clicks = self._sampler.clicks(first, first + pulses)
        self.truth = clicks.truth
        self._number += 1
        return DetectionBlock(
            link=self.link.id,
            number=number,
            start_ns=number * self.link.pulse_block_ns,
            n_pulses=pulses,
            index=clicks.gate - first,
            basis=clicks.basis,
            bit=clicks.bit,
            double_click_count=clicks.double_click_count,
            health=receiver_health(clicks.tally, self._instruments, self.link.pulse_block_ns / 1e9),
        )


class SimulatedTransmitter:
    """The transmitter's memory of what it prepared. Satisfies ``core.ports.TransmitterModule``.

    What was prepared does not depend on what happened to it; Eve shows in the module's meters alone.
    """

    is_simulated = True

    def __init__(self, *, link: Link, key: bytes) -> None:
        self.link = link
        self._attacks: tuple[Attack, ...] = ()
        self.pulses_per_block = pulses_per_block(link)
        law = law_from_sheet(load_transmitter(link.transmitter))
        self._settings = SettingsFunction(key, law)
        self.intensities = law.intensities
        self.p_intensities = law.p_intensities
        self.p_x = law.p_x

    def settings_at(self, block_number: int, index: NDArray[np.int64]) -> SettingsColumns:
        """What was prepared in these slots of that pulse block.

        Raises:
            MisuseError: a slot is outside the block. Whether the list may be asked for at all (increasing, not
                twice) is for distillation to judge.
        """
        slots = np.asarray(index, dtype=np.int64)
        if block_number < 0 or (slots.size and not 0 <= slots.min() <= slots.max() < self.pulses_per_block):
            raise MisuseError(
                f"link {self.link.id}: a slot of block {block_number} lies outside 0..{self.pulses_per_block - 1}"
            )
        return self._settings.at(slots + block_number * self.pulses_per_block)

    def set_attacks(self, attacks: tuple[Attack, ...]) -> None:
        """From now on the module's meters show what these attacks do to them; the host tells glass and module alike."""
        self._attacks = tuple(attacks)

    def health_of(self, block_number: int) -> TransmitterHealth:  # noqa: ARG002 - the port names it
        """What the module's meters show now; the block of ``block_number`` has just been asked for."""
        sheets = load_transmitter(self.link.transmitter), load_receiver(self.link.receiver)
        optics = optics_from_sheets(*sheets, loss_db=0.0, clock_hz=self.link.clock_hz)
        return transmitter_health(instruments_under(optics, self._attacks))


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowCounts:
    """What one window told about a link, without a single click: the statistical tier. See LinkReport.

    Attributes:
        error_counts_x: Errors in X per intensity; on a real link only reconciliation would know them.
    """

    link: LinkId
    number: int
    start_ns: int
    duration_ns: int
    n_pulses: int
    detection_count: int
    double_click_count: int
    sifted_counts: Counts
    error_counts_z: tuple[int, ...]
    error_counts_x: tuple[int, ...]


class StatisticalGlass:
    """One link in virtual time, window after window, at the statistical tier (``physics.statistical``)."""

    is_simulated = True

    def __init__(self, *, link: Link, fibre: Fibre, stream_seed: bytes) -> None:
        self.link = link
        self._attacks: tuple[Attack, ...] = ()
        self._number = 0
        self._start_ns = 0
        pulses_per_block(link)  # refuses what the exact tier refuses
        optics, memory = _optics_and_memory(link, fibre)
        law = law_from_sheet(load_transmitter(link.transmitter))
        stream = np.random.Generator(np.random.Philox(int.from_bytes(stream_seed[:32], "little")))
        self._sampler = StatisticalSampler(optics=optics, memory=memory, settings=law, stream=stream)

    @property
    def attacks(self) -> tuple[Attack, ...]:
        """What Eve is doing, from the next window on."""
        return self._attacks

    def set_attacks(self, attacks: tuple[Attack, ...]) -> None:
        """From the next window on, Eve does this and nothing else."""
        self._sampler.set_attacks(attacks)
        self._attacks = tuple(attacks)

    def next_counts(self, duration_ns: int | None = None) -> WindowCounts:
        """Counts of the next window; as long as a pulse block unless said."""
        length_ns = self.link.pulse_block_ns if duration_ns is None else duration_ns
        pulses = round(self.link.clock_hz * length_ns / 1e9)
        counts = self._sampler.counts(pulses)
        window = WindowCounts(
            link=self.link.id,
            number=self._number,
            start_ns=self._start_ns,
            duration_ns=length_ns,
            n_pulses=pulses,
            detection_count=counts.detection_count,
            double_click_count=counts.double_click_count,
            sifted_counts=counts.sifted_counts,
            error_counts_z=counts.error_counts_z,
            error_counts_x=counts.error_counts_x,
        )
        self._number += 1
        self._start_ns += length_ns
        return window


def warm_up(progress: Callable[[str], None]) -> None:
    """Load the compiled kernels of the live path; compiles them first if this machine has not yet.

    The first time takes a few seconds of one core, later under one: numba keeps the result beside the source.
    """
    progress("loading the photon kernels (compiled once per machine)")
    from qanat.physics.attack import Cut

    transmitter, receiver = load_transmitter("decoy-1ghz"), load_receiver("ingaas-gated")
    optics = optics_from_sheets(transmitter, receiver, loss_db=0.0, clock_hz=1e9)
    settings = SettingsFunction(b"warm-up only, no link", law_from_sheet(transmitter))
    memory = memory_from_sheet(receiver, clock_hz=1e9)
    sampler = SparseSampler(optics=optics, memory=memory, settings=settings, seed=b"warm-up")
    sampler.set_attacks((Cut(),))
    progress("photon kernels: sparse sampler")
    sampler.clicks(0, 1000)
    progress("photon kernels: settings of the transmitter")
    settings.at(np.arange(3))
    progress("photon kernels: dense sampler and counts")
    DenseSampler(optics=optics, memory=memory, settings=settings, seed=b"warm-up").clicks(0, 1000)
    stream = np.random.Generator(np.random.Philox(0))
    StatisticalSampler(optics=optics, memory=memory, settings=settings.law, stream=stream).counts(1000)
    progress("photon kernels ready")


def _optics_and_memory(link: Link, fibre: Fibre) -> tuple[Optics, DetectorMemory]:
    if link.fibre != fibre.id:
        raise MisuseError(f"link {link.id} runs over fibre {link.fibre}, not {fibre.id}")
    transmitter, receiver = load_transmitter(link.transmitter), load_receiver(link.receiver)
    optics = optics_from_sheets(transmitter, receiver, loss_db=fibre.loss_db, clock_hz=link.clock_hz)
    return optics, memory_from_sheet(receiver, clock_hz=link.clock_hz)
