"""E91 with trusted devices: entangled pairs, a CHSH test beside the key. Asymptotic and finite.

Ekert, Phys. Rev. Lett. 67, 661 (1991), with the settings in use today: both ends measure in one of two complementary
bases, and one end instead, with probability ``p_chsh``, at the two angles between them; these rounds give S. The source
emits Werner states of ``visibility`` V; a qubit pair then errs with probability (1 - V) / 2, and

    S = 2 sqrt(2) (1 - 2 E), violated above 2, that is V above 0.7071 where nothing else errs.

With trusted devices the key follows from the error rate as in BBM92: R = (1 - p_chsh) q Q [1 - f h(E) - h(E)], key only
above V = 0.7800 (E below 11.0 %). S is a term and a check; it does not enter the rate (``di`` does without trust). The
finite key, with ``n_x`` or ``n_sent``, is that of Tomamichel et al. 2012. Gain and errors as in ``bbm92``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qanat.keyrate.block import BLOCK_CONSTRAINTS, block_parameters, is_finite
from qanat.keyrate.fibre import binary_entropy, phase_entropy
from qanat.keyrate.pair_finite import Pairs, finite, sifted_pairs
from qanat.keyrate.pair_finite import key as pair_key
from qanat.keyrate.pair_source import coincidences, pair_parameters
from qanat.keyrate.parameter import Array
from qanat.keyrate.protocol import Found, Protocol, Values
from qanat.keyrate.protocols.bbm92 import free
from qanat.keyrate.quantities import parameter

CHSH_MAX = 2 * np.sqrt(2.0)  # Tsirelson's bound


def misalignment(values: Values) -> Array:
    """Error probability of a pair: the Werner state's, and what the measurements' axes add."""
    return (1 - values["visibility"] * (1 - 2 * values["misalignment"])) / 2


def per_pulse(values: Values) -> Pairs:
    """Expected counts per pump pulse."""
    return sifted_pairs(values, *coincidences(values, misalignment(values))).times(1 - values["p_chsh"])


def key(values: Values, seen: Pairs, n_sent: Array) -> Found:
    """The finite key, and S."""
    return with_chsh(pair_key(values, seen, n_sent))


def with_chsh(found: Found) -> Found:
    return replace(found, terms={**found.terms, "chsh": CHSH_MAX * (1 - 2 * found.qber)})


def formula(values: Values) -> Found:
    """Asymptotic or finite, per pump pulse."""
    if is_finite(values):
        return with_chsh(finite(values, per_pulse(values)))
    gain, qber = coincidences(values, misalignment(values))
    sifted = (1 - values["p_chsh"]) * values["sifting"] * gain
    correction, phase = values["f_ec"] * binary_entropy(qber), phase_entropy(qber)
    return with_chsh(
        Found(
            rate=sifted * (1 - correction - phase),
            qber=qber,
            terms={"gain": gain, "error_correction_per_bit": correction, "privacy_amplification_per_bit": phase},
            assumptions=("asymptotic: no finite-size effects",),
            sifted=sifted,
        )
    )


e91 = Protocol(
    name="e91",
    title="E91, entangled pairs with a CHSH test, trusted devices",
    parameters=(
        *pair_parameters(),
        parameter("visibility", 0.98, "a good source"),
        parameter("misalignment", 0.0, "in the visibility"),
        parameter("p_chsh", 0.1, "ours"),
        *block_parameters(),
    ),
    formula=formula,
    assumptions=(
        "trusted devices: two complementary qubit measurements at either end; S is a check, not the proof",
        "both ends squash: double clicks get a random bit",
        "the source has one Schmidt mode; it need not be trusted",
    ),
    constraints=BLOCK_CONSTRAINTS,
    free=free,
    sources=(
        "Ekert, PRL 67, 661 (1991)",
        "Ma, Fung, Lo, PRA 76, 012307 (2007)",
        "Tomamichel, Lim, Gisin, Renner, Nat. Commun. 3, 634 (2012)",
    ),
)
