"""Sifting: from detections and settings to equal positions, by messages only.

Order matters for the proof: the receiver's list is fixed and announced before the transmitter discloses
any setting, and nothing keeps or drops a detection by its intensity (docs/explanation/proven-assumed-simulated.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qanat.core.errors import RemoteProtocolError
from qanat.core.health import ReceiverHealth, TransmitterHealth
from qanat.core.ports import TransmitterModule
from qanat.core.records import Basis, DetectionBlock
from qanat.distill.health import checked_receiver_health, checked_transmitter_health
from qanat.distill.messages import Detections, Sifted
from qanat.distill.plan import INTENSITY_COUNT, SessionPlan

Bits = NDArray[np.uint8]
Counts = tuple[int, ...]

_LONG = 0xFFFF  # in a list of gaps: 65535 slots further, and no detection there
SLOT_MAX = 2**62  # of the whole link's life: modules count slots in signed 64 bits


@dataclass(slots=True, kw_only=True)
class PulseBlock:
    """One pulse block on its way through sifting, at one end.

    Attributes:
        said: Its messages as they travelled, for the transcript: detections, answer, test bits.
        x_bits: This end's key bits, one per element. Secret.
        z_bits: This end's test bits, announced.
        n_x, n_z, m_z: Per intensity: detections in X, in Z, errors in Z.
        receiver, transmitter: What the modules tell about themselves.
    """

    number: int
    start_ns: int
    detection_count: int
    double_click_count: int
    said: list[bytes] = field(default_factory=list)
    x_bits: Bits
    z_bits: Bits
    z_intensity: Bits
    n_x: Counts
    n_z: Counts
    m_z: Counts = ()
    receiver: ReceiverHealth | None = None
    transmitter: TransmitterHealth | None = None


def packed(bits: Bits) -> bytes:
    return np.packbits(bits).tobytes()


def unpacked(data: bytes, count: int, what: str) -> Bits:
    """``count`` bits, one per element.

    Raises:
        RemoteProtocolError: the data have another size.
    """
    if len(data) != (count + 7) // 8:
        raise RemoteProtocolError(f"{what}: {len(data)} bytes for {count} bits")
    return np.unpackbits(np.frombuffer(data, dtype=np.uint8), count=count)


def gaps_from_slots(index: NDArray[np.int64]) -> bytes:
    """Strictly increasing slots as 16-bit gaps, big-endian; a gap of 65535 means "further on, nothing here".

    Example:
        >>> slots_from_gaps(gaps_from_slots(np.array([0, 1, 200_000]))).tolist()
        [0, 1, 200000]
    """
    gaps = np.diff(index, prepend=-1)
    long = gaps // _LONG
    places = np.arange(len(gaps)) + np.cumsum(long)
    column = np.full(len(gaps) + int(long.sum()), _LONG, dtype=">u2")
    column[places] = gaps % _LONG
    return column.tobytes()


def slots_from_gaps(data: bytes) -> NDArray[np.int64]:
    """The slots again; they never decrease, and repeat where a gap is 0."""
    column = np.frombuffer(data, dtype=">u2", count=len(data) // 2).astype(np.int64)
    slots: NDArray[np.int64] = (np.cumsum(column) - 1)[column != _LONG]
    return slots


def announcement(block: DetectionBlock) -> Detections:
    """What the receiver says about its detections: where and in which basis, never which bit."""
    return Detections(
        number=block.number,
        start_ns=block.start_ns,
        n_pulses=block.n_pulses,
        double_click_count=block.double_click_count,
        slots=gaps_from_slots(block.index),
        bases=packed(block.basis),
        health=block.health,
    )


def checked_slots(message: Detections, plan: SessionPlan) -> NDArray[np.int64]:
    """The announced slots, after they were seen to be a list that an honest receiver could send.

    Raises:
        RemoteProtocolError: not strictly increasing, outside the block, or numbers that cannot be.
    """
    if message.n_pulses != plan.pulses_per_block or not 0 <= message.number < SLOT_MAX // plan.pulses_per_block:
        raise RemoteProtocolError(f"pulse block {message.number} of {message.n_pulses} pulses")
    if not 0 <= message.start_ns < 2**62 or not 0 <= message.double_click_count <= message.n_pulses:
        raise RemoteProtocolError(f"pulse block {message.number}: start or double clicks cannot be")
    slots = slots_from_gaps(message.slots)
    if len(message.slots) % 2 or (slots.size and (slots[0] < 0 or slots[-1] >= plan.pulses_per_block)):
        raise RemoteProtocolError(f"pulse block {message.number}: a slot lies outside")
    if np.any(np.diff(slots) < 1):
        raise RemoteProtocolError(f"pulse block {message.number}: slots do not increase")
    return slots


def answer(message: Detections, plan: SessionPlan, transmitter: TransmitterModule) -> tuple[Sifted, PulseBlock]:
    """The transmitter's answer to an announcement, and what it keeps.

    Raises:
        RemoteProtocolError: see ``checked_slots``.
    """
    slots = checked_slots(message, plan)
    bases = unpacked(message.bases, len(slots), "bases")
    receiver_health = checked_receiver_health(message.health)
    settings = transmitter.settings_at(message.number, slots)
    is_kept = settings.basis == bases
    if settings.is_known is not None:
        is_kept &= settings.is_known
    intensity, bit = settings.intensity[is_kept], settings.bit[is_kept]
    block = _pulse_block(message, len(slots), bases[is_kept], intensity, bit)
    block.receiver, block.transmitter = receiver_health, transmitter.health_of(message.number)
    said = Sifted(
        number=message.number,
        kept=packed(is_kept.astype(np.uint8)),
        intensity_low=packed(intensity & 1),
        intensity_high=packed(intensity >> 1),
        z_bits=packed(block.z_bits),
        health=block.transmitter,
    )
    return said, block


def take_answer(block: DetectionBlock, message: Sifted) -> tuple[PulseBlock, Bits]:
    """What the receiver keeps, and the transmitter's test bits.

    Raises:
        RemoteProtocolError: sizes or intensities cannot be.
    """
    is_kept = unpacked(message.kept, len(block.index), "kept").astype(bool)
    basis, bit = block.basis[is_kept], block.bit[is_kept]
    low = unpacked(message.intensity_low, len(basis), "intensity")
    intensity = low | (unpacked(message.intensity_high, len(basis), "intensity") << 1)
    if np.any(intensity >= INTENSITY_COUNT):
        raise RemoteProtocolError(f"pulse block {block.number}: an intensity that does not exist")
    kept = _pulse_block(block, len(block.index), basis, intensity.astype(np.uint8), bit)
    kept.receiver, kept.transmitter = block.health, checked_transmitter_health(message.health)
    return kept, unpacked(message.z_bits, len(kept.z_bits), "test bits")


def count_errors(block: PulseBlock, peer_z_bits: Bits) -> None:
    """Both ends know both ends' test bits now."""
    errors = block.z_intensity[block.z_bits != peer_z_bits]
    block.m_z = _per_intensity(errors)


def _pulse_block(
    seen: Detections | DetectionBlock, detection_count: int, basis: Bits, intensity: Bits, bit: Bits
) -> PulseBlock:
    is_x = basis == Basis.X
    return PulseBlock(
        number=seen.number,
        start_ns=seen.start_ns,
        detection_count=detection_count,
        double_click_count=seen.double_click_count,
        x_bits=bit[is_x],
        z_bits=bit[~is_x],
        z_intensity=intensity[~is_x],
        n_x=_per_intensity(intensity[is_x]),
        n_z=_per_intensity(intensity[~is_x]),
    )


def _per_intensity(intensity: Bits) -> Counts:
    return tuple(np.bincount(intensity, minlength=INTENSITY_COUNT).tolist())
