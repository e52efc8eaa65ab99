"""Datasheets of QKD modules: numbers with units and sources, read from ``datasheets/*.toml``.

This file finds them by name; ``sheets.py`` says what they hold, ``sheet_fields.py`` what may be written, and
``sheet_reading.py`` reads it.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from qanat.physics.errors import DatasheetError, near_miss
from qanat.physics.sheet_reading import receiver_from_text, transmitter_from_text
from qanat.physics.sheets import DETECTORS, ROOM_C, Fact, PerDetector, ReceiverSheet, TransmitterSheet

__all__ = [
    "DETECTORS",
    "ROOM_C",
    "Fact",
    "PerDetector",
    "ReceiverSheet",
    "TransmitterSheet",
    "load_receiver",
    "load_transmitter",
    "receiver_from_text",
    "receiver_names",
    "transmitter_from_text",
    "transmitter_names",
]


@cache
def transmitter_names() -> tuple[str, ...]:
    """Names that ``load_transmitter`` knows, sorted."""
    return _names("transmitter")


@cache
def receiver_names() -> tuple[str, ...]:
    """Names that ``load_receiver`` knows, sorted."""
    return _names("receiver")


@cache
def load_transmitter(name: str) -> TransmitterSheet:
    """The transmitter's datasheet.

    Raises:
        DatasheetError: unknown name (the nearest are named), or the file is not sound.

    Example:
        >>> len(load_transmitter("decoy-1ghz").intensities)
        3
    """
    if name not in transmitter_names():
        raise DatasheetError(near_miss("transmitter", name, transmitter_names()))
    return transmitter_from_text(_text(f"transmitter-{name}"), where=name)


@cache
def load_receiver(name: str) -> ReceiverSheet:
    """The receiver's datasheet.

    Raises:
        DatasheetError: unknown name (the nearest are named), or the file is not sound.
    """
    if name not in receiver_names():
        raise DatasheetError(near_miss("receiver", name, receiver_names()))
    return receiver_from_text(_text(f"receiver-{name}"), where=name)


def _names(kind: str) -> tuple[str, ...]:
    files = resources.files("qanat.physics.datasheets").iterdir()
    stems = [file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")]
    return tuple(sorted(stem.removeprefix(f"{kind}-") for stem in stems if stem.startswith(f"{kind}-")))


def _text(stem: str) -> str:
    return resources.files("qanat.physics.datasheets").joinpath(f"{stem}.toml").read_text("utf-8")
