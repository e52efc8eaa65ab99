"""What finite keys share: block sizes, and the sum of terms that is the length.

A block is given by its sifted key bits (``n_x``) or by its pulses (``n_sent``); without either a formula is asymptotic.
A length from expected counts predicts a rate. It is no key: only a proof on what was seen is.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qanat.keyrate.parameter import Array, Parameter, total_of
from qanat.keyrate.protocol import Constraint, Values
from qanat.keyrate.quantities import parameter


def block_parameters() -> tuple[Parameter, ...]:
    """What every finite key asks for."""
    return (
        parameter("n_x", None, "asymptotic without it and without n_sent", is_optional=True),
        parameter("n_sent", None, "asymptotic without it and without n_x", is_optional=True),
        parameter("epsilon_sec", 1e-9, "Rusca et al. 2018: a usual budget"),
        parameter("epsilon_cor", 1e-15, "Lim et al. 2014, section IV"),
        parameter("p_basis", 0.9, "a biased choice of bases; used with a block size only", search=(0.02, 0.9999)),
    )


def is_finite(values: Values) -> bool:
    """Whether a block size was given."""
    return "n_x" in values or "n_sent" in values


BLOCK_CONSTRAINTS = (
    Constraint(
        name="n_sent",
        text="give n_x or n_sent, not both: each says how large a block is",
        holds=lambda values: np.asarray(not ("n_x" in values and "n_sent" in values)),
    ),
    Constraint(
        name="sifting",
        text="a finite key is sifted by p_basis; sifting is for asymptotic rates and must stay at 1 here",
        holds=lambda values: np.asarray((not is_finite(values)) | (values["sifting"] == 1.0)),
    ),
)
NO_TROJAN_IN_A_BLOCK = Constraint(
    name="mu_trojan",
    text="the bound on a Trojan-horse probe is asymptotic: mu_trojan must be 0 with a block size",
    holds=lambda values: np.asarray((not is_finite(values)) | (values["mu_trojan"] == 0.0)),
)


def pulses(values: Values, key_per_pulse: Array) -> Array:
    """Pulses of a block: as given, or so many that ``n_x`` sifted bits come out on average."""
    if "n_sent" in values:
        return values["n_sent"]
    found: Array = values["n_x"] / key_per_pulse
    return found


def verification(values: Values) -> Array:
    """Bits that verification costs: log2(2 / epsilon_cor)."""
    found: Array = np.log2(2 / values["epsilon_cor"])
    return found


def epsilons(values: Values) -> Mapping[str, Array]:
    """The budget of a block; the two sum to the total."""
    return {"secrecy": values["epsilon_sec"], "correctness": values["epsilon_cor"]}


def signed_length(parts: Mapping[str, Array], missing: Array) -> Array:
    """Sum of the terms; where a condition of the proof fails (``missing`` above 0) at most -``missing``.

    What is missing tells an optimiser the way to where there is key.
    """
    total = total_of(parts.values())
    return np.where(missing > 0, np.minimum(total, 0.0) - missing, total)


def missing_from_phase(single: Array, phase: Array) -> Array:
    """0 below a phase error rate of 1/2, then rising towards the single photons that it concerns."""
    return single * np.maximum(1 - 0.5 / np.maximum(phase, 0.5), 0.0)
