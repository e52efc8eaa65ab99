"""Secret length of one block of three-state, decoy-state BB84: two decoys, finite key, general attacks.

The transmitter prepares X0, X1 (key) and Z0 (test), never Z1. Phase errors of key events are what a test in Z of both
virtual qubits would have shown: Z0 sent and 1 seen, or Z1 sent and 0 seen. The missing state is bought from *crossed*
events: prepared in X, measured in Z, the receiver's bit announced, the transmitter's kept for ever. A single photon of
either key state with even odds is a single photon of either test state with even odds, (|X0><X0| + |X1><X1|) / 2 =
(|Z0><Z0| + |Z1><Z1|) / 2. So imagine that the transmitter looks, and tells nobody, which one a crossed event was:

- Z0 sent in a test and Z0 sent, unknown, in a crossed event are one state to everybody else, with odds p_z to p_x / 2:
  events of either outcome are *seen* with probability q = p_z / (p_z + p_x / 2), else *hidden* (``hidden.py``);
- Z1 sent and 0 seen: crossed events with outcome 0, less those hidden with Z0 sent;
- phase errors of crossed events are a random sample of those of key events, because the receiver's basis is chosen
  independently of them (``sampling.rest_rate_bound``, from the exact law).

Photon numbers by the two-decoy bounds of Lim et al. in each of five classes: key, crossed, crossed with outcome 0,
test without and with error. None but the first two has all outcomes: the bounds hold for any class, since an intensity
is as good as drawn after its detection.

Assumed beyond Lim et al.: fair key bits and the exact p_x; the three states lie on one circle, X0 and X1 opposite, Z0
between (a source that turns them needs Tamaki et al.); per basis the receiver loses light whatever its state.

Sources: Tamaki et al., Phys. Rev. A 90, 052314 (2014), for the missing state from crossed events; Rusca et al., Phys.
Rev. A 98, 052336 (2018), for three states with decoys; Lim et al. 2014 for the frame. The finite-size argument is our
own: docs/decisions/0043.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qanat.keyrate.counts import CountsError, DecoyCounts, checked_counts
from qanat.keyrate.decoy import DecoySettings, Three, single_photon_bound, single_photon_errors_bound
from qanat.keyrate.hidden import fewest_hidden, most_hidden
from qanat.keyrate.lim2014 import SecretLength, check_budget, secret_length_from_bounds
from qanat.keyrate.sampling import rest_rate_bound

# Lim et al. have 21 shares in all. We keep them all for the rest, and add one for each of our deviations: five each for
# the lower bounds on key, crossed and right tests, two each for the upper bounds on crossed zeros and wrong tests.
SHARES = 21 + 19


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreeStateCounts(DecoyCounts):
    """Counts of one key block, with those of crossed events.

    Attributes:
        n_c: Detections prepared in X and measured in Z, per intensity.
        zero_c: Of these, with outcome 0.

    Raises:
        CountsError: as ``DecoyCounts``, also for these.
    """

    n_c: tuple[int, ...]
    zero_c: tuple[int, ...]

    def __post_init__(self) -> None:
        DecoyCounts.__post_init__(self)
        for name in ("n_c", "zero_c"):
            object.__setattr__(self, name, checked_counts(name, getattr(self, name)))
        if any(zero > all_ for zero, all_ in zip(self.zero_c, self.n_c, strict=True)):
            raise CountsError(f"more zeros {self.zero_c} than crossed detections {self.n_c}")


def three_state_length(
    counts: ThreeStateCounts,
    *,
    intensities: Three,
    p_intensities: Three,
    p_x: float,
    leak_bits: int,
    tag_bits: int,
    epsilon_sec: float,
    epsilon_cor: float,
) -> SecretLength:
    """Secret bits that one block yields; arguments and result as ``lim2014.secret_length``.

    Args:
        p_x: Probability that the transmitter prepares X, exactly as drawn.

    Raises:
        CountsError: settings or budget outside the proof.
    """
    check_budget(leak_bits, tag_bits, epsilon_sec, epsilon_cor)
    settings = DecoySettings(intensities=intensities, p_intensities=p_intensities)
    right = tuple(n - m for n, m in zip(counts.n_z, counts.m_z, strict=True))
    share = epsilon_sec / SHARES
    s_x1 = single_photon_bound(settings, _three(counts.n_x), share)
    s_c1 = single_photon_bound(settings, _three(counts.n_c), share)
    phi = phase_error_bound_of_three(
        wrong=single_photon_errors_bound(settings, _three(counts.m_z), share),
        right=single_photon_bound(settings, _three(right), share),
        zeros=single_photon_errors_bound(settings, _three(counts.zero_c), share),
        crossed=s_c1,
        key=s_x1,
        p_x=p_x,
        epsilon_share=share,
    )
    return secret_length_from_bounds(
        sifted_bits=counts.total_x,
        single_photon=s_x1,
        single_photon_z=s_c1,
        phase_error=phi,
        leak_bits=leak_bits,
        tag_bits=tag_bits,
        epsilon_sec=epsilon_sec,
        epsilon_cor=epsilon_cor,
        shares=SHARES,
    )


def phase_error_bound_of_three(
    *, wrong: float, right: float, zeros: float, crossed: float, key: float, p_x: float, epsilon_share: float
) -> float:
    """Upper bound on the phase error rate of the key events; 1/2 when nothing is known. All counts of single photons.

    It fails with probability epsilon_share**2 at most, a third for each of its three statements: in the smoothing of
    Lim et al. such a failure counts by its square root.

    Args:
        wrong: Upper bound on Z0 sent, 1 seen.
        right: Lower bound on Z0 sent, 0 seen.
        zeros: Upper bound on crossed events with outcome 0.
        crossed, key: Lower bounds on all crossed and on all key events.
    """
    if not 0 < p_x < 1:
        raise CountsError(f"p_x {p_x}: three states need both bases")
    if crossed < 1 or key < 1:
        return 0.5
    part = epsilon_share**2 / 3
    p_seen = (1 - p_x) / (1 - p_x + p_x / 2)
    errors = most_hidden(wrong, p_seen, part) + max(0.0, zeros - fewest_hidden(right, p_seen, part))
    if errors >= crossed / 2:
        return 0.5
    return min(0.5, rest_rate_bound(math.ceil(errors), math.floor(crossed), math.floor(key), part))


def _three(counts: Sequence[int]) -> Three:
    first, second, third = counts
    return (float(first), float(second), float(third))
