"""Where in a receiver a photon can be told: channels, each a detector in one time slot of the gate."""

from __future__ import annotations

from dataclasses import dataclass

CHANNEL_COUNT_MAX = 12  # patterns are table columns: 2**12 of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One way to be detected.

    Attributes:
        detector: Which physical detector; channels of one detector share its hold-off and its traps.
        basis: None where a click says nothing, as in the side slots of an interferometer.
        slot_ps: Centre of its time slot, from the centre of the gate.
    """

    name: str
    detector: int
    basis: int | None
    bit: int
    slot_ps: float = 0.0


@dataclass(frozen=True, slots=True)
class Layout:
    """The channels of one receiver. A pattern of marks is the integer with bit c set where channel c is marked."""

    channels: tuple[Channel, ...]

    @property
    def channel_count(self) -> int:
        return len(self.channels)

    @property
    def pattern_count(self) -> int:
        return 1 << len(self.channels)

    @property
    def detector_count(self) -> int:
        return 1 + max(channel.detector for channel in self.channels)

    @property
    def detectors(self) -> tuple[int, ...]:
        """The detector of each channel."""
        return tuple(channel.detector for channel in self.channels)


POLARISATION = Layout(
    tuple(
        Channel(name=f"{'XZ'[basis]}{bit}", detector=basis * 2 + bit, basis=basis, bit=bit)
        for basis in (0, 1)
        for bit in (0, 1)
    )
)
