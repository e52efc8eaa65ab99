"""Decoy-state BB84 with weak coherent pulses: asymptotic, or finite when a block size is given.

**Asymptotic**: Ma, Qi, Zhao, Lo, Phys. Rev. A 72, 012326 (2005). R = q { -Q_mu f h(E_mu) + Q_1 [1 - h(e_1)] }, eq. (1),
with Q_1 = Y_1 mu e^-mu. How Y_1 and e_1 are known is the variant ``decoys``: ``infinite`` decoys know them exactly,
``two`` bounds them from decoys nu and omega (eqs. 18, 21, 25), ``vacuum_weak`` is the same with omega = 0 (eqs. 34,
37), ``one`` has the signal and nu alone (the limit of Rusca et al. for long blocks). The signal makes the key.

**Finite** (``n_x`` sifted bits in the key basis, or ``n_sent`` pulses), against general attacks: with ``two`` and
``vacuum_weak`` Lim et al., Phys. Rev. A 89, 022307 (2014); with ``one`` Rusca et al., Appl. Phys. Lett. 112, 171104
(2018). Every intensity makes key; both ends choose the key basis with ``p_basis``; mu, nu and omega are sent with
``p_mu``, ``p_nu`` and the rest. With s_0 and s_1 lower bounds on empty and single-photon detections in the key and phi
an upper bound on the phase error rate of the latter,

    l = s_0 + s_1 [1 - h(phi)] - f n_x h(E) - 6 log2(21 / epsilon_sec) - log2(2 / epsilon_cor),

19 in place of 21 with one decoy. Counts lie within Hoeffding's deviation of their means, or within Chernoff's
(``deviations``), which is tighter for rare intensities. The rate is l over the pulses sent.

The live path computes the same l from what was seen (``lim2014.secret_length``); it never exceeds the one here: it
adds a bound from the exact law where fewer than about 50 errors were seen, takes what was really disclosed, and does
not credit empty pulses. Whether those are credited is the convention ``vacuum``: the finite formulas do, Ma et al. do
not. Expected counts predict a rate; they are no key.

With ``mu_trojan`` photons of a Trojan-horse probe coming back per pulse, the asymptotic phase error rate of single
photons is that of Lucamarini et al., Phys. Rev. X 5, 031030 (2015) (``trojan.py``): Delta / Y_1 grows with the loss.

Pulses may be off by ``intensity_spread`` up or down, and brighter by ``intensity_rise`` under a seeded laser, as Eve
likes: Y_1 and e_1 are then bounded by the worst intensities within these intervals, asymptotic and finite
(``uncertain_light.py``). Intensities that depend on the settings of up to ``correlation_length`` pulses before, by
``correlation_spread``, let Eve treat settings differently; this is bounded asymptotically (``correlated.py``). With
detectors that Eve can make unequal, down to ``efficiency_ratio`` r, the asymptotic share
1 - h(e_1) is r [1 - h(e_1 / r)], and in a block as much with one share of epsilon_sec more (``mismatch.py``), without a
Trojan horse beside it. Expected counts stay those of
nominal intensities and equal detectors: what these parameters hold is what Eve could do unseen.

The channel: a click without afterpulse has probability 1 - (1 - Y0) e^(-eta mu) (Lim et al., section IV), in the
asymptotic formulas Y0 + 1 - e^(-eta mu) (Ma et al., eq. 10).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qanat.keyrate.block import (
    BLOCK_CONSTRAINTS,
    NO_TROJAN_IN_A_BLOCK,
    block_parameters,
    epsilons,
    is_finite,
    missing_from_phase,
    pulses,
    signed_length,
    verification,
)
from qanat.keyrate.channel_model import p_detection, p_error
from qanat.keyrate.correlated import NO_CORRELATION_IN_A_BLOCK
from qanat.keyrate.decoy_asymptotic import asymptotic, credits_vacuum, intensities_of, omega_of
from qanat.keyrate.decoy_finite import SHARES_ONE, SHARES_TWO, Seen, one_decoy, two_decoys
from qanat.keyrate.decoy_light import Light
from qanat.keyrate.deviations import limits_named
from qanat.keyrate.fibre import background, binary_entropy, channel_parameters, phase_entropy, ratio, transmittance
from qanat.keyrate.mismatch import ASSUMPTION as MATCHED
from qanat.keyrate.mismatch import MISMATCH_ALONE, in_a_block, is_unequal
from qanat.keyrate.parameter import ONE, Array, total_of
from qanat.keyrate.protocol import Constraint, Found, Protocol, Values
from qanat.keyrate.quantities import parameter
from qanat.keyrate.uncertain_light import are_apart, assumed, is_uncertain, uncertain


def formula(values: Values) -> Found:
    """Asymptotic or finite, per emitted pulse."""
    if not is_finite(values):
        return asymptotic(values)
    expected = per_pulse(values)
    n_sent = pulses(values, total_of(expected.n_key))
    return key(values, expected.times(n_sent), n_sent)


def nominal(values: Values) -> Light:
    """The intensities that a finite block sends, as set."""
    p_mu, p_nu = values["p_mu"], values["p_nu"]
    rest = (1 - p_mu,) if values.choice("decoys") == "one" else (p_nu, 1 - p_mu - p_nu)
    return Light(intensities=intensities_of(values), p_intensities=(p_mu, *rest))


def light_of(values: Values) -> Light:
    """The same, each within its interval."""
    return uncertain(values, nominal(values))


def per_pulse(values: Values) -> Seen:
    """Expected counts per pulse sent: Lim et al. 2014, section IV."""
    light, eta, y0 = nominal(values), transmittance(values), background(values)
    after, p_key = values["p_afterpulse"], values["p_basis"] ** 2
    p_test = (1 - values["p_basis"]) ** 2
    pairs = list(zip(light.p_intensities, light.intensities, strict=True))
    n = [p * p_detection(eta, mu, y0, after) for p, mu in pairs]
    m = [p * p_error(eta, mu, y0, values["misalignment"], after) for p, mu in pairs]
    return Seen(
        n_key=tuple(p_key * each for each in n),
        m_key=tuple(p_key * each for each in m),
        n_test=tuple(p_test * each for each in n),
        m_test=tuple(p_test * each for each in m),
    )


def key(values: Values, seen: Seen, n_sent: Array) -> Found:
    """The finite key of a block with these counts."""
    prove, shares = (one_decoy, SHARES_ONE) if values.choice("decoys") == "one" else (two_decoys, SHARES_TWO)
    unequal = is_unequal(values)
    epsilon_sec = values["epsilon_sec"] * (shares / (shares + unequal))  # one share more for unequal detectors
    found = prove(light_of(values), seen, limits_named(values.choice("deviations")), epsilon_sec)
    share = epsilon_sec / shares
    single, phase = in_a_block(values, found.single, found.phase, found.errors_test, share, share**2)
    missing = found.missing + missing_from_phase(np.maximum(single, 1.0), phase) * unequal
    n_x, m_x = total_of(seen.n_key), total_of(seen.m_key)
    qber = np.minimum(ratio(m_x, n_x, 0.5), 0.5)
    parts = {
        "vacuum": found.vacuum * credits_vacuum(values, by_source=True),
        "single_photon": single,
        "phase_error": -single * phase_entropy(phase),
        "reconciliation": -values["f_ec"] * n_x * binary_entropy(qber),
        "verification": -verification(values),
        "secrecy": -6 * np.log2(shares / epsilon_sec),
    }
    length = signed_length(parts, missing)
    return Found(
        rate=length / n_sent,
        qber=qber,
        terms={
            **{f"{name}_bits": value for name, value in parts.items()},
            "signed_length_bits": length,
            "n_sent": n_sent,
            "n_x": n_x,
            "n_test": total_of(seen.n_test),
            "errors_test": total_of(seen.m_test),
            "single_photon_test": found.single_test,
            "single_photon_errors_test": found.errors_test,
            "phase_error_rate": np.minimum(phase, 0.5),
        },
        epsilon=epsilons(values),
        assumptions=(*(FINITE_ONE if shares == SHARES_ONE else FINITE_TWO), MATCHED, *assumed(values)),
        sifted=n_x / n_sent,
    )


FINITE_TWO = (
    "intensities are drawn independently of the basis, with probabilities that do not drift",
    "expected counts: with fewer than about 50 errors in the test the live path proves less than is printed",
)
FINITE_ONE = (*FINITE_TWO, "errors of the key are counted per intensity after reconciliation, and announced by nobody")


def _has_decoys(values: Values) -> bool:
    return values.choice("decoys") != "infinite"


def _p_omega(values: Values) -> Array:
    """Of the weakest decoy; it needs some where there is one and the block is finite."""
    if not is_finite(values) or values.choice("decoys") == "one":
        return ONE
    return 1 - values["p_mu"] - values["p_nu"]


CONSTRAINTS = (  # eq. (12) of Ma et al.: the bounds hold for these only
    Constraint(
        name="nu",
        text="nu must be brighter than omega",
        holds=lambda values: np.asarray((values["nu"] > omega_of(values)) | (not _has_decoys(values))),
    ),
    Constraint(
        name="mu",
        text="nu + omega must be less than mu, or the bound on Y_1 does not hold",
        holds=lambda values: np.asarray((values["nu"] + omega_of(values) < values["mu"]) | (not _has_decoys(values))),
    ),
    Constraint(
        name="p_nu",
        text="p_mu + p_nu must be less than 1: what is left is the probability of the weakest decoy",
        holds=lambda values: np.asarray(_p_omega(values) > 1e-6),
    ),
    Constraint(
        name="decoys",
        text="no block is long enough for infinitely many decoys: take two, vacuum_weak or one",
        holds=lambda values: np.asarray(_has_decoys(values) or not is_finite(values)),
    ),
    Constraint(
        name="intensity_spread",
        text="intensities that may be off need decoys other than infinite, and intervals that do not touch: nu's ends "
        "below mu's, omega's below nu's, and mu's at 2 photons at most",
        holds=lambda values: np.asarray(
            not is_uncertain(values) or (_has_decoys(values) and are_apart(values, intensities_of(values)))
        ),
    ),
    *BLOCK_CONSTRAINTS,
    NO_TROJAN_IN_A_BLOCK,
    NO_CORRELATION_IN_A_BLOCK,
    MISMATCH_ALONE,
)


def free(given: Mapping[str, Any]) -> tuple[str, ...]:
    """What an optimiser chooses; omega if it is named. In the limit weaker decoys are always better: nu is held."""
    if given.get("n_x") is None and given.get("n_sent") is None:
        return ("mu",)
    rest = ("p_mu",) if given.get("decoys") == "one" else ("p_mu", "p_nu")
    return ("mu", "nu", *rest, "p_basis")


decoy_bb84 = Protocol(
    name="decoy-bb84",
    title="decoy-state BB84 with weak coherent pulses",
    parameters=(
        *channel_parameters(),
        parameter("detector_efficiency", 0.1, "Lim et al. 2014, section IV"),
        parameter("p_dark", 6e-7, "Lim et al. 2014, section IV"),
        parameter("p_noise", 0.0, "a dark fibre"),
        parameter("dark_counts", "per_detector", "ours; Ma et al. give Y0 per pulse"),
        parameter("p_afterpulse", 0.0, "none"),
        parameter("misalignment", 0.005, "Lim et al. 2014, section IV"),
        parameter("f_ec", 1.16, "Lim et al. 2014, section IV"),
        parameter("sifting", 1.0, "the key basis is chosen nearly always"),
        parameter("decoys", "vacuum_weak", "the variant in use"),
        parameter("vacuum", None, "as the source has it", is_optional=True),
        parameter("deviations", "hoeffding", "Lim et al. 2014, Rusca et al. 2018"),
        parameter("mu_trojan", 0.0, "an isolated transmitter"),
        parameter("intensity_spread", 0.0, "intensities as set"),
        parameter("intensity_rise", 0.0, "an isolated laser"),
        parameter("correlation_spread", 0.0, "pulses that do not know of each other"),
        parameter("correlation_length", 1.0, "neighbours; used with correlation_spread only"),
        parameter("efficiency_ratio", 1.0, "equal detectors"),
        parameter("mu", 0.48, "Ma et al. 2005, section V", search=(0.01, 1.2)),
        parameter("nu", 0.05, "Ma et al. 2005, section V", search=(0.002, 0.6)),
        parameter("omega", 0.0, "vacuum", search=(0.0, 0.05)),
        *block_parameters(),
        parameter("p_mu", 0.6, "ours; used with a block size only", search=(0.02, 0.999)),
        parameter("p_nu", 0.3, "ours; used with a block size only", search=(0.0005, 0.9)),
        parameter("clock_hz", 1e9, "a fast source"),
    ),
    formula=formula,
    assumptions=("phase-randomised pulses: photon numbers follow Poisson's law",),
    constraints=CONSTRAINTS,
    free=free,
    sources=(
        "Ma, Qi, Zhao, Lo, PRA 72, 012326 (2005)",
        "Lo, Ma, Chen, PRL 94, 230504 (2005)",
        "Lim, Curty, Walenta, Xu, Zbinden, PRA 89, 022307 (2014)",
        "Lucamarini et al., PRX 5, 031030 (2015), for mu_trojan",
        "Wang, Peng, Zhang, Yang, Pan, PRA 77, 042311 (2008), for intensity_spread and intensity_rise; bounds are ours",
        "Zapatero, Navarrete, Tamaki, Curty, Quantum 5, 602 (2021), for correlation_spread; the bound is ours",
        "Fung, Tamaki, Qi, Lo, Ma, QIC 9, 131 (2009), for efficiency_ratio; the bound is ours",
        "Rusca, Boaron, Grunenfelder, Martin, Zbinden, APL 112, 171104 (2018)",
    ),
)
