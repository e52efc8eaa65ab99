"""Measurement-device-independent QKD with decoys: Lo, Curty, Qi, Phys. Rev. Lett. 108, 130503 (2012).

R = q { P_11 Y_11 [1 - h(e_11^X)] - f Q_Z h(E_Z) }, with P_11 = mu_a mu_b e^-(mu_a + mu_b): both ends send pulses, the
relay in the middle announces Bell-state measurements, the Z basis makes key and the X basis bounds the phase errors of
pairs of single photons. Gains and error rates of this channel are those of Ma and Razavi, Phys. Rev. A 86, 062319
(2012); here they are written so that nothing cancels at high loss.

How Y_11 and e_11 are known is the variant. ``infinite`` decoys know them exactly. ``two`` bounds them from the gains
of mu, nu and omega, mu > nu > omega >= 0, as Xu, Curty, Qi, Lo, New J. Phys. 15, 113007 (2013) do; ``vacuum_weak`` is
the same with omega = 0. With F(a, b) = Q_ab e^(a + b) = sum_nm a^n b^m Y_nm / (n! m!), the combination

    M(a) = F(a, a) + F(omega, omega) - F(a, omega) - F(omega, a) = sum_nm (a^n - omega^n)(a^m - omega^m) Y_nm / (n! m!)

holds no vacuum, and (mu^2 - omega^2)(mu - omega) M(nu) - (nu^2 - omega^2)(nu - omega) M(mu) neither Y_12 nor Y_21.
What is left besides Y_11 enters it with a negative sign, so that it bounds Y_11 from below; the same M of the errors
bounds e_11 Y_11 from above.

**Finite** (``n_sent`` pairs of pulses, or ``n_x`` bits of the key basis), with ``two`` and ``vacuum_weak``: the same
bounds on counts of a block, with Chernoff's limits (``mdi_finite.py``, own derivation after Curty et al., Nat. Commun.
5, 3732 (2014)). Every end chooses the key basis with ``p_basis`` and mu, nu and omega with ``p_mu``, ``p_nu`` and the
rest, in both bases; pairs of mu in the key basis make the key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qanat.keyrate import mdi_finite
from qanat.keyrate.bessel import i0_less_1, i0_second_difference
from qanat.keyrate.block import BLOCK_CONSTRAINTS, block_parameters, is_finite
from qanat.keyrate.decoy_asymptotic import omega_of
from qanat.keyrate.fibre import binary_entropy, phase_entropy, ratio
from qanat.keyrate.pair_counts import PairLight
from qanat.keyrate.parameter import Array
from qanat.keyrate.protocol import Constraint, Found, Protocol, Values
from qanat.keyrate.quantities import parameter
from qanat.keyrate.relay import (
    ASYMPTOTIC,
    IN_THE_MIDDLE,
    INFINITE_DECOYS,
    RANDOM_PHASES,
    USUAL,
    arm_transmittance,
    clicks,
    decoy_order,
    detector_noise,
    is_exact,
    relay_parameters,
)

Gains = Callable[[Array, Array], tuple[Array, Array]]
ROUNDING = 32 * float(np.finfo(np.float64).eps)  # of a gain, relative; generous


@dataclass(frozen=True, slots=True)
class BellChannel:
    """Expected Bell-state measurements of two arms of the same loss."""

    eta: Array
    p_dark: Array
    misalignment: Array

    def key_basis(self, a: Array, b: Array) -> tuple[Array, Array]:
        """Q and E Q in the Z basis for mean photon numbers a and b."""
        arrived, kept = self.eta * (a + b), (1 - self.p_dark) ** 2
        one_from_each = clicks(self.p_dark, self.eta * a / 2) * clicks(self.p_dark, self.eta * b / 2)
        right = 2 * kept * np.exp(-arrived / 2) * one_from_each
        interference = i0_less_1(self.eta * np.sqrt(a * b)) + clicks(self.p_dark, arrived / 2)
        wrong = 2 * self.p_dark * kept * np.exp(-arrived / 2) * interference
        return right + wrong, self.misalignment * right + (1 - self.misalignment) * wrong

    def test_basis(self, a: Array, b: Array) -> tuple[Array, Array]:
        """Q and E Q in the X basis.

        Q = 2 y^2 [1 + 2 y^2 - 4 y I0(x) + I0(2 x)], E Q = Q / 2 - (1 - 2 e_d) y^2 [I0(2 x) - 1]; each I0 here has its 1
        taken off, and 1 - y is computed as such.
        """
        x = self.eta * np.sqrt(a * b) / 2
        dark = clicks(self.p_dark, self.eta * (a + b) / 4)  # 1 - y
        y2, once, twice = (1 - dark) ** 2, i0_less_1(x), i0_less_1(2 * x)
        common = 2 * dark**2 + 4 * dark * once
        wrong = y2 * (common - 4 * once + 2 * self.misalignment * twice)
        return 2 * y2 * (common + i0_second_difference(x)), np.maximum(wrong, 0.0)

    @property
    def single(self) -> tuple[Array, Array]:
        """True Y_11, in either basis, and e_11 in the X basis."""
        eta, p_dark = self.eta, self.p_dark
        real = (1 - p_dark) ** 2 * eta**2 / 2
        lost = (4 * eta - 3 * eta**2) * p_dark + 4 * (1 - eta) ** 2 * p_dark**2
        y11 = real + (1 - p_dark) ** 2 * lost
        return y11, ratio(y11 / 2 - (0.5 - self.misalignment) * real, y11, 0.5)


def single_pair_bounds(key: Gains, test: Gains, mu: Array, nu: Array, omega: Array) -> tuple[Array, Array]:
    """Y_11 from below in the key basis, e_11 from above in the test basis; rounding is counted against us."""
    key, test = _remembered(key), _remembered(test)
    y11 = _yield_bound(key, mu, nu, omega)
    errors, size = _mixed(test, nu, omega, 1)
    e11 = ratio(errors + ROUNDING * size, (nu - omega) ** 2 * _yield_bound(test, mu, nu, omega), 0.5)
    return y11, np.minimum(e11, 0.5)


def _remembered(gains: Gains) -> Gains:
    """The same, asked once for each pair: the bounds need some of them several times."""
    known: dict[tuple[int, int], tuple[Array, Array]] = {}

    def found(a: Array, b: Array) -> tuple[Array, Array]:
        which = (id(a), id(b))  # whoever asks holds them
        if which not in known:
            known[which] = gains(a, b)
        return known[which]

    return found


def _mixed(gains: Gains, a: Array, omega: Array, which: int) -> tuple[Array, Array]:
    """M(a) of gains (0) or of errors (1), and the size of what was subtracted in it."""
    both = np.exp(2 * a) * gains(a, a)[which]
    none = np.exp(2 * omega) * gains(omega, omega)[which]
    one = np.exp(a + omega) * (gains(a, omega)[which] + gains(omega, a)[which])
    return both + none - one, both + none + one


def _yield_bound(gains: Gains, mu: Array, nu: Array, omega: Array) -> Array:
    (m_mu, size_mu), (m_nu, size_nu) = _mixed(gains, mu, omega, 0), _mixed(gains, nu, omega, 0)
    wide, narrow = mu - omega, nu - omega
    left, right = (mu**2 - omega**2) * wide, (nu**2 - omega**2) * narrow
    above = left * (m_nu - ROUNDING * size_nu) - right * (m_mu + ROUNDING * size_mu)
    return np.maximum(above / (wide**2 * narrow**2 * (mu - nu)), 0.0)


def channel_of(values: Values) -> BellChannel:
    """Two arms of the same loss, with the relay's detectors."""
    return BellChannel(arm_transmittance(values), detector_noise(values), values["misalignment"])


