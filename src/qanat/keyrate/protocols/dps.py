"""Differential phase shift: the bit is the phase between neighbouring pulses. Individual attacks only.

Waks, Takesue, Yamamoto, Phys. Rev. A 73, 012344 (2006): R = Q [-(1 - 2 mu) log2(1 - e^2 - (1 - 6 e)^2 / 2) - f h(e)],
Q = 1 - e^(-mu eta) + Y0, e Q = e_b (1 - e^(-mu eta)) + Y0 / 2, with Y0 = 2
p_dark. The first factor is the share of bits that beam splitting does not tell, the logarithm the collision probability
that an attack on single photons leaves.

This is no proof against an eavesdropper who may do what physics allows. Sequential attacks (Curty et al., Quantum Inf.
Comput. 7, 665 (2007)) beat it on lossy links; proofs against coherent attacks (Wen, Tamaki, Yamamoto, Phys. Rev. Lett.
103, 170503 (2009)) give less and are not implemented here.
"""

from __future__ import annotations

import numpy as np

from qanat.keyrate.fibre import binary_entropy, channel_parameters, ratio, transmittance
from qanat.keyrate.parameter import Array
from qanat.keyrate.protocol import Found, Protocol, Values
from qanat.keyrate.quantities import parameter

ERROR_TURNING = 3 / 19  # where e^2 + (1 - 6 e)^2 / 2 is least: more errors never help those who make key


def shrinking(qber: Array) -> Array:
    """-log2 of the collision probability, bits per bit that beam splitting has not told."""
    e = np.minimum(qber, ERROR_TURNING)
    found: Array = -np.log2(1 - e**2 - (1 - 6 * e) ** 2 / 2)
    return found


def formula(values: Values) -> Found:
    """R per pulse, which is per bit: each pulse makes one with the pulse before it."""
    eta, mu = transmittance(values), values["mu"]
    detectors = 1 if values.choice("dark_counts") == "per_pulse" else 2
    y0 = detectors * values["p_dark"] + 2 * values["p_noise"]  # simply added, as in the paper
    light = -np.expm1(-mu * eta)
    gain = np.minimum(light + y0, 1.0)
    qber = np.minimum(ratio(values["misalignment"] * light + y0 / 2, gain, 0.5), 0.5)
    unsplit = np.maximum(1 - 2 * mu, 0.0)
    secret = gain * unsplit * shrinking(qber)
    correction = gain * values["f_ec"] * binary_entropy(qber)
    return Found(
        rate=secret - correction,
        qber=qber,
        terms={
            "gain": gain,
            "share_not_split": unsplit,
            "shrinking": shrinking(qber),
            "secret": secret,
            "error_correction": correction,
        },
        sifted=gain,
    )


dps = Protocol(
    name="dps",
    title="differential phase shift, individual attacks only",
    parameters=(
        *channel_parameters(),
        parameter("detector_efficiency", 0.1, "InGaAs avalanche diode, typical"),
        parameter("p_dark", 1e-5, "InGaAs avalanche diode of that time"),
        parameter("p_noise", 0.0, "a dark fibre"),
        parameter("dark_counts", "per_detector", "ours"),
        parameter("misalignment", 0.01, "interferometer, typical"),
        parameter("f_ec", 1.16, "Lim et al. 2014, section IV"),
        parameter("mu", 0.2, "near the best at metropolitan lengths", search=(1e-3, 0.5), is_log_search=True),
        parameter("clock_hz", 1e9, "a fast source"),
    ),
    formula=formula,
    assumptions=(
        "individual attacks only: Eve measures each photon by itself. No security against collective, sequential or"
        " coherent attacks is claimed",
        "asymptotic: no finite-size effects",
    ),
    sources=(
        "Waks, Takesue, Yamamoto, PRA 73, 012344 (2006)",
        "Curty, Zhang, Lo, Lutkenhaus, QIC 7, 665 (2007)",
        "Wen, Tamaki, Yamamoto, PRL 103, 170503 (2009)",
    ),
)
