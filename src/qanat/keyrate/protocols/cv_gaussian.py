"""Continuous variables with Gaussian modulation (GG02), reverse reconciliation, collective attacks.

Asymptotic: K = beta I_AB - chi_BE, Lodewyck et al., Phys. Rev. A 76, 042305 (2007), and Fossier et al., J.
Phys. B 42, 114014 (2009), with homodyne or heterodyne detection. Alice's modulation of variance
V_A passes a channel of transmittance T with excess noise xi at its input, then a detector of efficiency eta with
electronic noise v_el. A *trusted* receiver keeps eta and v_el out of the eavesdropper's hands: chi_hom = (1 - eta +
v_el) / eta, chi_het = (2 - eta + 2 v_el) / eta. An *untrusted* one gives them to her: T eta takes the place of T, and
v_el (twice, if both quadratures are measured) is noise of the channel.

Finite (``n_sent`` given): K = (n/N) [beta I_AB - S - Delta(n)], Leverrier, Grosshans, Grangier, Phys. Rev. A 81, 062343
(2010), with N - n pulses disclosed to estimate the channel, S the Holevo term at the confidence limits of t = sqrt(T
eta) and sigma^2 = 1 + v_el + T eta xi, and Delta(n) = (2 d + 3) sqrt(log2(2 / eps) / n) + (2 / n) log2(1 / eps_PA), d
= 2 symbols per pulse with homodyne and 4 with heterodyne detection. The paper takes the least t within the estimate.
On long links an eavesdropper gains from the greatest: ``estimate`` is ``worst`` unless asked for as ``published``, and
takes whichever tells her most. Both are among the terms; on short links they are one.
"""

from __future__ import annotations

import numpy as np

from qanat.keyrate.fibre import channel_parameters, channel_transmittance
from qanat.keyrate.gaussian import Line, Link, beyond_rounding
from qanat.keyrate.parameter import Array
from qanat.keyrate.protocol import Found, Protocol, Values
from qanat.keyrate.quantities import parameter

PURPOSES = ("parameter_estimation", "smoothing", "privacy_amplification")


def link(values: Values) -> Link:
    """From parameters to what is trusted and what is not."""
    eta, v_el, quadratures = values["detector_efficiency"], values["v_el"], _quadratures(values)
    transmittance = channel_transmittance(values)
    excess = transmittance * values["xi"]
    if values.choice("receiver") == "untrusted":
        transmittance, excess = transmittance * eta, excess * eta + quadratures * v_el
        eta, v_el = np.ones_like(eta), np.zeros_like(v_el)
    return Link(Line(values["v_a"], transmittance, excess), eta, v_el, quadratures)


def formula(values: Values) -> Found:
    """K per pulse."""
    found = link(values)
    information = values["beta"] * found.line.information(found.noise, found.quadratures)
    known, excess = found.line.holevo(found.noise, found.quadratures)
    terms = {
        "transmittance": found.line.transmittance,
        "mutual_information": information / values["beta"],
        "holevo": known,
        **{f"symplectic_eigenvalue_{which}": 1 + each for which, each in enumerate(excess, 1)},
        "asymptotic_rate": information - known,
    }
    if "n_sent" in values:
        return _finite(values, found, information, terms)
    return Found(
        rate=beyond_rounding(information - known, 1 + known),
        qber=np.zeros_like(known),
        terms=terms,
        assumptions=("asymptotic: no finite-size effects", *_trust(values)),
        sifted=information,
    )


