"""What a module may tell about itself, and what of it is believed enough to be passed on.

Monitors, journals and pages read these numbers on both ends: a hostile peer may lie in them, but can neither break
a reader (numbers that are none) nor fill one (lists without end).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from qanat.core.errors import RemoteProtocolError
from qanat.core.health import DETECTOR_COUNT_MAX, GAP_BIN_COUNT, ReceiverHealth, TransmitterHealth

COUNT_MAX = 2**62  # clicks in one window: JSON readers and signed columns hold it


def checked_receiver_health(health: ReceiverHealth | None) -> ReceiverHealth | None:
    """What the receiving module tells.

    Raises:
        RemoteProtocolError: too many detectors or bins, a negative count, or a number that is none.
    """
    if health is None:
        return None
    arrivals = health.arrivals
    detectors = max(len(arrivals), len(health.bias_current_na))
    if detectors > DETECTOR_COUNT_MAX or len(health.gap_histogram) > GAP_BIN_COUNT:
        raise RemoteProtocolError(f"health of {detectors} detectors in {len(health.gap_histogram)} bins")
    _check_counts([*health.gap_histogram, *(n for a in arrivals for n in (a.count, a.out_of_gate_count))])
    moments = [value for a in arrivals for value in (a.mean_ps, a.std_ps, a.skewness)]
    _check_finite([*moments, *health.bias_current_na, health.temperature_c, health.control_effort])
    return health


def checked_transmitter_health(health: TransmitterHealth | None) -> TransmitterHealth | None:
    """What the transmitting module tells.

    Raises:
        RemoteProtocolError: a number that is none.
    """
    if health is not None:
        _check_finite([health.power_ratio, health.in_port_power_nw, health.temperature_c, health.control_effort])
    return health


def _check_counts(counts: Iterable[int]) -> None:
    for count in counts:
        if not 0 <= count < COUNT_MAX:
            raise RemoteProtocolError(f"health with a count of {count}")


def _check_finite(values: Iterable[float]) -> None:
    for value in values:
        if not math.isfinite(value):
            raise RemoteProtocolError("health with a number that is not finite")
