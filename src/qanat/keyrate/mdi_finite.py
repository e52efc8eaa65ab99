"""Finite keys of measurement-device-independent QKD: own derivation, after Curty et al., Nat. Commun. 5, 3732 (2014).

Of the paper we could read the abstract only: composable security against general attacks, with Chernoff's bounds. The
length here is derived below from facts that its docstrings name, and tested against random relays. Key is made of the
rounds in which both ends sent the signal in the key basis Z and the relay announced a success,

    l = n_11 [1 - h(phi)] - leak - log2(2 / epsilon_cor) - 2 log2(1 / (2 epsilon_PA)),

n_11 a lower bound on pairs of single photons among them, phi an upper bound on the error rate which they would have had
in the test basis X.

**Labels.** The state of two single photons, bits averaged, is the same in both bases. So the announcement of a round
with one photon from each end cannot depend on bases and intensities, and these can be thought of as drawn afterwards:
setting (basis, a) with probability p_a a e^-a / tau_1 at each end. In any other round the basis may be known to Eve,
not the intensity. All counts are sums of independent labels: Chernoff's bounds hold, whatever the relay does.

**n_11.** S_11 (``pair_counts``) bounds the *mean* of n_11, q_Z S_11 with q_Z = (p_mu mu e^-mu)^2; n_11 itself is a sum
of labels, at least x - sqrt(2 L x), x its mean and L = ln(1 / share).

**phi.** V, the X errors of pairs of single photons, whatever their intensities: at most q_X times S_11 of the errors,
q_X = (sum_a p_a a e^-a)^2. Had the pairs in the key been measured in X, each error would have fallen among them
with probability r = q_Z / (q_Z + q_X), among V with 1 - r. How many that are at most follows from Chernoff's bound
(``labels.most_beside``).

**Secrecy.** Bounds on counts concern what really happened: if one fails with probability e, the key is e further from
ideal, at most. The error rate phi belongs to measurements that are not made: failing with probability e^2 it costs 2 e
(Tomamichel, Lim, Gisin, Renner, Nat. Commun. 3, 634 (2012)), by the uncertainty relation and smoothing. Giving Eve all
bits of the key but those of single photons costs nothing more, since p_guess(A B | C) <= p_guess(A | B C) for classical
B. Hashing leaves epsilon_PA. So epsilon_sec = (events in counts) share + 2 sqrt(share_phi) + epsilon_PA: a half, a
quarter, a quarter. Empty pulses are not credited.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from qanat.keyrate.block import missing_from_phase, pulses, signed_length, verification
from qanat.keyrate.fibre import binary_entropy, ratio
from qanat.keyrate.labels import least_seen, most_beside
from qanat.keyrate.pair_counts import EVENTS_ERRORS, EVENTS_YIELD, PairCounts, PairLight
from qanat.keyrate.parameter import Array
from qanat.keyrate.protocol import Found, Values

FINITE = (
    "general attacks, own derivation after Curty et al. 2014 (docs/decisions/0057); bases and intensities are announced"
    " after the relay's last announcement",
    "expected counts: they predict a rate, they are no key",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Counts of a block, or per pair of pulses: signal pairs in the key basis and their errors, and the decoys'.

    ``gains_key`` are successes by intensity in the key basis, where decoys are sent there too.
    """

    key: Array
    key_errors: Array
    gains_test: PairCounts
    errors_test: PairCounts
    gains_key: PairCounts | None = None

    def times(self, rounds: Array) -> Seen:
        """From counts per pair of pulses to counts."""
        return Seen(
            key=self.key * rounds,
            key_errors=self.key_errors * rounds,
            gains_test=self.gains_test.each(lambda count: count * rounds),
            errors_test=self.errors_test.each(lambda count: count * rounds),
            gains_key=self.gains_key.each(lambda count: count * rounds) if self.gains_key else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The signal in the key basis with its probability at each end, and what else each end sends there and in X."""

    signal: Array
    p_signal: Array
    test: PairLight
    key: PairLight | None = None

    @property
    def single_pairs(self) -> Array:
        """q_Z: probability that both ends send the signal in the key basis with one photon."""
        found: Array = (self.p_signal * self.signal * np.exp(-self.signal)) ** 2
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """Pairs of single photons in the key at least, their phase errors at most, the rate of these, and what is missing
    to a proof (0 if nothing is)."""

    single: Array
    errors: Array
    phase: Array
    missing: Array


def prove(sent: Sent, seen: Seen, budget: Mapping[str, Array]) -> Proven:
    """The bounds of the module's docstring."""
    bounds = 1 if seen.gains_key is None else 2
    share = budget["counts"] / (EVENTS_YIELD * bounds + EVENTS_ERRORS + 1)
    mean_test = sent.single_pairs * sent.test.yield_least(seen.gains_test, share)
    mean = mean_test
    if sent.key is not None and seen.gains_key is not None:
        mean = sent.single_pairs * sent.key.yield_least(seen.gains_key, share)
    # One event: n_11 lies not far below its true mean, and what is left of a lower mean is less.
    single, single_test = (np.minimum(least_seen(each, share), seen.key) for each in (mean, mean_test))
    ratio_of_labels = sent.single_pairs / sent.test.single_pairs()
    wrong = sent.test.single_pairs() * np.maximum(sent.test.errors_most(seen.errors_test, share), 0.0)
    errors = most_beside(wrong, ratio_of_labels, (budget["phase_errors"] / 2) ** 2)
    phase = ratio(errors, np.maximum(single_test, 1.0), 0.5)
    lacking = np.maximum(1 - mean, 0.0) + np.maximum(1 - mean_test, 0.0)
    return Proven(
        single=np.maximum(single, 0.0),
        errors=errors,
        phase=np.where(lacking > 0, 0.5, np.minimum(phase, 0.5)),
        missing=lacking + missing_from_phase(np.maximum(single, 1.0), phase),
    )


def budget_of(values: Values) -> dict[str, Array]:
    """How epsilon_sec and epsilon_cor are spent: the first three add up to epsilon_sec."""
    total = values["epsilon_sec"]
    return {
        "counts": total / 2,
        "phase_errors": total / 4,
        "privacy_amplification": total / 4,
        "correctness": values["epsilon_cor"],
    }


def finite(values: Values, sent: Sent, expected: Seen) -> Found:
    """The key of a block as large as the values say, from counts per pair of pulses."""
    n_sent, budget = pulses(values, expected.key), budget_of(values)
    seen = expected.times(n_sent)
    found = prove(sent, seen, budget)
    qber = np.minimum(ratio(seen.key_errors, seen.key, 0.5), 0.5)
    parts = {
        "single_pair": found.single,
        "phase_error": -found.single * binary_entropy(found.phase),
        "reconciliation": -values["f_ec"] * seen.key * binary_entropy(qber),
        "verification": -verification(values),
        "secrecy": 2 * np.log2(2 * budget["privacy_amplification"]),
    }
    length = signed_length(parts, found.missing)
    return Found(
        rate=length / n_sent,
        qber=qber,
        terms={
            **{f"{name}_bits": value for name, value in parts.items()},
            "signed_length_bits": length,
            "n_sent": n_sent,
            "n_x": seen.key,
            "phase_errors_at_most": found.errors,
            "phase_error_rate": found.phase,
        },
        epsilon=budget,
        assumptions=FINITE,
        sifted=seen.key / n_sent,
    )
