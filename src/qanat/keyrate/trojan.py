"""What a Trojan-horse probe costs: light that Eve sends into the transmitter and that comes out with the setting on it.

Lucamarini, Choi, Ward, Dynes, Yuan, Shields, Phys. Rev. X 5, 031030 (2015), with the quantum coin of Gottesman et al.,
QIC 4, 325 (2004), and Lo and Preskill, QIC 7, 431 (2007); derived again here. The probe leaves as a coherent state
|sqrt(mu) e^(i phi)>, phi the four settings 0, pi/2, pi, 3 pi/2. The two bases then are no longer the same state: their
purifications overlap by

    1 - 2 Delta = e^-mu cos mu,

a mean of the four overlaps <sqrt(mu) | +-i sqrt(mu)> = e^(-mu +- i mu). Eve may lose what tells her nothing, so Delta'
= Delta / Y for pulses of yield Y. Bit and phase error rates obey 1 - 2 Delta' <= sqrt(e p) + sqrt((1 - e) (1 - p)):
with e = sin^2 a and 1 - 2 Delta' = cos b this reads p <= sin^2 (a + b), which expands to e + 4 Delta' (1 - Delta') (1 -
2 e) + 4 (1 - 2 Delta') sqrt(Delta' (1 - Delta') e (1 - e)). Asymptotic; the probe reads the coding, not the intensity.
"""

from __future__ import annotations

import numpy as np

from qanat.keyrate.fibre import ratio
from qanat.keyrate.parameter import Array
from qanat.keyrate.protocol import Values

ASSUMPTION = "what comes back out of the transmitter is at most mu_trojan photons per pulse, and knows no intensity"


def coin_imbalance(mu_trojan: Array) -> Array:
    """Delta, without cancellation where mu is small; at most 1/2."""
    lost: Array = -np.expm1(-mu_trojan) + 2 * np.exp(-mu_trojan) * np.sin(mu_trojan / 2) ** 2
    return np.where(mu_trojan < np.pi / 2, lost / 2, 0.5)


def phase_error(values: Values, error: Array, yield_: Array) -> Array:
    """Phase error rate of pulses with this error rate and yield when Eve has the probe; ``error`` itself without."""
    imbalance = np.minimum(ratio(coin_imbalance(values["mu_trojan"]), yield_, 0.5), 0.5)
    angle = np.arcsin(np.sqrt(np.clip(error, 0.0, 1.0))) + 2 * np.arcsin(np.sqrt(imbalance))
    found: Array = np.sin(np.minimum(angle, np.pi / 2)) ** 2
    return np.where(values["mu_trojan"] > 0, found, error)
