"""Four-intensity MDI QKD: Zhou, Yu, Wang, Phys. Rev. A 93, 042324 (2016): signals in Z only, decoys in X only.

Each end sends the signal mu in the key basis Z with ``p_mu``, the decoys mu_test > nu in the test basis X with
``p_mu_test`` and ``p_nu``, and nothing with the rest. Decoys need not be good signals, nor signals good decoys; that is
worth most in short blocks. Signal pairs make the key,

    R = p_mu^2 { mu^2 e^(-2 mu) Y_11 [1 - h(e_11)] - f Q_Z h(E_Z) },

with Y_11 from below and e_11 from above from the decoys in X (``protocols/mdi.py`` with mu_test in the place of mu):
the state of two single photons is the same in both bases, so Y_11 is. Asymptotic rates take p_mu as 1.

**Finite** (``n_sent`` or ``n_x``): ``mdi_finite.py``, an own derivation, with the joint limits on sums of counts that
the paper introduced (``pair_counts.py``); of the paper we could read the abstract. What it gains further by scanning
the share of vacuum that yield and error have in common is not built.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qanat.keyrate import mdi_finite
from qanat.keyrate.block import BLOCK_CONSTRAINTS, block_parameters, is_finite
from qanat.keyrate.pair_counts import PairLight
from qanat.keyrate.parameter import ZERO, Array
from qanat.keyrate.protocol import Constraint, Found, Protocol, Values
from qanat.keyrate.protocols.mdi import BellChannel, asymptotic, channel_of, single_pair_bounds
from qanat.keyrate.quantities import parameter
from qanat.keyrate.relay import ASYMPTOTIC, IN_THE_MIDDLE, RANDOM_PHASES, USUAL, relay_parameters


def formula(values: Values) -> Found:
    """The rate per pair of pulses."""
    channel, mu = channel_of(values), values["mu"]
    gain, errors = channel.key_basis(mu, mu)
    return _finite(values, channel, gain, errors) if is_finite(values) else _asymptotic(values, channel, gain, errors)


def _finite(values: Values, channel: BellChannel, gain: Array, errors: Array) -> Found:
    p_mu, p_bright, p_nu = values["p_mu"], values["p_mu_test"], values["p_nu"]
    test = PairLight(
        mu=values["mu_test"],
        nu=values["nu"],
        omega=ZERO,
        p_mu=p_bright,
        p_nu=p_nu,
        p_omega=1 - p_mu - p_bright - p_nu,
    )
    gains_test, errors_test = test.expected(channel.test_basis)
    seen = mdi_finite.Seen(
        key=p_mu**2 * gain, key_errors=p_mu**2 * errors, gains_test=gains_test, errors_test=errors_test
    )
    return mdi_finite.finite(values, mdi_finite.Sent(signal=values["mu"], p_signal=p_mu, test=test), seen)


def _asymptotic(values: Values, channel: BellChannel, gain: Array, errors: Array) -> Found:
    test = channel.test_basis
    single = single_pair_bounds(test, test, values["mu_test"], values["nu"], ZERO)
    return asymptotic(values, channel, (gain, errors), single, (ASYMPTOTIC,))


def _p_vacuum(values: Values) -> Array:
    return 1 - values["p_mu"] - values["p_mu_test"] - values["p_nu"]


def free(given: Mapping[str, Any]) -> tuple[str, ...]:
    """What an optimiser chooses. In the limit weaker decoys are always better: both are held."""
    is_block = given.get("n_x") is not None or given.get("n_sent") is not None
    return ("mu", "mu_test", "nu", "p_mu", "p_mu_test", "p_nu") if is_block else ("mu",)


mdi_four = Protocol(
    name="mdi-four",
    title="four-intensity MDI QKD: signals in one basis, decoys in the other",
    parameters=(
        *relay_parameters(detector_efficiency=0.145, p_dark=3.01e-6, misalignment=0.015, f_ec=1.16, source=USUAL),
        parameter("sifting", 1.0, "signals are chosen nearly always"),
        parameter("mu", 0.5, "near the best", search=(0.01, 1.5)),
        parameter("mu_test", 0.3, "ours", search=(0.03, 1.2), is_log_search=True),
        parameter("nu", 0.05, "ours", search=(0.005, 0.4), is_log_search=True),
        *(each for each in block_parameters() if each.name != "p_basis"),
        parameter("p_mu", 0.4, "ours; used with a block size only", search=(0.02, 0.99)),
        parameter("p_mu_test", 0.1, "ours; used with a block size only", search=(0.002, 0.6), is_log_search=True),
        parameter("p_nu", 0.3, "ours; used with a block size only", search=(0.005, 0.9), is_log_search=True),
        parameter("clock_hz", 1e9, "a fast source"),
    ),
    formula=formula,
    assumptions=(RANDOM_PHASES, IN_THE_MIDDLE, "both ends send the same intensities; the weakest is vacuum"),
    constraints=(
        Constraint(
            name="mu_test",
            text="mu_test must be brighter than nu, or the bound on Y_11 does not hold",
            holds=lambda values: np.asarray(values["mu_test"] > values["nu"]),
        ),
        Constraint(
            name="p_nu",
            text="p_mu + p_mu_test + p_nu must be less than 1: what is left is the probability of vacuum",
            holds=lambda values: np.asarray((_p_vacuum(values) > 1e-6) | (not is_finite(values))),
        ),
        *BLOCK_CONSTRAINTS,
    ),
    free=free,
    sources=(
        "Zhou, Yu, Wang, PRA 93, 042324 (2016)",
        "Ma, Razavi, PRA 86, 062319 (2012)",
        "Curty, Xu, Cui, Lim, Tamaki, Lo, Nat. Commun. 5, 3732 (2014), for blocks; the derivation is ours",
    ),
)
