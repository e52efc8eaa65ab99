"""Which modules fit each other, by the names that a network file gives them."""

from __future__ import annotations

from qanat.physics.datasheet import load_receiver, load_transmitter
from qanat.physics.families.sheets import misfit


def misfit_by_name(transmitter: str, receiver: str, clock_hz: float, has_weather: bool) -> str | None:
    """Why they cannot work together, with a drifting environment or without; None when they can.

    Raises:
        DatasheetError: one of them does not exist.

    Example:
        >>> misfit_by_name("decoy-1ghz", "snspd", 1e9, True)
        >>> misfit_by_name("decoy-1ghz", "time-bin-snspd", 1e9, False)
        "transmitter 'decoy-1ghz' sends polarisation light, receiver 'time-bin-snspd' tells time-bin light"
    """
    return misfit(load_transmitter(transmitter), load_receiver(receiver), clock_hz=clock_hz, has_weather=has_weather)
