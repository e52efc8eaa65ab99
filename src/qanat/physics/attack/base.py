"""What every attack is: a frozen dataclass whose fields carry unit and range, and the hooks that it may override."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar

from qanat.physics.branch import HONEST, Branch
from qanat.physics.errors import AttackError, near_miss

if TYPE_CHECKING:
    from qanat.physics.instruments import Instruments
    from qanat.physics.memory import DetectorMemory
    from qanat.physics.optics import Optics


class Place(IntEnum):
    """Where Eve stands, in the order in which the light passes her."""

    TRANSMITTER = 0
    LINE = 1
    RECEIVER = 2
    DETECTORS = 3


def parameter(default: Any, *, unit: str, says: str, low: float = 0.0, high: float = 1.0) -> Any:
    """A number between ``low`` and ``high``; whole where the default is an integer."""
    return dataclasses.field(default=default, metadata={"unit": unit, "help": says, "low": low, "high": high})


def choice(default: str, *, says: str, options: Sequence[str]) -> Any:
    """One of a few words."""
    return dataclasses.field(default=default, metadata={"unit": "", "help": says, "options": tuple(options)})


class LightAttack:
    """What every attack may touch; each overrides what it does.

    Attributes:
        name: As people type it.
        place: Attacks together act in the order of their places, whatever order they were given in.
        signature: What it moves and what it leaves alone, for people who watch.
        source: Where attack and numbers were published.
        pulse_gates: (period, length) in gates of an attack that is on for the first ``length`` gates of every
            ``period``, counted from slot 0 of the link; None: always on.
    """

    __slots__ = ()
    name: ClassVar[str] = ""
    place: ClassVar[Place] = Place.LINE
    signature: ClassVar[str] = ""
    source: ClassVar[str] = ""
    pulse_gates: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            if field.metadata:
                _check(field, getattr(self, field.name))

    def on(self, branches: Sequence[Branch], optics: Optics) -> list[Branch]:
        """The light of a gate, attacked."""
        return list(branches)

    def on_memory(self, memory: DetectorMemory) -> DetectorMemory:
        """The detectors' memory under the attack."""
        return memory

    def on_instruments(self, instruments: Instruments, optics: Optics) -> Instruments:
        """What the meters show under the attack."""
        return instruments

    def eve_information(self, optics: Optics) -> float | None:
        """Eve's Shannon information per sifted bit of the key basis X, in bits; None: no closed formula is known here.

        For attacks of the light alone, without dark counts, to first order in the light that arrives.
        """
        return None

    def labelled(self, branch: Branch) -> str:
        """The ground truth of light on which this attack acts on top of what was done before: names, joined by +."""
        done = [] if branch.label == HONEST else branch.label.split("+")
        return "+".join([*done, self.name] if self.name not in done else done)


def _check(field: dataclasses.Field[Any], value: object) -> None:
    """Raises AttackError unless the value is what the field takes. Values come from files and sockets."""
    options = field.metadata.get("options")
    if options is not None:
        if value not in options:
            raise AttackError(near_miss(field.name, str(value), options))
        return
    low, high, unit = field.metadata["low"], field.metadata["high"], field.metadata["unit"]
    is_whole = isinstance(field.default, int)
    if isinstance(value, bool) or not isinstance(value, int if is_whole else (int, float)):
        raise AttackError(f"{field.name} is {value!r}; it must be a {'whole ' if is_whole else ''}number")
    if not low <= value <= high or not math.isfinite(value):
        limits = f"{low:g} and {high:g} {unit}".replace("e+", "e").rstrip()
        raise AttackError(f"{field.name} is {value}; it must lie between {limits}")
