"""Continuous variables with a constellation of coherent states, heterodyne detection, reverse reconciliation.

Denys, Brown, Leverrier, Quantum 5, 540 (2021): K = beta I_AB - chi, where chi is that of the Gaussian state with the
covariance matrix [[V, Z], [Z, W]], V = 1 + 2 <n>, W = 1 + 2 T <n> + T xi, and the least correlation that the
constellation and the observed channel leave, Z = 2 sqrt(T) tr(tau^(1/2) a tau^(1/2) a^+) - sqrt(2 T xi w). chi = G(nu1)
+ G(nu2) - G(nu3), nu3 = V - Z^2 / (1 + W). I_AB is exact for the constellation in Gaussian noise; for QPSK it is twice
that of a binary input of amplitude sqrt(2 T <n> / (2 + T xi)).

The default is QPSK of amplitude ``alpha``. ``modulation=qam16`` or ``qam64`` is a square grid with binomial weights and
mean photon number alpha^2: with 64 states the rate is nearly that of a Gaussian modulation.
"""

from __future__ import annotations

import numpy as np

from qanat.keyrate.constellation import SIDES, Moments, four_phases, information, square_grid
from qanat.keyrate.fibre import channel_parameters, transmittance
from qanat.keyrate.gaussian import beyond_rounding, mode_entropy, symplectic_excess
from qanat.keyrate.parameter import Array
from qanat.keyrate.protocol import Found, Protocol, Values
from qanat.keyrate.quantities import parameter


def formula(values: Values) -> Found:
    """K per pulse."""
    t, alpha, side = transmittance(values), values["alpha"], SIDES[values.choice("modulation")]
    excess = t * values["xi"] + 2 * values["v_el"]  # T xi: all that adds to shot noise is Eve's
    moments = four_phases(alpha) if side == 2 else square_grid(alpha, side)
    amplitude = alpha * np.sqrt(2 * t / (2 + excess))
    shared = 2 * information(amplitude, side)
    known, correlation = holevo(moments, alpha**2, t, excess)
    useful = values["beta"] * shared
    return Found(
        rate=beyond_rounding(useful - known, 1 + 2 * alpha**2),
        qber=np.zeros_like(known),
        terms={
            "transmittance": t,
            "excess_noise_received": excess,
            "overlap": moments.overlap,
            "spread": moments.spread,
            "correlation": correlation,
            "mutual_information": shared,
            "holevo": known,
        },
        sifted=useful,
    )


def holevo(moments: Moments, photons: Array, t: Array, excess: Array) -> tuple[Array, Array]:
    """chi in bits per pulse, and Z.

    The bound on Z cannot be trusted below 0: there no correlation is the least one.
    """
    z = np.maximum(2 * np.sqrt(t) * moments.overlap - np.sqrt(2 * excess * moments.spread), 0.0)
    v, w = 1 + 2 * photons, 1 + 2 * t * photons + excess
    one, two = symplectic_excess(v, w, z)
    three = v - z**2 / (1 + w) - 1
    return mode_entropy(one) + mode_entropy(two) - mode_entropy(three), z


cv_qpsk = Protocol(
    name="cv-qpsk",
    title="continuous variables, discrete modulation (QPSK and QAM)",
    parameters=(
        *channel_parameters(),
        parameter("modulation", "qpsk", "the simplest transmitter"),
        parameter("alpha", 0.5, "near the best at metropolitan lengths", search=(0.05, 3.0), is_log_search=True),
        parameter("xi", 0.005, "a good laboratory link"),
        parameter("detector_efficiency", 1.0, "ideal, as in the paper"),
        parameter("v_el", 0.0, "ideal, as in the paper"),
        parameter("beta", 0.95, "multi-edge LDPC codes"),
        parameter("clock_hz", 1e8, "a coherent receiver of 100 MHz"),
    ),
    formula=formula,
    assumptions=(
        "collective attacks",
        "asymptotic: no finite-size effects",
        "Bob's efficiency and electronic noise are Eve's",
        "shot noise is calibrated, and the local oscillator is not in Eve's hands",
        "the channel looks Gaussian: it is described by T and xi",
    ),
    sources=("Denys, Brown, Leverrier, Quantum 5, 540 (2021)",),
)
