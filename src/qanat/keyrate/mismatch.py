"""What unequal detectors cost: Eve steers time, colour or angle of the light, and with it which detector sees better.

``efficiency_ratio`` r bounds how far apart she can pull them: whatever she sends, the less efficient detector is at
least r times as efficient as the other, in whichever order and pulse by pulse, and they are the same two detectors in
both bases. That this ratio governs the key rate is shown by Fung, Tamaki, Qi, Lo, Ma, QIC 9, 131 (2009); we could not
read more of it than the abstract, and derive a bound here, for any number of photons at the receiver:

C_b, the operator of a click in basis b, is diagonal in the photon numbers of that basis, and r C <= C_b <= C, with C
the click operator of two detectors as good as the better one, the same in both bases. Let sigma be the state behind a
filter C, not normed; Y <= tr sigma is the share of pulses that click in the key basis. From a click of the key basis
Bob could go back to sigma by a filter that succeeds for r tr sigma of the pulses. There he would measure the test
basis, and find the errors observed there divided by r at most, since operators of one basis commute. The uncertainty
relation, with Alice's bit as the key, then leaves unknown to Eve, per click in the key basis, at least

    r [1 - h(e / r)] bits, e the observed error rate of the test basis.

It is not tight: Bochkov and Trushechkin, arXiv:1810.04663, for one photon at the receiver.

**In a block** of n clicks in the key basis: a pulse whose state passes the filter C clicks with r at least, whatever it
is; so a coin that falls with r can be thrown before all else, and pulses for which it falls are clicks. Of m pulses
that passed, n <= m of which clicked, at least n_r = r n - sqrt(2 L r n) are such *good* ones, but for one event of
probability e^-L. Nothing of their state has been selected: test and key basis differ by a label drawn beforehand. An
error that the test basis would show falls among the good ones of the key with p_key^2 r, among the errors seen in the
test with p_test^2 r or more; so v errors are among the good ones at most, from those seen (``labels.most_beside`` with
a ratio of p_key^2 / p_test^2: r drops out). Bits of other clicks may all be Eve's, so

    n_r [1 - h(max(v / n_r, phi / r))]

are secret, phi the bound for equal detectors: the maximum keeps the key from ever growing as detectors grow unequal.
"""

from __future__ import annotations

import numpy as np

from qanat.keyrate.fibre import phase_entropy, ratio
from qanat.keyrate.labels import least_seen, most_beside
from qanat.keyrate.parameter import Array
from qanat.keyrate.protocol import Constraint, Values

ASSUMPTION = "whatever arrives, the less efficient detector is at least efficiency_ratio as efficient as the other"


def unknown_share(values: Values, error: Array) -> Array:
    """Of a bit, what Eve may know: h(e), or 1 - r [1 - h(e / r)]."""
    equal = values["efficiency_ratio"]
    if (equal == 1).all():
        return phase_entropy(error)
    return (1 - equal) + equal * phase_entropy(error / equal)


def is_unequal(values: Values) -> Array:
    """Where detectors may be unequal: 0 or 1."""
    found: Array = np.where(values["efficiency_ratio"] < 1, 1.0, 0.0)
    return found


def in_a_block(
    values: Values, single: Array, phase: Array, errors_test: Array, share: Array, share_phase: Array
) -> tuple[Array, Array]:
    """Clicks that leave Eve nothing but phase errors, at least, and their phase error rate, at most.

    Args:
        single: Clicks of single photons in the key basis, at least.
        phase: Their phase error rate at most, for equal detectors.
        errors_test: Errors of single photons in the test basis, at most.
        share, share_phase: Failure probabilities of the count of good clicks, and of that of their errors.
    """
    equal = values["efficiency_ratio"]
    if (equal == 1).all():
        return single, phase
    good = least_seen(equal * single, share)
    errors = most_beside(errors_test, (values["p_basis"] / (1 - values["p_basis"])) ** 2, share_phase)
    rate = np.maximum(ratio(errors, good, 0.5), phase / equal)
    is_equal = equal == 1
    return np.where(is_equal, single, good), np.where(is_equal, phase, rate)


MISMATCH_ALONE = Constraint(
    name="efficiency_ratio",
    text="efficiency_ratio below 1 together with mu_trojan has no bound here: leave one of the two out",
    holds=lambda values: np.asarray((values["efficiency_ratio"] == 1.0) | (values["mu_trojan"] == 0.0)),
)
