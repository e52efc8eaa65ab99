"""What a driver is: a module (or any object) with two functions, which open one end's light from a URI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from qanat.core.errors import MisuseError, QanatError
from qanat.core.ports import ReceiverModule, TransmitterModule
from qanat.core.topology import Fibre, Link
from qanat.node.drivers.uri import LightUri


class WrongLight(MisuseError):
    """The light named with --light does not fit this end of this link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LightContext:
    """What the network file says about the link whose light is opened."""

    link: Link
    fibre: Fibre

    @property
    def n_pulses(self) -> int:
        """Clock slots of one pulse block."""
        return round(self.link.clock_hz * self.link.pulse_block_ns / 1e9)


class ReceiverDriver(ReceiverModule, Protocol):
    """A receiving module with the two ends of its life.

    Attributes:
        is_recorded: The same light can come twice. Keys from real light that was recorded go to no KME: a second
            replay would disclose other parities of the same bits.
    """

    is_recorded: bool

    def begin(self, epoch: int) -> None:
        """A session of this epoch begins. Numbers of blocks may start again here and only here."""

    def close(self) -> None:
        """Let go of files and processes; ``next_block`` in another thread ends with an error."""


class TransmitterDriver(TransmitterModule, Protocol):
    """A transmitting module with the two ends of its life.

    Attributes:
        is_recorded: As above.
        problem: Why no further pulse block can be answered; None while all is well.
    """

    is_recorded: bool
    problem: QanatError | None

    def begin(self, epoch: int) -> None:
        """A session of this epoch begins."""

    def close(self) -> None:
        """Let go of files."""


class Driver(Protocol):
    """What an entry point of the group ``qanat.drivers`` must give; its name is the URI's scheme."""

    def receiver(self, uri: LightUri, context: LightContext) -> ReceiverDriver:
        """Raises: QanatError, with a sentence for the person who wrote the URI."""

    def transmitter(self, uri: LightUri, context: LightContext) -> TransmitterDriver:
        """As above."""
