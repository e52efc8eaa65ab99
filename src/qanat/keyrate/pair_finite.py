"""Finite keys from qubits without decoys, for studies: single photons, entangled pairs.

Source: Tomamichel, Lim, Gisin, Renner, Nat. Commun. 3, 634 (2012), eq. (2), for two exactly complementary bases:

    l = n [1 - h(Q + mu)] - leak - log2(2 / (epsilon_sec^2 epsilon_cor)),
    mu = sqrt((n + k) (k + 1) / (n k^2) ln(4 / epsilon_sec)),

n bits of key, k others compared in the test basis, Q their error rate. The live path's ``tomamichel2012`` uses the same
mu (``sampling.serfling``) and backs it by the exact law: its length never exceeds the one here.

Where detectors may be unequal (``efficiency_ratio`` below 1, BB84), of n bits those count that ``mismatch.in_a_block``
leaves. Of epsilon_sec a quarter then pays for how many these are, a quarter for their errors, a half for hashing as
before: 2 (epsilon_sec / 8) in place of 2 (epsilon_sec / 4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qanat.keyrate.block import epsilons, missing_from_phase, pulses, signed_length, verification
from qanat.keyrate.fibre import binary_entropy, ratio
from qanat.keyrate.mismatch import in_a_block
from qanat.keyrate.parameter import Array
from qanat.keyrate.protocol import Found, Values
from qanat.keyrate.sampling import serfling

FINITE = (
    "the error rate in the test is the tolerated one, fixed beforehand",
    "expected counts: with few errors in the test the live path proves less than is printed",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Sifted bits of a block and their errors: of the key, and of the test."""

    key: Array
    key_errors: Array
    test: Array
    test_errors: Array

    def times(self, rounds: Array) -> Pairs:
        """From counts per round to counts."""
        return self.each(lambda count: count * rounds)

    def each(self, change: Callable[[Array], Array]) -> Pairs:
        """Every count changed alike: scaled, or summed over the parts of a pass."""
        return Pairs(
            key=change(self.key),
            key_errors=change(self.key_errors),
            test=change(self.test),
            test_errors=change(self.test_errors),
        )

    def __add__(self, other: Pairs) -> Pairs:
        """Counts of two parts of a pass together."""
        return Pairs(
            key=self.key + other.key,
            key_errors=self.key_errors + other.key_errors,
            test=self.test + other.test,
            test_errors=self.test_errors + other.test_errors,
        )


def sifted_pairs(values: Values, gain: Array, qber: Array) -> Pairs:
    """Expected counts per round when both ends choose the key basis with ``p_basis``."""
    n, k = gain * values["p_basis"] ** 2, gain * (1 - values["p_basis"]) ** 2
    return Pairs(key=n, key_errors=n * qber, test=k, test_errors=k * qber)


def finite(values: Values, expected: Pairs) -> Found:
    """The key of a block as large as the values say, from counts per round."""
    n_sent = pulses(values, expected.key)
    return key(values, expected.times(n_sent), n_sent)


def key(values: Values, seen: Pairs, n_sent: Array) -> Found:
    """The finite key of a block with these counts."""
    n, k = np.maximum(seen.key, 1.0), np.maximum(seen.test, 1.0)
    qber = np.minimum(ratio(seen.key_errors, seen.key, 0.5), 0.5)
    deviation = serfling(n, k, values["epsilon_sec"] / 4)
    phase = ratio(seen.test_errors, seen.test, 0.5) + deviation
    kept = seen.key
    if "efficiency_ratio" in values:
        share = values["epsilon_sec"] / 4
        kept, phase = in_a_block(values, seen.key, phase, seen.test_errors, share, (share / 2) ** 2)
    missing = missing_from_phase(n, phase) + np.maximum(1 - seen.key, 0.0) + np.maximum(1 - seen.test, 0.0)
    parts = {
        "sifted": kept,
        "phase_error": -kept * binary_entropy(np.minimum(phase, 0.5)),
        "reconciliation": -values["f_ec"] * seen.key * binary_entropy(qber),
        "verification": -verification(values),
        "secrecy": 2 * np.log2(values["epsilon_sec"]),
    }
    length = signed_length(parts, missing)
    return Found(
        rate=length / n_sent,
        qber=qber,
        terms={
            **{f"{name}_bits": value for name, value in parts.items()},
            "signed_length_bits": length,
            "n_sent": n_sent,
            "n_x": seen.key,
            "n_test": seen.test,
            "deviation": deviation,
            "phase_error_rate": np.minimum(phase, 0.5),
        },
        epsilon=epsilons(values),
        assumptions=FINITE,
        sifted=seen.key / n_sent,
    )
