"""What is left of a proven length when frames of the key are thrown away after reconciliation.

Which frames are thrown away depends on bit errors, and Eve may have arranged that phase errors lie elsewhere. So
nothing is scaled: all phase errors of the block may lie among the kept bits, and all thrown-away bits may have been
single photons. With s single-photon bits of phase error rate phi, and d bits thrown away, at least s - d single
photons are kept, at most s phi of them in error:

    (s - d) (1 - h(min(1/2, s phi / (s - d))))     in place of     s (1 - h(phi)).

``s`` may be a lower bound: the expression grows with it, by at least 1 - h of the kept rate per single photon.
"""

from __future__ import annotations

from qanat.keyrate.sampling import binary_entropy


def kept_secrecy(single_photons: float, phase_error_rate: float, discarded_bits: int) -> float:
    """Bits of secrecy in what is kept, before leak and failure probabilities are taken off. Never negative.

    Example:
        >>> whole, less = kept_secrecy(1000.0, 0.02, 0), kept_secrecy(1000.0, 0.02, 100)
        >>> round(whole), round(less)
        (859, 762)
    """
    kept = single_photons - discarded_bits
    if kept <= 0:
        return 0.0
    return kept * (1 - binary_entropy(min(0.5, single_photons * phase_error_rate / kept)))
