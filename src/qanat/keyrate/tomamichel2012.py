"""Secret length of one block of entanglement-based BB84 (BBM92): finite key, general attacks, no decoys.

After squashing, every coincidence is a pair of qubits that Eve may have made; source and photon numbers are hers. So
all coincidences in X count, and the error rate in Z, a random sample of all, bounds their phase errors:

    l = n (1 - h(Q + mu)) - leak - log2(2 / (epsilon_sec**2 epsilon_cor)),
    mu = sqrt((n + k) (k + 1) / (n k**2) ln(4 / epsilon_sec)).

Source: Tomamichel, Lim, Gisin, Renner, Tight finite-key analysis for quantum cryptography, Nat. Commun. 3, 634
    (2012), with q = 1 for two exactly complementary bases. Where we differ, each time towards a shorter key:

- mu is backed by the exact law of sampling without replacement, the larger counts;
- leak is what was disclosed; the price of verification is the tag's size where that exceeds log2(2 / epsilon_cor);
- the paper fixes the tolerated error rate beforehand; like ``lim2014`` we insert the observed one.

**Assumed, not proven here**: at either end the probability of a detection does not depend on the basis; both ends
squash (at random on double clicks); the passive choice of basis is as good as an active one; and the slots are kept
by coincidence alone. Each end's bases are its own random choice, which nobody else can steer.
"""

from __future__ import annotations

import math

from qanat.keyrate.counts import CountsError
from qanat.keyrate.lim2014 import SecretLength
from qanat.keyrate.sampling import binary_entropy, rest_rate_bound, serfling


def serfling_deviation(*, n: int, k: int, epsilon_sec: float) -> float:
    """mu: by how much n events may err more often than a random sample of k others.

    From Serfling's inequality with probability (epsilon_sec / 4)**2; its root is the smoothing that costs secrecy
    twice, and extraction takes the other half of epsilon_sec.

    Example:
        >>> round(serfling_deviation(n=100_000, k=10_000, epsilon_sec=1e-10), 4)
        0.0518
    """
    return float(serfling(float(n), float(k), epsilon_sec / 4))


def phase_error_rate_bound(*, errors: int, k: int, n: int, epsilon_sec: float) -> float:
    """Upper bound on the phase error rate of the n bits of key; 1/2 is "unknown"."""
    if n < 1 or k < 1 or errors >= k / 2:
        return 0.5
    printed = errors / k + serfling_deviation(n=n, k=k, epsilon_sec=epsilon_sec)
    if printed >= 0.5:
        return 0.5
    return min(0.5, max(printed, rest_rate_bound(errors, k, n, (epsilon_sec / 4) ** 2)))


def pair_secret_length(
    *, n: int, k: int, errors: int, leak_bits: int, tag_bits: int, epsilon_sec: float, epsilon_cor: float
) -> SecretLength:
    """Secret bits of one block.

    Args:
        n: Coincidences in X: the sifted key.
        k: Coincidences in Z: the test.
        errors: Errors among them.
        leak_bits: Disclosed by reconciliation, without the tag.
        tag_bits: Of verification; charged here, see ``lim2014.secret_length``.

    Raises:
        CountsError: counts that cannot be, a negative leak, an epsilon outside (0, 1), a tag that is too short.

    Example:
        >>> result = pair_secret_length(n=100_000, k=100_000, errors=1_500, leak_bits=13_000, tag_bits=128,
        ...     epsilon_sec=1e-10, epsilon_cor=1e-12)
        >>> 60_000 < result.length_bits < 100_000 - 13_000
        True
    """
    _check(n, k, errors, leak_bits)
    for name, value in (("epsilon_sec", epsilon_sec), ("epsilon_cor", epsilon_cor)):
        if not 0 < value < 1:
            raise CountsError(f"{name} is a probability between 0 and 1, not {value}")
    if not tag_bits >= math.log2(1 / epsilon_cor):
        raise CountsError(f"a tag of {tag_bits} bits cannot reach epsilon_cor {epsilon_cor:.1e}")
    phi = phase_error_rate_bound(errors=errors, k=k, n=n, epsilon_sec=epsilon_sec)
    terms = {
        "sifted": float(n),
        "phase_error": -n * binary_entropy(phi),
        "reconciliation": -float(leak_bits),
        "verification": -max(float(tag_bits), math.log2(2 / epsilon_cor)),
        "secrecy": -2 * math.log2(1 / epsilon_sec),
    }
    signed_bits = math.fsum(terms.values())
    if phi >= 0.5:
        signed_bits = min(signed_bits, 0.0)
    return SecretLength(
        length_bits=max(0, math.floor(signed_bits)),
        signed_bits=signed_bits,
        vacuum_bound=0.0,
        single_photon_bound=float(n),
        single_photon_z_bound=float(k),
        phase_error_bound=phi,
        terms=terms,
        epsilon={"secrecy": epsilon_sec, "correctness": epsilon_cor},
    )


def _check(n: int, k: int, errors: int, leak_bits: int) -> None:
    if min(n, k, errors) < 0 or errors > k:
        raise CountsError(f"{errors} errors among {k} coincidences in Z, {n} in X: counts that cannot be")
    if leak_bits < 0:
        raise CountsError(f"leak_bits {leak_bits} is negative: disclosed bits cannot be taken back")
