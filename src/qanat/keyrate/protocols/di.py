"""Device-independent: the CHSH value alone bounds what an eavesdropper knows. Collective attacks.

Acin, Brunner, Gisin, Massar, Pironio, Scarani, Phys. Rev. Lett. 98, 230501 (2007): r = 1 - h(Q) -
h((1 + sqrt((S / 2)^2 - 1)) / 2) per pair. S and Q are given as observed (``chsh``, ``qber``), or follow from pairs of
visibility V, made halfway, of which each end detects a share eta; one that is not detected counts as a fixed outcome,
for to leave it out would open the detection loophole (Pironio et al., New J. Phys. 11, 045021 (2009)): S = 2 sqrt(2) V
eta^2 + 2 (1 - eta)^2, Q = (1 - V) eta^2 / 2 + eta (1 - eta). With perfect pairs the key then ends at eta = 92.3 %.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qanat.keyrate.fibre import binary_entropy, channel_parameters, transmittance
from qanat.keyrate.parameter import Array
from qanat.keyrate.protocol import Constraint, Found, Protocol, Values
from qanat.keyrate.quantities import parameter

QUANTUM_MAX = 2 * np.sqrt(2)  # of CHSH: Tsirelson's bound


def expected(visibility: Array, eta: Array) -> tuple[Array, Array]:
    """S and Q of pairs detected with ``eta`` at each end, every pair counted."""
    both, one, none = eta**2, eta * (1 - eta), (1 - eta) ** 2
    return QUANTUM_MAX * visibility * both + 2 * none, (1 - visibility) / 2 * both + one


def known(chsh: Array) -> Array:
    """Eve's information in bits per raw bit; all of it where a local model explains S."""
    beyond = np.sqrt(np.maximum((chsh / 2) ** 2 - 1, 0.0))
    return binary_entropy((1 + beyond) / 2)


def formula(values: Values) -> Found:
    """r per pair."""
    if "chsh" in values:
        chsh, qber = values["chsh"], values["qber"]
    else:
        chsh, qber = expected(values["visibility"], transmittance(values, share=0.5))
    correction, eve = values["f_ec"] * binary_entropy(qber), known(chsh)
    return Found(
        rate=values["sifting"] * (1 - correction - eve),
        qber=qber,
        terms={"chsh": chsh, "error_correction_per_bit": correction, "privacy_amplification_per_bit": eve},
        sifted=values["sifting"] * np.ones_like(eve),
    )


def _are_observed_together(values: Values) -> NDArray[np.bool_]:
    return np.asarray(("chsh" in values) == ("qber" in values))


di = Protocol(
    name="di",
    title="device-independent, CHSH, collective attacks",
    parameters=(
        *channel_parameters(),
        parameter("detector_efficiency", 0.98, "the best superconducting nanowires"),
        parameter("visibility", 0.99, "a good source of pairs"),
        parameter("chsh", None, "from visibility and efficiency", is_optional=True),
        parameter("qber", None, "from visibility and efficiency", is_optional=True),
        parameter("f_ec", 1.0, "Acin et al. 2007: the Shannon limit"),
        parameter("sifting", 1.0, "nearly all pairs are measured for key"),
        parameter("clock_hz", 1e6, "pairs per second"),
    ),
    formula=formula,
    assumptions=(
        "no detection is left out: a lost photon is an outcome",
        "collective attacks; devices without memory",
        "nothing leaves the rooms but what the protocol says; no trust in sources or detectors",
        "asymptotic: no finite-size effects",
    ),
    constraints=(
        Constraint(
            name="chsh",
            text="give chsh and qber together, as observed, or neither",
            holds=_are_observed_together,
        ),
    ),
    sources=(
        "Acin, Brunner, Gisin, Massar, Pironio, Scarani, PRL 98, 230501 (2007)",
        "Pironio et al., NJP 11, 045021 (2009)",
    ),
)
