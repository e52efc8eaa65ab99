"""BB84 with d-level photons (time bins, orbital angular momentum, cores of a fibre): two bases, or all d + 1.

Cerf, Bourennane, Karlsson, Gisin, Phys. Rev. Lett. 88, 127902 (2002); Sheridan and Scarani, Phys. Rev. A 82, 030301
(2010). Per sifted detection, with H(Q) = h(Q) + Q log2(d - 1) the entropy of a symmetric error: two bases give log2 d -
f H(Q) - H(Q); all d + 1 give log2 d - f H(Q) - [S(Q) - H(Q)], S = -l0 log2 l0 - (d^2 - 1) l log2 l, l0 = 1 - (d + 1) Q
/ d, l = Q / (d (d - 1)). With d = 2 these are BB84 and the six-state protocol. One photon is spread over d modes of the
channel, so the repeaterless bound of a pulse is d times that of one mode.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qanat.keyrate.fibre import LN2, binary_entropy, channel_parameters, ratio, transmittance
from qanat.keyrate.parameter import Array
from qanat.keyrate.protocol import Constraint, Found, Protocol, Values
from qanat.keyrate.quantities import parameter


def clicks(values: Values) -> tuple[Array, Array]:
    """Yield and error rate of one-photon pulses on d detectors; a click from elsewhere is wrong with (d - 1) / d."""
    eta, d = transmittance(values), values["dimension"]
    dark = values["p_dark"] if values.choice("dark_counts") == "per_pulse" else _of_any(values["p_dark"], d)
    noise = _of_any(values["p_noise"], d)
    y0 = dark + noise - dark * noise
    clicked = y0 + eta - y0 * eta
    wrong = ratio((d - 1) / d * y0 + values["misalignment"] * eta, clicked, 0.5)
    return clicked, np.minimum(wrong, (d - 1) / d)


def _of_any(p: Array, count: Array) -> Array:
    """That at least one of ``count`` detectors clicks."""
    found: Array = -np.expm1(count * np.log1p(-p))
    return found


def error_entropy(qber: Array, dimension: Array) -> Array:
    """H(Q) in bits: whether the symbol is wrong, and which of the others it is."""
    found: Array = binary_entropy(qber) + qber * np.log2(dimension - 1)
    return found


def state_entropy(qber: Array, dimension: Array) -> Array:
    """S(Q) in bits: of the state that a depolarising channel leaves, d^2 eigenvalues."""
    part = qber / (dimension * (dimension - 1))
    kept = np.maximum(1 - (dimension + 1) * qber / dimension, 0.0)
    return _entropy_term(kept) + (dimension**2 - 1) * _entropy_term(part)


def _entropy_term(x: Array) -> Array:
    return -np.where(x > 0, x * np.log(np.where(x > 0, x, 1.0)), 0.0) / LN2


def formula(values: Values) -> Found:
    """R = q Y [log2 d - f H(Q) - what Eve knows]."""
    clicked, qber = clicks(values)
    d = values["dimension"]
    errors = error_entropy(qber, d)
    correction = values["f_ec"] * errors
    known = errors if values.choice("bases") == "two" else state_entropy(qber, d) - errors
    bits = np.log2(d)
    return Found(
        rate=values["sifting"] * clicked * (bits - correction - known),
        qber=qber,
        terms={
            "gain": clicked,
            "bits_per_symbol": bits,
            "error_correction_per_symbol": correction,
            "privacy_amplification_per_symbol": known,
        },
        assumptions=() if values.choice("bases") == "two" else (_DEPOLARISING,),
        sifted=values["sifting"] * clicked * bits,
    )


_DEPOLARISING = "all d + 1 bases show the same error rate (a depolarising channel)"


def _is_whole(values: Values) -> NDArray[np.bool_]:
    return np.asarray(values["dimension"] == np.floor(values["dimension"]))


def _has_all_bases(values: Values) -> NDArray[np.bool_]:
    if values.choice("bases") == "two":
        return np.ones(values["dimension"].shape, dtype=np.bool_)
    return np.isin(values["dimension"], _prime_powers(1024))


def _prime_powers(largest: int) -> list[int]:
    primes = [n for n in range(2, largest + 1) if all(n % factor for factor in range(2, int(n**0.5) + 1))]
    return [prime**k for prime in primes for k in range(1, 11) if prime**k <= largest]


hd_bb84 = Protocol(
    name="hd-bb84",
    title="high-dimensional BB84, single photons, asymptotic",
    parameters=(
        *channel_parameters(),
        parameter("dimension", 4.0, "two time bins more than a qubit"),
        parameter("bases", "two", "the usual choice: a basis more needs its own interferometers"),
        parameter("detector_efficiency", 0.1, "InGaAs avalanche diode, typical"),
        parameter("p_dark", 6e-7, "Lim et al. 2014, section IV"),
        parameter("p_noise", 0.0, "a dark fibre"),
        parameter("dark_counts", "per_detector", "ours: one detector per state"),
        parameter("misalignment", 0.005, "Lim et al. 2014, section IV"),
        parameter("f_ec", 1.16, "Lim et al. 2014, section IV"),
        parameter("sifting", 1.0, "the key basis is chosen nearly always"),
        parameter("clock_hz", 1e9, "a fast source"),
    ),
    formula=formula,
    assumptions=(
        "the source emits exactly one photon per pulse, in one of d modes",
        "errors are symmetric: each wrong symbol is equally likely",
        "asymptotic: no finite-size effects",
    ),
    constraints=(
        Constraint(name="dimension", text="dimension must be a whole number", holds=_is_whole),
        Constraint(
            name="bases",
            text="dimension + 1 unbiased bases are known only where dimension is a power of a prime; use bases=two",
            holds=_has_all_bases,
        ),
    ),
    sources=(
        "Cerf, Bourennane, Karlsson, Gisin, PRL 88, 127902 (2002)",
        "Sheridan, Scarani, PRA 82, 030301 (2010)",
    ),
    bound=None,  # of d modes
)
