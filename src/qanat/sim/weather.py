"""The weather of simulated modules: what drifts goes into a sampler and into the meters, window by window.

Glass and transmitter tell of one laser from two processes: its cabinet's stream is named by the simulation key, which
both have; everything else by the glass's own stream. Without an environment in the network file nothing drifts.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

from qanat.core.errors import MisuseError
from qanat.core.streams import Streams
from qanat.core.topology import Fibre, Link
from qanat.physics.attack import Attack
from qanat.physics.datasheet import load_receiver, load_transmitter
from qanat.physics.drift import Conditions, LinkDrift, drifted, error_signal, meters
from qanat.physics.families.sheets import checked_fit
from qanat.physics.health import instruments_under
from qanat.physics.instruments import Instruments, instruments_from_sheets
from qanat.physics.memory import memory_from_sheet
from qanat.physics.optics import Optics, optics_from_sheets
from qanat.physics.settings import law_from_sheet


class Drifting(Protocol):
    """What any sampler is to the weather."""

    def set_optics(self, optics: Optics) -> None: ...


def weather_streams(seed: bytes, whose: str) -> Streams:
    """Named by the seed; knowing them tells nothing of it."""
    digest = hashlib.sha256(f"qanat/weather/{whose}\n".encode() + seed).digest()
    return Streams(seed=int.from_bytes(digest[:8], "little"))


class Weather:
    """One link's optics and meters without and with weather.

    Args:
        stream_seed: Of the glass.
        transmitter_seed: Of the transmitter's cabinet; the simulation key where a transmitter tells of it too.

    Attributes:
        optics, memory: Of the link without weather: what a sampler begins with.
        conditions: Of the last window; None where nothing drifts.
    """

    def __init__(self, link: Link, fibre: Fibre, *, stream_seed: bytes, transmitter_seed: bytes) -> None:
        if link.fibre != fibre.id:
            raise MisuseError(f"link {link.id} runs over fibre {link.fibre}, not {fibre.id}")
        transmitter, receiver = load_transmitter(link.transmitter), load_receiver(link.receiver)
        checked_fit(transmitter, receiver, clock_hz=link.clock_hz, has_weather=link.environment is not None)
        self.optics = optics_from_sheets(transmitter, receiver, loss_db=fibre.loss_db, clock_hz=link.clock_hz)
        self.memory = memory_from_sheet(receiver, clock_hz=link.clock_hz)
        self.conditions: Conditions | None = None
        self._law = law_from_sheet(transmitter)
        self._base = instruments_from_sheets(transmitter, receiver)
        self._attacks: tuple[Attack, ...] = ()
        self._drift = None
        if link.environment is not None:
            self._drift = LinkDrift(
                link.environment,
                transmitter=transmitter,
                receiver=receiver,
                length_km=fibre.length_km,
                signal=error_signal(self.optics, self.memory, self._law),
                streams=weather_streams(stream_seed, "glass"),
                transmitter_streams=weather_streams(transmitter_seed, "transmitter"),
            )

    def set_attacks(self, attacks: tuple[Attack, ...]) -> None:
        """Eve moves the meters, and what the controller sees."""
        self._attacks = attacks
        if self._drift is not None:
            self._drift.signal = error_signal(self.optics, self.memory, self._law, attacks)

    def into(self, sampler: Drifting, start_ns: int, duration_ns: int) -> Instruments:
        """Give the sampler this window's optics; returns what the meters show in it. Windows must come in order."""
        if self._drift is None:
            return instruments_under(self.optics, self._attacks, self._base)
        conditions = self._drift.window(start_ns, duration_ns)
        if conditions != self.conditions:
            self.conditions = conditions
            sampler.set_optics(drifted(self.optics, conditions))
        return instruments_under(self.optics, self._attacks, meters(self._base, conditions))
