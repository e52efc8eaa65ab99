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

It is not tight: Bochkov and Trushechkin, arXiv:1810.04663, for one photon at the receiver. Asymptotic.
"""

from __future__ import annotations

import numpy as np

from qanat.keyrate.fibre import phase_entropy
from qanat.keyrate.parameter import Array
from qanat.keyrate.protocol import Constraint, Values

ASSUMPTION = "whatever arrives, the less efficient detector is at least efficiency_ratio as efficient as the other"


def unknown_share(values: Values, error: Array) -> Array:
    """Of a bit, what Eve may know: h(e), or 1 - r [1 - h(e / r)]."""
    equal = values["efficiency_ratio"]
    if (equal == 1).all():
        return phase_entropy(error)
    return (1 - equal) + equal * phase_entropy(error / equal)


MISMATCH_ALONE = Constraint(
    name="efficiency_ratio",
    text="efficiency_ratio below 1 together with mu_trojan has no bound here: leave one of the two out",
    holds=lambda values: np.asarray((values["efficiency_ratio"] == 1.0) | (values["mu_trojan"] == 0.0)),
)