def formula(values: Values) -> Found:
    """The rate per pair of pulses."""
    return _finite(values) if is_finite(values) else _asymptotic(values)


def _finite(values: Values) -> Found:
    channel, mu = channel_of(values), values["mu"]
    key, test = (_light(values, p) for p in (values["p_basis"], 1 - values["p_basis"]))
    gain, errors = (key.p_mu**2 * each for each in channel.key_basis(mu, mu))
    gains_test, errors_test = test.expected(channel.test_basis)
    seen = mdi_finite.Seen(
        key=gain,
        key_errors=errors,
        gains_key=key.expected(channel.key_basis)[0],
        gains_test=gains_test,
        errors_test=errors_test,
    )
    return mdi_finite.finite(values, mdi_finite.Sent(signal=mu, p_signal=key.p_mu, test=test, key=key), seen)


def _light(values: Values, p_basis: Array) -> PairLight:
    """What each end sends in a basis that it chooses with this probability."""
    p_mu, p_nu = values["p_mu"], values["p_nu"]
    return PairLight(
        mu=values["mu"],
        nu=values["nu"],
        omega=omega_of(values),
        p_mu=p_basis * p_mu,
        p_nu=p_basis * p_nu,
        p_omega=p_basis * (1 - p_mu - p_nu),
    )


