"""BBM92: pairs from a down-conversion source, both ends measure in one of two bases. Asymptotic and finite.

Bennett, Brassard, Mermin, Phys. Rev. Lett. 68, 557 (1992); the source and R = q Q [1 - f h(E) - h(E)] as in Ma, Fung,
Lo, Phys. Rev. A 76, 012307 (2007): the source may be the eavesdropper's, and after squashing every coincidence is a
pair of qubits, so that no decoys are needed. With a block size (``n_x`` sifted bits in the key basis, or ``n_sent``
pump pulses) the finite key of Tomamichel et al., Nat. Commun. 3, 634 (2012): l = n [1 - h(E + mu)] - f n h(E) -
log2(2 / (epsilon_sec^2 epsilon_cor)), both ends choosing the key basis with ``p_basis``. The rate is per pump pulse.
The live path's ``tomamichel2012.pair_secret_length`` never exceeds it: it adds a bound from the exact law.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qanat.keyrate.block import BLOCK_CONSTRAINTS, block_parameters, is_finite
from qanat.keyrate.fibre import binary_entropy, phase_entropy
from qanat.keyrate.pair_finite import Pairs, finite, key, sifted_pairs
from qanat.keyrate.pair_source import coincidences, pair_parameters
from qanat.keyrate.protocol import Found, Protocol, Values
from qanat.keyrate.quantities import parameter

__all__ = ["bbm92", "key", "per_pulse"]


def per_pulse(values: Values) -> Pairs:
    """Expected counts per pump pulse."""
    return sifted_pairs(values, *coincidences(values, values["misalignment"]))


def formula(values: Values) -> Found:
    """Asymptotic or finite, per pump pulse."""
    if is_finite(values):
        return finite(values, per_pulse(values))
    gain, qber = coincidences(values, values["misalignment"])
    correction, phase = values["f_ec"] * binary_entropy(qber), phase_entropy(qber)
    return Found(
        rate=values["sifting"] * gain * (1 - correction - phase),
        qber=qber,
        terms={"gain": gain, "error_correction_per_bit": correction, "privacy_amplification_per_bit": phase},
        assumptions=("asymptotic: no finite-size effects",),
        sifted=values["sifting"] * gain,
    )


def free(given: Mapping[str, Any]) -> tuple[str, ...]:
    """The pump's power; with a block size the choice of bases too."""
    if given.get("n_x") is None and given.get("n_sent") is None:
        return ("mean_pairs",)
    return ("mean_pairs", "p_basis")


bbm92 = Protocol(
    name="bbm92",
    title="BBM92, entangled pairs from down-conversion",
    parameters=(
        *pair_parameters(),
        parameter("misalignment", 0.015, "Ma, Fung, Lo 2007, section IV"),
        *block_parameters(),
    ),
    formula=formula,
    assumptions=(
        "both ends squash: double clicks get a random bit",
        "at either end the probability of a detection does not depend on the basis",
        "the source has one Schmidt mode; it need not be trusted",
    ),
    constraints=BLOCK_CONSTRAINTS,
    free=free,
    sources=(
        "Bennett, Brassard, Mermin, PRL 68, 557 (1992)",
        "Ma, Fung, Lo, PRA 76, 012307 (2007)",
        "Tomamichel, Lim, Gisin, Renner, Nat. Commun. 3, 634 (2012)",
    ),
)