def _finite(values: Values, link: Link, information: Array, terms: dict[str, Array]) -> Found:
    epsilon = _epsilon(values)
    n_sent, p = values["n_sent"], values["p_estimate"]
    n = n_sent * (1 - p)
    z = _quantile(epsilon["parameter_estimation"] / 2)
    least, most, excess = link.limits(n_sent * p, z)
    published, worst = link.holevo(least, excess), link.holevo_worst(least, most, excess)
    symbols = 2**link.quadratures
    delta = (2 * symbols + 3) * np.sqrt(np.log2(2 / epsilon["smoothing"]) / n)
    delta = delta - 2 / n * np.log2(epsilon["privacy_amplification"])
    known = worst if values.choice("estimate") == "worst" else published
    of_use = np.where(least > 0, information, 0.0)  # nothing is known of a channel whose t may be 0
    terms |= {
        "key_pulses": n,
        "z_estimate": z,
        "transmittance_least": link.line_at(least, excess).transmittance,
        "excess_noise_most": excess,
        "holevo_least_transmittance": published,
        "holevo_worst": worst,
        "delta": delta,
    }
    return Found(
        rate=(1 - p) * beyond_rounding(of_use - known - delta, 1 + known),
        qber=np.zeros_like(known),
        terms=terms,
        epsilon=epsilon,
        assumptions=(
            "the estimates of the channel are normally distributed: many pulses disclosed",
            f"key symbols are {symbols} per pulse, as the paper's Delta(n) counts them",
            *_ESTIMATE[values.choice("estimate")],
            *_trust(values),
        ),
        sifted=(1 - p) * information,
    )


_ESTIMATE = {
    "published": (
        "Eve is best served by the least transmittance within the estimate, as the paper has it; on long links she is"
        " not and the rate is too high: see holevo_worst, or estimate=worst",
    ),
    "worst": (),
}


def _epsilon(values: Values) -> dict[str, Array]:
    """Three equal parts, the last taking what rounding leaves: their sum is epsilon_sec to the last bit."""
    total = values["epsilon_sec"]
    return dict(zip(PURPOSES, (total / 3, total / 3, total - 2 * (total / 3)), strict=True))


def _quantile(p_tail: Array) -> Array:
    """z with P(normal > z) = ``p_tail``, rounded up to a tenth as in the paper: 6.5 for 5e-11."""
    from scipy.special import ndtri  # noqa: PLC0415 - only finite blocks need scipy

    return np.ceil(-10 * np.asarray(ndtri(p_tail), dtype=np.float64)) / 10


def _quadratures(values: Values) -> int:
    return 2 if values.choice("detection") == "heterodyne" else 1


def _trust(values: Values) -> tuple[str, ...]:
    if values.choice("receiver") == "trusted":
        return ("Bob's efficiency and electronic noise are calibrated and out of Eve's reach",)
    return ("Bob's efficiency and electronic noise are Eve's",)


cv_gaussian = Protocol(
    name="cv-gaussian",
    title="continuous variables, Gaussian modulation (GG02)",
    parameters=(
        *channel_parameters(),
        parameter("detection", "homodyne", "the protocol of Grosshans and Grangier"),
        parameter("receiver", "untrusted", "the cautious one"),
        parameter("v_a", 4.0, "near the best at metropolitan lengths", search=(0.05, 200.0), is_log_search=True),
        parameter("xi", 0.01, "a good laboratory link"),
        parameter("detector_efficiency", 0.6, "balanced receiver with its optics, typical"),
        parameter("v_el", 0.01, "20 dB below shot noise"),
        parameter("beta", 0.95, "multi-edge LDPC codes"),
        parameter("n_sent", None, "asymptotic", is_optional=True),
        parameter("p_estimate", 0.5, "half of them", search=(1e-6, 0.95), is_log_search=True),
        parameter("epsilon_sec", 3e-10, "1e-10 for each of three parts, Leverrier et al. 2010"),
        parameter("estimate", "worst", "ours; published: Leverrier et al. 2010"),
        parameter("clock_hz", 1e8, "a coherent receiver of 100 MHz"),
    ),
    formula=formula,
    assumptions=(
        "collective Gaussian attacks: they are the best collective ones for this modulation",
        "shot noise is calibrated, and the local oscillator is not in Eve's hands",
        "the modulation is perfectly Gaussian",
    ),
    sources=(
        "Grosshans, Grangier, PRL 88, 057902 (2002)",
        "Lodewyck et al., PRA 76, 042305 (2007)",
        "Fossier et al., J. Phys. B 42, 114014 (2009)",
        "Leverrier, Grosshans, Grangier, PRA 81, 062343 (2010)",
    ),
)
