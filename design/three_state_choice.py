"""Which intensities and probabilities the `time-bin-3state` transmitter has, and why they are not those of four states.

Maximises the secret bits per second of link time as design/decoy_choice.py does, by the proof of docs/decisions/0043 on
expected counts. The middle intensity comes out lower than for four states: crossed detections with outcome 0 are
bounded from above by those of the middle intensity, its pulses of two and more photons included, and what that adds is
counted as phase errors. The optimum makes the brightest rarer still; what the datasheet has costs the sampler less.

Run: python design/three_state_choice.py        (about half a minute; prints the optimum and the datasheet's values)
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize

from qanat.keyrate.three_state import ThreeStateCounts, three_state_length
from qanat.physics.datasheet import load_receiver, load_transmitter
from qanat.physics.light import light_of
from qanat.physics.meanfield import click_law, crossed_cells, grouped_cells
from qanat.physics.memory import memory_from_sheet
from qanat.physics.optics import optics_from_sheets
from qanat.physics.settings import law_from_probabilities

LENGTHS_KM = (10.0, 40.0, 80.0)
BLOCKS_BITS = (1_000_000, 4_000_000)
CLOCK_HZ, EPSILON_SEC, EPSILON_COR, TAG_BITS, EFFICIENCY_EC = 2.5e9, 1e-9, 1e-15, 64, 1.15
WEAKEST = 2e-4


def secret_rate(values: tuple[float, ...], length_km: float, block_bits: int) -> tuple[float, float]:
    """Secret bits per second of link time for (mu1, mu2, p1, p2, p_x), and the phase error bound."""
    mu1, mu2, p1, p2, p_x, p_x_receiver = values
    sheet = replace(load_receiver("time-bin-snspd"), p_x=p_x_receiver)
    source = replace(load_transmitter("time-bin-3state"), intensities=(mu1, mu2, WEAKEST))
    law = law_from_probabilities(
        intensities=source.intensities, p_intensities=(p1, p2, 1 - p1 - p2), p_x=p_x, p_zero=source.p_zero
    )
    optics = optics_from_sheets(source, sheet, loss_db=0.2 * length_km, clock_hz=CLOCK_HZ)
    clicks = click_law(light_of(optics, memory_from_sheet(sheet, clock_hz=CLOCK_HZ)), law)
    per_second = grouped_cells(clicks) * clicks.rate_per_gate * CLOCK_HZ
    block_s = block_bits / per_second[:, 0].sum()
    cells = np.rint(per_second * block_s).astype(int)
    crossed = np.rint(crossed_cells(clicks) * clicks.rate_per_gate * CLOCK_HZ * block_s).astype(int)
    qber_x = cells[:, 0, 1].sum() / block_bits
    entropy = -qber_x * math.log2(qber_x) - (1 - qber_x) * math.log2(1 - qber_x)
    proof = three_state_length(
        ThreeStateCounts(
            n_x=tuple(cells[:, 0].sum(axis=1)),
            n_z=tuple(cells[:, 1].sum(axis=1)),
            m_z=tuple(cells[:, 1, 1]),
            n_c=tuple(crossed.sum(axis=1)),
            zero_c=tuple(crossed[:, 0]),
        ),
        intensities=law.intensities,
        p_intensities=law.p_intensities,
        p_x=law.p_x,
        leak_bits=round(EFFICIENCY_EC * entropy * block_bits),
        tag_bits=TAG_BITS,
        epsilon_sec=EPSILON_SEC,
        epsilon_cor=EPSILON_COR,
    )
    return proof.length_bits / block_s, proof.phase_error_bound


def cost(values: np.ndarray) -> float:
    mu1, mu2, p1, p2, p_x, p_x_receiver = values
    if not (0.01 < mu2 < mu1 - WEAKEST < 1 and min(p1, p2) > 0.01 and p1 + p2 < 0.99):
        return 1e3
    if not (0.3 < p_x < 0.99 and 0.3 < p_x_receiver < 0.99):
        return 1e3
    rates = [secret_rate(tuple(values), km, bits)[0] for km in LENGTHS_KM for bits in BLOCKS_BITS]
    return -float(np.mean(np.log(np.maximum(rates, 1.0))))


def main() -> None:
    start = np.array([0.36, 0.06, 0.15, 0.7, 0.7, 0.7])
    best = minimize(cost, start, method="Nelder-Mead", options={"maxfev": 400, "xatol": 2e-3, "fatol": 1e-4})
    print("optimum   mu1 mu2 p1 p2 p_x p_x_receiver:", *(f"{x:.3f}" for x in best.x), f" cost {best.fun:.4f}")
    sheet = load_transmitter("time-bin-3state")
    chosen = (*sheet.intensities[:2], *sheet.p_intensities[:2], sheet.p_x, load_receiver("time-bin-snspd").p_x)
    print("datasheet mu1 mu2 p1 p2 p_x p_x_receiver:", *chosen, f" cost {cost(np.array(chosen)):.4f}")
    for km in LENGTHS_KM:
        for bits in BLOCKS_BITS:
            rate, phi = secret_rate(chosen, km, bits)
            print(f"{km:5.0f} km {bits:8d} bits: {rate:7.0f} bit/s, phase error bound {phi:.3f}")


if __name__ == "__main__":
    main()
