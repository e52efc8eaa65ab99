"""BB84 with single photons: asymptotic, or finite when a block size is given.

**Asymptotic**: Shor and Preskill, Phys. Rev. Lett. 85, 441 (2000); Gottesman, Lo, Lutkenhaus, Preskill, QIC 4, 325
(2004): R = q Y [1 - f h(E) - h(E)].

With ``mu_trojan`` photons of a Trojan-horse probe coming back per pulse, the phase error rate is that of Lucamarini et
al., Phys. Rev. X 5, 031030 (2015): sin^2(a + b) with E = sin^2 a, cos b = 1 - 2 Delta / Y, 1 - 2 Delta = e^-mu cos mu.

With detectors that Eve can make unequal, down to ``efficiency_ratio`` r, Eve may know all but r [1 - h(E / r)] of a bit
in place of 1 - h(E), and all but as many of a block (``mismatch.py``; both attacks at once are not bounded).

**Finite** (``n_x`` sifted bits in the key basis, or ``n_sent`` pulses), against general attacks: Tomamichel, Lim,
Gisin, Renner, Nat. Commun. 3, 634 (2012), eq. (2): l = n [1 - h(E + mu)] - f n h(E) - log2(2 / (epsilon_sec^2
epsilon_cor)) with mu = sqrt((n + k) (k + 1) / (n k^2) ln(4 / epsilon_sec)). Both ends choose the key basis with
``p_basis``: n bits in it make the key, and all k in the other basis are compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qanat.keyrate import trojan
from qanat.keyrate.block import (
    BLOCK_CONSTRAINTS,
    NO_TROJAN_IN_A_BLOCK,
    block_parameters,
    is_finite,
)
from qanat.keyrate.fibre import (
    background,
    binary_entropy,
    channel_parameters,
    ratio,
    transmittance,
)
from qanat.keyrate.mismatch import ASSUMPTION as MATCHED
from qanat.keyrate.mismatch import MISMATCH_ALONE, unknown_share
from qanat.keyrate.pair_finite import Pairs, finite, key, sifted_pairs
from qanat.keyrate.parameter import Array, Parameter
from qanat.keyrate.protocol import Found, Protocol, Values
from qanat.keyrate.quantities import parameter

__all__ = ["bb84", "key", "per_pulse", "single_photon_clicks", "single_photon_parameters"]


def single_photon_clicks(values: Values) -> tuple[Array, Array]:
    """Yield Y = 1 - (1 - Y0)(1 - eta) and error rate E = (Y0 / 2 + misalignment * eta) / Y of one-photon pulses."""
    eta, y0 = transmittance(values), background(values)
    clicked = y0 + eta - y0 * eta
    return clicked, np.minimum(ratio(y0 / 2 + values["misalignment"] * eta, clicked, 0.5), 0.5)


def per_pulse(values: Values) -> Pairs:
    """Expected counts per pulse sent."""
    return sifted_pairs(values, *single_photon_clicks(values))


def formula(values: Values) -> Found:
    """Asymptotic or finite, per pulse; the phase error rate of a symmetric channel is its bit error rate."""
    if is_finite(values):
        return finite(values, per_pulse(values))
    clicked, qber = single_photon_clicks(values)
    error = trojan.phase_error(values, qber, clicked)
    correction, phase = values["f_ec"] * binary_entropy(qber), unknown_share(values, error)
    return Found(
        rate=values["sifting"] * clicked * (1 - correction - phase),
        qber=qber,
        terms={
            "gain": clicked,
            "error_correction_per_bit": correction,
            "privacy_amplification_per_bit": phase,
            "phase_error": error,
        },
        assumptions=("asymptotic: no finite-size effects", trojan.ASSUMPTION, MATCHED),
    )


def free(given: Mapping[str, Any]) -> tuple[str, ...]:
    """The choice of bases, where the block is finite."""
    return () if given.get("n_x") is None and given.get("n_sent") is None else ("p_basis",)


def single_photon_parameters() -> tuple[Parameter, ...]:
    """What single-photon protocols ask for."""
    return (
        *channel_parameters(),
        parameter("detector_efficiency", 0.1, "InGaAs avalanche diode, typical"),
        parameter("p_dark", 6e-7, "Lim et al. 2014, section IV"),
        parameter("p_noise", 0.0, "a dark fibre"),
        parameter("dark_counts", "per_detector", "ours"),
        parameter("misalignment", 0.005, "Lim et al. 2014, section IV"),
        parameter("f_ec", 1.16, "Lim et al. 2014, section IV"),
        parameter("sifting", 1.0, "efficient BB84: the key basis is chosen nearly always"),
        parameter("clock_hz", 1e9, "a fast source"),
    )


bb84 = Protocol(
    name="bb84",
    title="BB84, single photons",
    parameters=(
        *single_photon_parameters(),
        parameter("mu_trojan", 0.0, "an isolated transmitter"),
        parameter("efficiency_ratio", 1.0, "equal detectors"),
        *block_parameters(),
    ),
    formula=formula,
    assumptions=("the source emits exactly one photon per pulse",),
    constraints=(*BLOCK_CONSTRAINTS, NO_TROJAN_IN_A_BLOCK, MISMATCH_ALONE),
    free=free,
    sources=(
        "Shor, Preskill, PRL 85, 441 (2000)",
        "Gottesman, Lo, Lutkenhaus, Preskill, QIC 4, 325 (2004)",
        "Lucamarini et al., PRX 5, 031030 (2015), for mu_trojan",
        "Fung, Tamaki, Qi, Lo, Ma, QIC 9, 131 (2009), for efficiency_ratio; the bound is ours",
        "Tomamichel, Lim, Gisin, Renner, Nat. Commun. 3, 634 (2012)",
    ),
)
