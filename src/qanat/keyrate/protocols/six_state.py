"""Six-state protocol with single photons: three bases pin down what an error means.

Bruss, Phys. Rev. Lett. 81, 3018 (1998); Lo, Quantum Inf. Comput. 1, 81 (2001).
"""

from __future__ import annotations

import numpy as np

from qanat.keyrate.fibre import binary_entropy
from qanat.keyrate.parameter import Array
from qanat.keyrate.protocol import Found, Protocol, Values
from qanat.keyrate.protocols.bb84 import single_photon_clicks, single_photon_parameters

QBER_MAX = 2 / 3  # of the depolarising channel


def bell_entropy(qber: Array) -> Array:
    """Entropy of the Bell-diagonal state (1 - 3 Q / 2, Q / 2, Q / 2, Q / 2), in bits."""
    part = np.clip(qber / 2, 0.0, 0.25)
    kept = 1 - 3 * part
    return -_xlog2x(kept) - 3 * _xlog2x(part)


def _xlog2x(x: Array) -> Array:
    return np.where(x > 0, x * np.log2(np.where(x > 0, x, 1.0)), 0.0)


def formula(values: Values) -> Found:
    """R = q Y [1 - f h(E) - (S(E) - h(E))], S the entropy of the state of a depolarising channel."""
    clicked, qber = single_photon_clicks(values)
    correction = values["f_ec"] * binary_entropy(qber)
    known = bell_entropy(qber) - binary_entropy(qber)
    return Found(
        rate=values["sifting"] * clicked * (1 - correction - known),
        qber=qber,
        terms={"gain": clicked, "error_correction_per_bit": correction, "privacy_amplification_per_bit": known},
    )


six_state = Protocol(
    name="six-state",
    title="six-state protocol, single photons, asymptotic",
    parameters=single_photon_parameters(),
    formula=formula,
    assumptions=(
        "the source emits exactly one photon per pulse",
        "asymptotic: no finite-size effects",
        "all three bases show the same error rate (a depolarising channel)",
    ),
    sources=("Bruss, PRL 81, 3018 (1998)", "Lo, QIC 1, 81 (2001)"),
)
