"""A simulated link at the level of counts: what its windows tell, without a single click. The statistical tier."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qanat.core.health import ReceiverHealth, TransmitterHealth
from qanat.core.ids import LinkId
from qanat.core.report import Counts
from qanat.core.topology import Fibre, Link
from qanat.physics.attack import Attack
from qanat.physics.datasheet import load_transmitter
from qanat.physics.health import receiver_health, transmitter_health
from qanat.physics.settings import law_from_sheet
from qanat.physics.statistical import StatisticalSampler
from qanat.sim.module import pulses_per_block
from qanat.sim.weather import Weather


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowCounts:
    """What one window told about a link, without a single click: the statistical tier. See LinkReport.

    Attributes:
        error_counts_x: Errors in X per intensity; on a real link only reconciliation would know them.
        crossed_counts: See ``physics.statistical.CellCounts``.
        receiver, transmitter: What the modules would tell about themselves.
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
    crossed_counts: Counts = ()
    receiver: ReceiverHealth
    transmitter: TransmitterHealth


class StatisticalGlass:
    """One link in virtual time, window after window, at the statistical tier (``physics.statistical``)."""

    is_simulated = True

    def __init__(self, *, link: Link, fibre: Fibre, stream_seed: bytes) -> None:
        self.link = link
        self._attacks: tuple[Attack, ...] = ()
        self._number = 0
        self._start_ns = 0
        pulses_per_block(link)  # refuses what the exact tier refuses
        self._weather = Weather(link, fibre, stream_seed=stream_seed, transmitter_seed=stream_seed)
        optics, memory = self._weather.optics, self._weather.memory
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
        self._weather.set_attacks(self._attacks)

    def next_counts(self, duration_ns: int | None = None) -> WindowCounts:
        """Counts of the next window; as long as a pulse block unless said."""
        length_ns = self.link.pulse_block_ns if duration_ns is None else duration_ns
        pulses = round(self.link.clock_hz * length_ns / 1e9)
        instruments = self._weather.into(self._sampler, self._start_ns, length_ns)
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
            crossed_counts=counts.crossed_counts,
            receiver=receiver_health(self._sampler.tally(counts), instruments, length_ns / 1e9),
            transmitter=transmitter_health(instruments),
        )
        self._number += 1
        self._start_ns += length_ns
        return window
