"""What no protocol can exceed over a lossy channel: without a repeater, and with one in the middle.

Pirandola, Laurenza, Ottaviani, Banchi, Nat. Commun. 8, 15043 (2017): K = -log2(1 - eta). With one untrusted repeater in
the middle of a symmetric channel eta is replaced by its square root (Pirandola, Commun. Phys. 2, 51 (2019)). Papers mix
two readings of eta, so both are named: *absolute* takes the channel alone, *relative* counts the detectors' efficiency
as loss.
"""

from __future__ import annotations

import numpy as np

from qanat.keyrate.fibre import LN2, channel_parameters, channel_transmittance
from qanat.keyrate.protocol import Found, Protocol, Values
from qanat.keyrate.quantities import parameter

ETA_MAX = 1 - 2.0**-53  # a channel without loss has no bound: 53 bits per use stand for that


def formula(values: Values) -> Found:
    """Both bounds; the rate is the one without a repeater."""
    eta = channel_transmittance(values)
    if values.choice("devices") == "relative":
        eta = eta * values["detector_efficiency"]
    direct, repeated = (-np.log1p(-np.minimum(part, ETA_MAX)) / LN2 for part in (eta, np.sqrt(eta)))
    return Found(
        rate=direct,
        qber=np.zeros_like(eta),
        terms={"transmittance": eta, "plob_bits_per_use": direct, "single_repeater_bits_per_use": repeated},
    )


plob = Protocol(
    name="plob",
    title="bounds: repeaterless (PLOB) and single-repeater",
    parameters=(
        *channel_parameters(),
        parameter("detector_efficiency", 1.0, "ideal detectors"),
        parameter("devices", "absolute", "the paper's own reading"),
        parameter("clock_hz", 1e9, "one use of the channel per nanosecond"),
    ),
    formula=formula,
    assumptions=("an upper bound, not a protocol: pure-loss bosonic channel, ideal everything else",),
    sources=(
        "Pirandola et al., Nat. Commun. 8, 15043 (2017), eq. (19)",
        "Pirandola, Commun. Phys. 2, 51 (2019)",
    ),
    bound=None,
)
