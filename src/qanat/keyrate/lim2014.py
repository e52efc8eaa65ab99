"""Secret length of one decoy-state BB84 block: two decoys, finite key, general attacks.

Source: Lim, Curty, Walenta, Xu, Zbinden, Phys. Rev. A 89, 022307 (2014). Key from X, test in Z. All
intensities give key. Where we differ from the paper, each time towards a shorter key:

- leak is what was disclosed, not f h(E);
- the price of verification is the tag's size where that exceeds the paper's log2(2 / epsilon_cor);
- the phase error bound is backed by a proven one where few errors were seen (``sampling.py``);
- vacuum and single-photon bounds never add up to more than the detections.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from qanat.keyrate.counts import CountsError, DecoyCounts
from qanat.keyrate.decoy import (
    DecoySettings,
    Three,
    single_photon_bound,
    single_photon_errors_bound,
    vacuum_bound,
)
from qanat.keyrate.sampling import binary_entropy, phase_error_bound

# epsilon_sec = 21 epsilon: the paper gives each of its failure events the same share.
SHARES = 21


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretLength:
    """How many secret bits, and the whole derivation.

    Attributes:
        length_bits: Bits to extract. 0 when the proof gives nothing, never above the sifted key.
        signed_bits: The sum of ``terms``; negative says how far from key the block was. Not above 0
            where a condition of the proof fails.
        vacuum_bound: s_X0, lower bound on detections of empty pulses in X.
        single_photon_bound: s_X1, lower bound on single-photon detections in X.
        single_photon_z_bound: s_Z1, the same in Z.
        phase_error_bound: phi_X, upper bound on the phase error rate of those in X; 1/2 is "unknown".
        terms: Summands in bits, those that cost are negative.
        epsilon: Named failure probabilities; their sum is epsilon_sec + epsilon_cor.
    """

    length_bits: int
    signed_bits: float
    vacuum_bound: float
    single_photon_bound: float
    single_photon_z_bound: float
    phase_error_bound: float
    terms: dict[str, float]
    epsilon: dict[str, float]


def secret_length(
    counts: DecoyCounts,
    *,
    intensities: Three,
    p_intensities: Three,
    leak_bits: int,
    tag_bits: int,
    epsilon_sec: float,
    epsilon_cor: float,
) -> SecretLength:
    """Secret bits that one block yields.

    Args:
        counts: Detections and errors of the block.
        intensities: Mean photon numbers mu1 > mu2 > mu3, brightest first.
        p_intensities: Their probabilities as drawn, independent of the basis.
        leak_bits: Bits about the key disclosed by reconciliation, both directions, without the tag.
        tag_bits: Bits of the verification tag, disclosed. They are charged here, once: as
            max(tag_bits, log2(2 / epsilon_cor)). Do not add them to ``leak_bits``.
        epsilon_sec: Secrecy, all 21 shares together.
        epsilon_cor: Probability that the ends differ and verification does not see it. The caller owes
            ``crypto.verification.collision_bound(...) <= epsilon_cor``.

    Returns:
        The length with its derivation.

    Raises:
        CountsError: settings outside the proof, a leak below 0, an epsilon outside (0, 1), or a tag
            too short for epsilon_cor (no hash of t bits collides more rarely than about 2**-t).

    Source: Lim et al. 2014, eq. (1) to (5).

    Example:
        >>> seen = DecoyCounts(n_x=(832_600, 167_330, 70), n_z=(92_500, 18_590, 8), m_z=(2_230, 450, 1))
        >>> result = secret_length(seen, intensities=(0.5, 0.2, 2e-4), p_intensities=(0.6, 0.3, 0.1),
        ...     leak_bits=185_000, tag_bits=128, epsilon_sec=1e-9, epsilon_cor=1e-12)
        >>> 0 < result.length_bits < seen.total_x
        True
    """
    check_budget(leak_bits, tag_bits, epsilon_sec, epsilon_cor)
    settings = DecoySettings(intensities=intensities, p_intensities=p_intensities)
    return length_from_values(
        (float(counts.n_x[0]), float(counts.n_x[1]), float(counts.n_x[2])),
        (float(counts.n_z[0]), float(counts.n_z[1]), float(counts.n_z[2])),
        (float(counts.m_z[0]), float(counts.m_z[1]), float(counts.m_z[2])),
        settings=settings,
        leak_bits=leak_bits,
        tag_bits=tag_bits,
        epsilon_sec=epsilon_sec,
        epsilon_cor=epsilon_cor,
    )


def length_from_values(
    n_x: Three,
    n_z: Three,
    m_z: Three,
    *,
    settings: DecoySettings,
    leak_bits: float,
    tag_bits: float,
    epsilon_sec: float,
    epsilon_cor: float,
) -> SecretLength:
    """The formula on real numbers, unchecked: for studies, where counts are expectations.

    A length from expected counts predicts a rate. It is no key: only ``secret_length`` on what was seen is.
    """
    share = epsilon_sec / SHARES
    s_x0 = vacuum_bound(settings, n_x, share)
    s_x1 = single_photon_bound(settings, n_x, share)
    s_z1 = single_photon_bound(settings, n_z, share)
    v_z1 = single_photon_errors_bound(settings, m_z, share)
    phi_x = phase_error_bound(errors=v_z1, c=s_z1, d=s_x1, epsilon_sec=epsilon_sec)
    return secret_length_from_bounds(
        sifted_bits=math.fsum(n_x),
        vacuum=s_x0,
        single_photon=s_x1,
        single_photon_z=s_z1,
        phase_error=phi_x,
        leak_bits=leak_bits,
        tag_bits=tag_bits,
        epsilon_sec=epsilon_sec,
        epsilon_cor=epsilon_cor,
        shares=SHARES,
    )


def secret_length_from_bounds(
    *,
    sifted_bits: float,
    vacuum: float = 0.0,
    single_photon: float,
    single_photon_z: float,
    phase_error: float,
    leak_bits: float,
    tag_bits: float,
    epsilon_sec: float,
    epsilon_cor: float,
    shares: int,
) -> SecretLength:
    """Eq. (1) of Lim et al. 2014, whatever the bounds come from; epsilon_sec has ``shares`` equal shares."""
    terms = {
        "vacuum": vacuum,
        "single_photon": single_photon,
        "phase_error": -single_photon * binary_entropy(phase_error),
        "reconciliation": -float(leak_bits),
        "verification": -max(float(tag_bits), math.log2(2 / epsilon_cor)),
        "secrecy": -6 * math.log2(shares / epsilon_sec),
    }
    signed_bits = math.fsum(terms.values())
    if phase_error >= 0.5:  # also when s_X1 or s_Z1 is 0: the proof's conditions fail, vacuum alone gives no key
        signed_bits = min(signed_bits, 0.0)
    return SecretLength(
        length_bits=min(max(0, math.floor(signed_bits)), math.floor(sifted_bits)),
        signed_bits=signed_bits,
        vacuum_bound=vacuum,
        single_photon_bound=single_photon,
        single_photon_z_bound=single_photon_z,
        phase_error_bound=phase_error,
        terms=terms,
        epsilon={"secrecy": epsilon_sec, "correctness": epsilon_cor},
    )


def check_budget(leak_bits: int, tag_bits: int, epsilon_sec: float, epsilon_cor: float) -> None:
    """Raises: CountsError: a leak below 0, an epsilon outside (0, 1), or a tag too short for epsilon_cor."""
    for name, value in (("epsilon_sec", epsilon_sec), ("epsilon_cor", epsilon_cor)):
        if not 0 < value < 1:
            raise CountsError(f"{name} is a probability between 0 and 1, not {value}")
    if leak_bits < 0:
        raise CountsError(f"leak_bits {leak_bits} is negative: disclosed bits cannot be taken back")
    if not tag_bits >= math.log2(1 / epsilon_cor):
        need = math.ceil(math.log2(1 / epsilon_cor))
        raise CountsError(f"a tag of {tag_bits} bits cannot reach epsilon_cor {epsilon_cor:.1e}; it needs {need} bits")