def _asymptotic(values: Values) -> Found:
    channel, mu = channel_of(values), values["mu"]
    if values.choice("decoys") == "infinite":
        y11, e11 = channel.single
    else:
        y11, e11 = single_pair_bounds(channel.key_basis, channel.test_basis, mu, values["nu"], omega_of(values))
    gain, errors = channel.key_basis(mu, mu)
    assumptions = (ASYMPTOTIC, *(INFINITE_DECOYS if is_exact(values) else ()))
    return asymptotic(values, channel, (gain, errors), (y11, e11), assumptions)


def asymptotic(
    values: Values,
    channel: BellChannel,
    signals: tuple[Array, Array],
    single: tuple[Array, Array],
    assumptions: tuple[str, ...],
) -> Found:
    """The rate from the signal pairs' gain and errors, and yield and error of pairs of single photons."""
    mu, (gain, errors), (y11, e11) = values["mu"], signals, single
    qber = np.minimum(ratio(errors, gain, 0.5), 0.5)
    q11 = mu**2 * np.exp(-2 * mu) * y11
    secret, correction = q11 * (1 - phase_entropy(e11)), gain * values["f_ec"] * binary_entropy(qber)
    return Found(
        rate=values["sifting"] * (secret - correction),
        qber=qber,
        terms={
            "arm_transmittance": channel.eta,
            "gain": gain,
            "yield_single_pair": y11,
            "error_single_pair": e11,
            "gain_single_pair": q11,
            "single_pair_secret": secret,
            "error_correction": correction,
        },
        assumptions=assumptions,
        sifted=values["sifting"] * gain,
    )


CONSTRAINTS = (
    *decoy_order("mu", "mu must be brighter than nu, or the bound on Y_11 does not hold"),
    Constraint(
        name="p_nu",
        text="p_mu + p_nu must be less than 1: what is left is the probability of the weakest decoy",
        holds=lambda values: np.asarray((values["p_mu"] + values["p_nu"] < 1 - 1e-6) | (not is_finite(values))),
    ),
    Constraint(
        name="decoys",
        text="no block is long enough for infinitely many decoys: take two or vacuum_weak",
        holds=lambda values: np.asarray(not (is_exact(values) and is_finite(values))),
    ),
    *BLOCK_CONSTRAINTS,
)


def free(given: Mapping[str, Any]) -> tuple[str, ...]:
    """What an optimiser chooses. In the limit weaker decoys are always better: nu is held."""
    is_block = given.get("n_x") is not None or given.get("n_sent") is not None
    return ("mu", "nu", "p_mu", "p_nu", "p_basis") if is_block else ("mu",)


mdi = Protocol(
    name="mdi",
    title="measurement-device-independent QKD with decoys",
    parameters=(
        *relay_parameters(detector_efficiency=0.145, p_dark=3.01e-6, misalignment=0.015, f_ec=1.16, source=USUAL),
        parameter("sifting", 1.0, "the key basis is chosen nearly always"),
        parameter("decoys", "vacuum_weak", "the variant in use"),
        parameter("mu", 0.5, "near the best with few decoys", search=(0.01, 1.5)),
        parameter("nu", 0.1, "a usual choice", search=(0.005, 0.6), is_log_search=True),
        parameter("omega", 0.0, "vacuum"),
        *block_parameters(),
        parameter("p_mu", 0.5, "ours; used with a block size only", search=(0.02, 0.99)),
        parameter("p_nu", 0.3, "ours; used with a block size only", search=(0.005, 0.9)),
        parameter("clock_hz", 1e9, "a fast source"),
    ),
    formula=formula,
    assumptions=(RANDOM_PHASES, IN_THE_MIDDLE, "both ends send the same intensities"),
    constraints=CONSTRAINTS,
    free=free,
    sources=(
        "Lo, Curty, Qi, PRL 108, 130503 (2012)",
        "Ma, Razavi, PRA 86, 062319 (2012)",
        "Xu, Curty, Qi, Lo, NJP 15, 113007 (2013)",
        "Curty, Xu, Cui, Lim, Tamaki, Lo, Nat. Commun. 5, 3732 (2014), for blocks; the derivation is ours",
    ),
)
