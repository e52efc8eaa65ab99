"""Sifting: from detections and settings to equal positions, by messages only.

Order matters for the proof: the receiver's list is fixed and announced before the transmitter discloses
any setting, and nothing keeps or drops a detection by its intensity (docs/explanation/proven-assumed-simulated.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qanat.core.errors import LocalProtocolError, RemoteProtocolError
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


def _none() -> Bits:
    return np.empty(0, dtype=np.uint8)


@dataclass(slots=True, kw_only=True)
class PulseBlock:
    """One pulse block on its way through sifting, at one end.

    Attributes:
        said: Its messages as they travelled, for the transcript: detections, answer, test bits.
        x_bits: This end's key bits, one per element. Secret.
        z_bits: This end's test bits, announced.
        n_x, n_z, m_z: Per intensity: detections in X, in Z, errors in Z.
        crossed_bits: The receiver's bits in slots prepared in X and measured in Z, announced; at the transmitter's end
            zeros until they are. Three-state links only, like the next three.
        crossed_intensity: Their intensities.
        n_c, zero_c: Per intensity: crossed detections, and those with outcome 0.
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
    crossed_bits: Bits = field(default_factory=_none)
    crossed_intensity: Bits = field(default_factory=_none)
    receiver: ReceiverHealth | None = None
    transmitter: TransmitterHealth | None = None

    @property
    def test_bits(self) -> Bits:
        """All bits that the receiver announces: of the test basis, then the crossed ones."""
        return np.concatenate([self.z_bits, self.crossed_bits])

    @property
    def n_c(self) -> Counts:
        return _per_intensity(self.crossed_intensity)

    @property
    def zero_c(self) -> Counts:
        return _per_intensity(self.crossed_intensity[self.crossed_bits == 0])


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
    if plan.is_three_state:
        is_crossed = crossed_slots(is_kept, bases, settings.is_known)
        block.crossed_intensity = settings.intensity[is_crossed]
        block.crossed_bits = np.zeros_like(block.crossed_intensity)
        intensity = np.concatenate([intensity, block.crossed_intensity])
    said = Sifted(
        number=message.number,
        kept=packed(is_kept.astype(np.uint8)),
        intensity_low=packed(intensity & 1),
        intensity_high=packed(intensity >> 1),
        z_bits=packed(block.z_bits),
        health=block.transmitter,
    )
    return said, block


def crossed_slots(is_kept: NDArray[np.bool_], bases: Bits, is_known: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Detections in Z of what was prepared in X. Their intensity and the receiver's bit are told; the transmitter's bit
    never is, or the proof falls.

    Raises:
        LocalProtocolError: a module that knows only some slots; with two bases, what is not kept is crossed.
    """
    if is_known is not None:
        raise LocalProtocolError("three states need a transmitter that knows every slot it is asked for")
    return np.asarray(~is_kept & (bases == Basis.Z))


def take_answer(block: DetectionBlock, message: Sifted, *, is_three_state: bool = False) -> tuple[PulseBlock, Bits]:
    """What the receiver keeps, and the transmitter's test bits.

    Raises:
        RemoteProtocolError: sizes or intensities cannot be, or a test state that three-state light does not have.
    """
    is_kept = unpacked(message.kept, len(block.index), "kept").astype(bool)
    is_crossed = crossed_slots(is_kept, block.basis, None) if is_three_state else np.zeros_like(is_kept)
    basis, bit = block.basis[is_kept], block.bit[is_kept]
    told_count = len(basis) + int(is_crossed.sum())
    low = unpacked(message.intensity_low, told_count, "intensity")
    intensity = (low | (unpacked(message.intensity_high, told_count, "intensity") << 1)).astype(np.uint8)
    if np.any(intensity >= INTENSITY_COUNT):
        raise RemoteProtocolError(f"pulse block {block.number}: an intensity that does not exist")
    kept = _pulse_block(block, len(block.index), basis, intensity[: len(basis)], bit)
    kept.crossed_intensity, kept.crossed_bits = intensity[len(basis) :], block.bit[is_crossed]
    kept.receiver, kept.transmitter = block.health, checked_transmitter_health(message.health)
    peer_z_bits = unpacked(message.z_bits, len(kept.z_bits), "test bits")
    if is_three_state and np.any(peer_z_bits):
        raise RemoteProtocolError(f"pulse block {block.number}: a test state that three-state light does not have")
    return kept, peer_z_bits


def take_test_bits(block: PulseBlock, data: bytes) -> None:
    """The receiver's announced bits, at the transmitter's end.

    Raises:
        RemoteProtocolError: not as many as there are.
    """
    bits = unpacked(data, len(block.z_bits) + len(block.crossed_bits), "test bits")
    block.crossed_bits = bits[len(block.z_bits) :]
    count_errors(block, bits[: len(block.z_bits)])


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
