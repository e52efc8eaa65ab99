"""What a recording says about itself: JSON, judged completely before the first frame is read."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from qanat.core.ids import LinkId
from qanat.core.malformed import MALFORMED
from qanat.node.recordings.form import RecordingError

PULSES_MAX = 2**40  # of one pulse block: 10 s at 1e11 Hz, rounded up
CHANNELS = ("X0", "X1", "Z0", "Z1")  # in the order of the receiver's datasheet


class Kind(StrEnum):
    """What the frames hold."""

    DETECTIONS = "detections"  # squashed clicks, by slot
    SETTINGS = "settings"  # what was prepared
    TIMETAGS = "timetags"  # raw clicks of a time-to-digital converter


class Prepared(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of a settings recording: the law by which the transmitter drew.

    Attributes:
        intensities: Mean photon numbers, brightest first.
        p_intensities: Their probabilities; they sum to 1.
        p_x: Probability of preparing in X.
        p_zero: Probability of bit 0 in X and in Z; (0.5, 1) is a three-state source.
    """

    intensities: tuple[float, ...]
    p_intensities: tuple[float, ...]
    p_x: float
    p_zero: tuple[float, float] = (0.5, 0.5)


class Tags(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of a time-tag recording: how tags become slots.

    Attributes:
        channels: Channel number of each detector (X0, X1, Z0, Z1). Tags of other channels are passed over.
        period_ps: Nominal clock period.
        offset_ps: Tag of the middle of the first slot of the first block, as well as it is known. Which slot is
            which follows from it: wrong by whole periods, and every bit is a coin's.
        offset_window_ps: How well. Further off, the clock is not taken for found.
        drift_ppm_max: How far the two clocks' rates may differ. Recovery looks no further.
        gate_width_ps: Clicks further than half of this from the middle of a slot are out of gate.
        p_x: Share of the light that goes to the X arm; decides the basis of a click in both arms.
        temperature_c, control_effort, bias_current_na: Of the receiver while it recorded; see ``ReceiverHealth``.
    """

    channels: dict[str, int]
    period_ps: float
    offset_ps: int
    offset_window_ps: float
    drift_ppm_max: float
    gate_width_ps: float
    p_x: float
    temperature_c: float
    control_effort: float
    bias_current_na: tuple[float, ...] = ()


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The header of every recording.

    Attributes:
        kind: Which columns the frames have.
        link: The link in the network file.
        clock_hz: Pulses per second.
        n_pulses: Clock slots of one pulse block.
        pulse_block_ns: Link time of one pulse block.
        is_simulated: No photons were involved. Keys from it are labelled so.
        note: For people: where from, when, by whom.
        first_number: Of the first pulse block (time tags only; the other kinds number each frame).
        start_ns: Link time at which pulse block 0 began.
        prepared: Settings recordings only.
        tags: Time-tag recordings only.
    """

    kind: Kind
    link: LinkId
    clock_hz: float
    n_pulses: int
    pulse_block_ns: int
    is_simulated: bool
    note: str = ""
    first_number: int = 0
    start_ns: int = 0
    prepared: Prepared | None = None
    tags: Tags | None = None


def encoded_header(header: Header) -> bytes:
    return msgspec.json.encode(header)


def decoded_header(data: bytes, place: int) -> Header:
    """The header.

    Raises:
        RecordingError: it is none, or its numbers cannot be; names ``place``, the byte at which it begins.
    """
    try:
        header = msgspec.json.decode(data, type=Header)
    except MALFORMED as error:
        raise RecordingError(f"byte {place}: the header is not understood: {error}") from None
    for problem in _problems(header):
        raise RecordingError(f"byte {place}: header: {problem}")
    return header


def _problems(header: Header) -> list[str]:
    expected_pulses = header.clock_hz * header.pulse_block_ns / 1e9
    checks = {
        f"clock_hz is {header.clock_hz:g}": 1.0 <= header.clock_hz <= 1e12,
        f"n_pulses is {header.n_pulses}": 1 <= header.n_pulses <= PULSES_MAX,
        f"pulse_block_ns is {header.pulse_block_ns}": 1 <= header.pulse_block_ns <= 2**40,
        f"first_number is {header.first_number}": 0 <= header.first_number < 2**40,
        f"start_ns is {header.start_ns}": 0 <= header.start_ns < 2**62,
        f"n_pulses is {header.n_pulses}, clock and pulse block give {expected_pulses:g}; they do not fit": abs(
            header.n_pulses - expected_pulses
        )
        <= 1,
        f"kind {header.kind} needs `prepared`, and it alone": (header.prepared is not None)
        == (header.kind is Kind.SETTINGS),
        f"kind {header.kind} needs `tags`, and it alone": (header.tags is not None) == (header.kind is Kind.TIMETAGS),
    }
    found = [text for text, is_fine in checks.items() if not is_fine]
    found += _prepared_problems(header.prepared) if header.prepared is not None else []
    return found + (_tag_problems(header.tags) if header.tags is not None else [])


def _prepared_problems(prepared: Prepared) -> list[str]:
    checks = {
        "as many intensities as probabilities are needed, 1 to 4": 1
        <= len(prepared.intensities)
        == len(prepared.p_intensities)
        <= 4,
        "intensities are mean photon numbers, brightest first": list(prepared.intensities)
        == sorted(prepared.intensities, reverse=True)
        and all(0 <= value <= 100 for value in prepared.intensities),
        "p_intensities are probabilities that sum to 1": all(0 <= p <= 1 for p in prepared.p_intensities)
        and abs(sum(prepared.p_intensities) - 1) < 1e-9,
        f"p_x is {prepared.p_x}": 0 <= prepared.p_x <= 1,
        f"p_zero is {prepared.p_zero}": all(0 <= p <= 1 for p in prepared.p_zero),
    }
    return [text for text, is_fine in checks.items() if not is_fine]


def _tag_problems(tags: Tags) -> list[str]:
    numbers = list(tags.channels.values())
    checks = {
        f"channels must name {', '.join(CHANNELS)} and nothing else": set(CHANNELS) == set(tags.channels),
        "channels are different numbers from 0 to 255": len(set(numbers)) == len(numbers)
        and all(0 <= number <= 255 for number in numbers),
        f"period_ps is {tags.period_ps:g}": 1 <= tags.period_ps <= 1e12,
        f"offset_ps is {tags.offset_ps}": abs(tags.offset_ps) < 2**61,
        f"offset_window_ps is {tags.offset_window_ps:g}; at most half a period": 0
        <= tags.offset_window_ps
        <= tags.period_ps / 2,
        f"drift_ppm_max is {tags.drift_ppm_max:g}": 0 <= tags.drift_ppm_max <= 1000,
        f"gate_width_ps is {tags.gate_width_ps:g}; at most a period": 0 < tags.gate_width_ps <= tags.period_ps,
        f"p_x is {tags.p_x}": 0 <= tags.p_x <= 1,
        f"control_effort is {tags.control_effort}": 0 <= tags.control_effort <= 1e6,
        f"temperature_c is {tags.temperature_c}": -273.15 <= tags.temperature_c <= 1000,
        "bias_current_na has one value per detector, or none": len(tags.bias_current_na) in (0, len(CHANNELS)),
    }
    return [text for text, is_fine in checks.items() if not is_fine]
