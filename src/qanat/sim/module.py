"""Simulated QKD modules: the glass that stands for source, fibre and detectors, and the transmitter's memory.

Three parties, two of which share the simulation key K: the *glass* process makes clicks and holds K, Eve and the
sampler's own stream; the *transmitter* process holds K and answers only for the slots it is asked about; the
*receiver* gets DetectionBlocks and never K. What comes of it is a rehearsal: ``is_simulated`` is always True, and
keys grown here are labelled so.

How to treat it: with real hardware in place of this file, nothing above changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qanat.core.errors import MisuseError
from qanat.core.health import TransmitterHealth
from qanat.core.records import DetectionBlock, SettingsColumns
from qanat.core.topology import Fibre, Link
from qanat.physics.attack import Attack
from qanat.physics.clicks import Truth
from qanat.physics.datasheet import load_receiver, load_transmitter
from qanat.physics.dense import DenseSampler
from qanat.physics.drift import Conditions, TransmitterClimate
from qanat.physics.health import instruments_under, receiver_health, transmitter_health
from qanat.physics.instruments import instruments_from_sheets
from qanat.physics.memory import memory_from_sheet
from qanat.physics.optics import optics_from_sheets
from qanat.physics.settings import SettingsFunction, law_from_sheet
from qanat.physics.sparse import SparseSampler
from qanat.physics.statistical import StatisticalSampler
from qanat.sim.weather import Weather, weather_streams


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
        self._weather = Weather(link, fibre, stream_seed=stream_seed, transmitter_seed=key)
        optics, memory = self._weather.optics, self._weather.memory
        settings = SettingsFunction(key, law_from_sheet(load_transmitter(link.transmitter)))
        self._sampler = SparseSampler(optics=optics, memory=memory, settings=settings, seed=stream_seed)
        self.truth: Truth | None = None

    @property
    def attacks(self) -> tuple[Attack, ...]:
        """What Eve is doing, from the next block on."""
        return self._attacks

    @property
    def conditions(self) -> Conditions | None:
        """The weather of the last block, of which the block itself tells only what a receiver knows; None: none."""
        return self._weather.conditions

    def set_attacks(self, attacks: tuple[Attack, ...]) -> None:
        """From the next block on, Eve does this and nothing else; an empty tuple sends her home."""
        self._sampler.set_attacks(attacks)
        self._attacks = tuple(attacks)
        self._weather.set_attacks(self._attacks)

    def next_block(self) -> DetectionBlock:
        """The next block of detections, in order."""
        number, pulses = self._number, self.pulses_per_block
        first, length_ns = number * pulses, self.link.pulse_block_ns
        instruments = self._weather.into(self._sampler, number * length_ns, length_ns)
        clicks = self._sampler.clicks(first, first + pulses)
        self.truth = clicks.truth
        self._number += 1
        return DetectionBlock(
            link=self.link.id,
            number=number,
            start_ns=number * length_ns,
            n_pulses=pulses,
            index=clicks.gate - first,
            basis=clicks.basis,
            bit=clicks.bit,
            double_click_count=clicks.double_click_count,
            health=receiver_health(clicks.tally, instruments, length_ns / 1e9),
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
        sheet = load_transmitter(link.transmitter)
        law = law_from_sheet(sheet)
        self._settings = SettingsFunction(key, law)
        self._climate = None
        if link.environment is not None:
            streams = weather_streams(key, "transmitter")
            self._climate = TransmitterClimate(link.environment, sheet, streams)
        self.intensities = law.intensities
        self.p_intensities = law.p_intensities
        self.p_x = law.p_x
        self.p_zero = law.p_zero

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

    def health_of(self, block_number: int) -> TransmitterHealth:
        """What the module's meters show; the block of ``block_number`` has just been asked for."""
        sheets = load_transmitter(self.link.transmitter), load_receiver(self.link.receiver)
        optics = optics_from_sheets(*sheets, loss_db=0.0, clock_hz=self.link.clock_hz)
        readings = instruments_from_sheets(*sheets)
        if self._climate is not None:
            length_ns = self.link.pulse_block_ns
            laser = self._climate.window(max(0, block_number) * length_ns, length_ns)
            readings = replace(
                readings,
                power_ratio=laser.intensity_factor,
                transmitter_temperature_c=laser.laser_c,
                transmitter_effort=laser.thermostat_effort,
            )
        return transmitter_health(instruments_under(optics, self._attacks, readings))


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
