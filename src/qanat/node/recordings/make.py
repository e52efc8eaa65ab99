"""Recordings of one simulated run, by the dense tier: every pulse, every photon. For examples and tests.

Three files of one and the same light: what the transmitter prepared, what the receiver saw, and the same clicks as raw
time tags of a clock that is a little off. All say that they are simulated.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qanat.core.errors import MisuseError
from qanat.core.records import DetectionBlock
from qanat.core.streams import Streams
from qanat.core.topology import Fibre, Link
from qanat.node.recordings.header import CHANNELS, Header, Kind, Prepared, Tags
from qanat.node.recordings.writer import RecordingWriter
from qanat.physics.clicks import Clicks
from qanat.physics.datasheet import load_receiver, load_transmitter
from qanat.physics.dense import DenseSampler
from qanat.physics.families.sheets import TIME_BIN
from qanat.physics.settings import SettingsFunction, law_from_sheet
from qanat.sim.module import pulses_per_block
from qanat.sim.weather import Weather

JITTER_PS = 60.0  # standard deviation of detector and tagger together
GATE_PART = 0.6  # of the clock period
OFFSET_PS = 40_000  # tag of the first slot's middle, as the header says
OFFSET_ERROR = 0.1  # of a period: the header is that far from the truth
TEMPERATURE_C = -40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What to record.

    Attributes:
        blocks: How many pulse blocks.
        seed: Same seed, same files, byte by byte.
        drift_ppm: How much slower the tagger's clock runs than the transmitter's.
        is_dense: Record all settings, not only those of slots that clicked.
    """

    link: Link
    fibre: Fibre
    blocks: int
    seed: int
    drift_ppm: float = 2.0
    is_dense: bool = False


def file_names(folder: Path) -> dict[Kind, Path]:
    """Where the three recordings go."""
    return {
        Kind.SETTINGS: folder / "tx.qlight",
        Kind.DETECTIONS: folder / "rx.qlight",
        Kind.TIMETAGS: folder / "rx-tags.qlight",
    }


def record(run: Run, folder: Path) -> dict[Kind, Path]:
    """Make the three files; the folder is made if it is missing. A time-bin link gets two: no driver reads the tags
    of its receiver, which tell bits by the slot within a gate.

    Raises:
        MisuseError: no blocks; the link's numbers do not fit.
        EnvironmentProblem: a file exists already or cannot be written.
    """
    if run.blocks < 1:
        raise MisuseError(f"{run.blocks} pulse blocks: record at least one")
    names = file_names(folder)
    folder.mkdir(parents=True, exist_ok=True)
    n_pulses = pulses_per_block(run.link)
    settings, weather, sampler = _light(run)
    tagger = _Tagger(run)
    if load_receiver(run.link.receiver).family == TIME_BIN:
        del names[Kind.TIMETAGS]
    with ExitStack() as stack:
        files = {
            kind: stack.enter_context(RecordingWriter(path, _header(run, kind, n_pulses)))
            for kind, path in names.items()
        }
        tx, rx = files[Kind.SETTINGS], files[Kind.DETECTIONS]
        for number in range(run.blocks):
            first = number * n_pulses
            weather.into(sampler, number * run.link.pulse_block_ns, run.link.pulse_block_ns)
            clicks = sampler.clicks(first, first + n_pulses)
            index = clicks.gate - first
            rx.detections(_block(run, number, n_pulses, clicks, index))
            if run.is_dense:
                tx.settings(number, None, settings.at(np.arange(first, first + n_pulses)))
            else:
                tx.settings(number, index, settings.at(clicks.gate))
            if Kind.TIMETAGS in files:
                files[Kind.TIMETAGS].tags(*tagger.tags(clicks))
    return names


def _light(run: Run) -> tuple[SettingsFunction, Weather, DenseSampler]:
    link, streams = run.link, Streams(seed=run.seed)
    settings_seed, seed = (streams.seed_bytes(f"{what}/{link.id}") for what in ("settings", "detectors"))
    settings = SettingsFunction(settings_seed, law_from_sheet(load_transmitter(link.transmitter)))
    weather = Weather(link, run.fibre, stream_seed=seed, transmitter_seed=settings_seed)
    sampler = DenseSampler(optics=weather.optics, memory=weather.memory, settings=settings, seed=seed)
    return settings, weather, sampler


def _header(run: Run, kind: Kind, n_pulses: int) -> Header:
    link = run.link
    law = law_from_sheet(load_transmitter(link.transmitter))
    prepared = Prepared(intensities=law.intensities, p_intensities=law.p_intensities, p_x=law.p_x, p_zero=law.p_zero)
    period_ps = 1e12 / link.clock_hz
    tags = Tags(
        channels={name: number for number, name in enumerate(CHANNELS, start=1)},
        period_ps=period_ps,
        offset_ps=OFFSET_PS,
        offset_window_ps=period_ps / 4,
        drift_ppm_max=max(10.0, 2 * abs(run.drift_ppm)),
        gate_width_ps=GATE_PART * period_ps,
        p_x=load_receiver(link.receiver).p_x,
        temperature_c=TEMPERATURE_C,
        control_effort=0.0,
    )
    return Header(
        kind=kind,
        link=link.id,
        clock_hz=link.clock_hz,
        n_pulses=n_pulses,
        pulse_block_ns=link.pulse_block_ns,
        is_simulated=True,
        note=f"simulated by the dense tier, seed {run.seed}, {run.fibre.length_km:g} km",
        prepared=prepared if kind is Kind.SETTINGS else None,
        tags=tags if kind is Kind.TIMETAGS else None,
    )


def _block(run: Run, number: int, n_pulses: int, clicks: Clicks, index: NDArray[np.int64]) -> DetectionBlock:
    return DetectionBlock(
        link=run.link.id,
        number=number,
        start_ns=number * run.link.pulse_block_ns,
        n_pulses=n_pulses,
        index=index,
        basis=clicks.basis,
        bit=clicks.bit,
        double_click_count=clicks.double_click_count,
    )


class _Tagger:
    """A time-to-digital converter whose clock drifts; squashed clicks, so each slot has one tag."""

    def __init__(self, run: Run) -> None:
        self._period_ps = 1e12 / run.link.clock_hz * (1 + run.drift_ppm * 1e-6)
        self._offset_ps = OFFSET_PS + OFFSET_ERROR * 1e12 / run.link.clock_hz
        self._chance = Streams(seed=run.seed).get(f"jitter/{run.link.id}")

    def tags(self, clicks: Clicks) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        jitter_ps = self._chance.normal(0.0, JITTER_PS, clicks.gate.size)
        tag_ps = np.rint(self._offset_ps + clicks.gate * self._period_ps + jitter_ps).astype(np.int64)
        order = np.argsort(tag_ps, kind="stable")
        return tag_ps[order], (1 + clicks.basis * 2 + clicks.bit)[order].astype(np.uint8)
