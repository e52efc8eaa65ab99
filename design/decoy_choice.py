"""Which intensities and probabilities the `decoy-1ghz` transmitter and its receivers have, and why.

Maximises the secret bits per second of link time, by the proof of Lim et al. 2014 on expected counts, averaged as
the logarithm over the fibres and block sizes of a metropolitan network. Dead time, afterpulses, squashing and both
basis choices are those of the physics room's mean-field law, so that what is optimised is the thing that runs: at
short distance the receiver is saturated and secret bits per *click* count, not per pulse.

Run: python design/decoy_choice.py        (about one minute; prints the optimum and the datasheet's value at each link)
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize

from qanat.keyrate.decoy import DecoySettings
from qanat.keyrate.lim2014 import length_from_values
from qanat.physics.datasheet import load_receiver, load_transmitter
from qanat.physics.light import light_of
from qanat.physics.meanfield import click_law, grouped_cells
from qanat.physics.memory import memory_from_sheet
from qanat.physics.optics import optics_from_sheets
from qanat.physics.settings import law_from_probabilities

LENGTHS_KM = (5.0, 20.0, 40.0, 60.0)
BLOCKS_BITS = (200_000, 500_000, 1_000_000)
RECEIVERS = ("ingaas-gated", "snspd")
CLOCK_HZ, EPSILON_SEC, EPSILON_COR, TAG_BITS, EFFICIENCY_EC = 1e9, 1e-9, 1e-15, 64, 1.15
WEAKEST = 2e-4  # extinction of the intensity modulator


def secret_rate(values: tuple[float, ...], length_km: float, block_bits: int, receiver: str) -> float:
    """Secret bits per second of link time for (mu1, mu2, p1, p2, p_x)."""
    mu1, mu2, p1, p2, p_x = values
    sheet = load_receiver(receiver)
    source = replace(load_transmitter("decoy-1ghz"), intensities=(mu1, mu2, WEAKEST))
    law = law_from_probabilities(intensities=(mu1, mu2, WEAKEST), p_intensities=(p1, p2, 1 - p1 - p2), p_x=p_x)
    optics = optics_from_sheets(source, replace(sheet, p_x=p_x), loss_db=0.2 * length_km, clock_hz=CLOCK_HZ)
    clicks = click_law(light_of(optics, memory_from_sheet(sheet, clock_hz=CLOCK_HZ)), law)
    cells = grouped_cells(clicks)  # (intensity, basis, is_error), per click
    per_second = cells * clicks.rate_per_gate * CLOCK_HZ
    block_s = block_bits / per_second[:, 0].sum()
    counts = per_second * block_s
    qber_x = counts[:, 0, 1].sum() / block_bits
    entropy = -qber_x * math.log2(qber_x) - (1 - qber_x) * math.log2(1 - qber_x)
    length = length_from_values(
        three(counts[:, 0].sum(axis=1)),
        three(counts[:, 1].sum(axis=1)),
        three(counts[:, 1, 1]),
        settings=DecoySettings(intensities=law_three(law.intensities), p_intensities=law_three(law.p_intensities)),
        leak_bits=EFFICIENCY_EC * entropy * block_bits,
        tag_bits=TAG_BITS,
        epsilon_sec=EPSILON_SEC,
        epsilon_cor=EPSILON_COR,
    )
    return length.length_bits / block_s


def three(values: np.ndarray) -> tuple[float, float, float]:
    return (float(values[0]), float(values[1]), float(values[2]))


def law_three(values: tuple[float, ...]) -> tuple[float, float, float]:
    return (values[0], values[1], values[2])


def cost(values: np.ndarray, receivers: tuple[str, ...] = RECEIVERS) -> float:
    mu1, mu2, p1, p2, p_x = values
    if not (0.02 < mu2 < mu1 < 1 and min(p1, p2) > 0.01 and p1 + p2 < 0.99 and 0.5 < p_x < 0.99):
        return 1e3
    rates = [secret_rate(tuple(values), km, bits, rx) for km in LENGTHS_KM for bits in BLOCKS_BITS for rx in receivers]
    return -float(np.mean(np.log(np.maximum(rates, 1.0))))


def main() -> None:
    start = np.array([0.4, 0.12, 0.32, 0.4, 0.85])
    best = minimize(cost, start, method="Nelder-Mead", options={"maxfev": 350, "xatol": 2e-3, "fatol": 1e-4})
    print("optimum  mu1 mu2 p1 p2 p_x:", " ".join(f"{value:.3f}" for value in best.x), f" cost {best.fun:.4f}")
    sheet = load_transmitter("decoy-1ghz")
    chosen = (*sheet.intensities[:2], *sheet.p_intensities[:2], sheet.p_x)
    print("datasheet mu1 mu2 p1 p2 p_x:", *chosen, f" cost {cost(np.array(chosen)):.4f}")
    for rx in RECEIVERS:
        for km in LENGTHS_KM:
            rates = [secret_rate(chosen, km, bits, rx) for bits in BLOCKS_BITS]
            shown = (f"{bits:8d} bits: {rate:7.0f} bit/s" for bits, rate in zip(BLOCKS_BITS, rates, strict=True))
            print(f"{rx:14} {km:5.0f} km", *shown)


if __name__ == "__main__":
    main()
