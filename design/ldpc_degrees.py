"""Degree profiles for LDPC reconciliation, by linear programming on density evolution.

For one syndrome rate and one mean variable degree, look for the profile of variable degrees with the largest error
rate that density evolution still corrects. Around the densities of the profile at hand every degree's next entropy is
known, so the next entropy of any mixture is linear in its shares: the profile that needs fewest checks while every
iteration still gains is a linear programme (Chung, Forney, Richardson, Urbanke 2001), solved again until it stands.

Besides, the stability condition lambda_2 rho'(1) 2 sqrt(q (1 - q)) < 1 holds with a reserve.

Run: python design/ldpc_degrees.py 1 >> design/ldpc_profiles.jsonl
     python design/ldpc_degrees.py -1 >> design/ldpc_profiles.jsonl
     python design/ldpc_degrees.py 0 >> design/ldpc_profiles.jsonl     (some minutes each)
"""

from __future__ import annotations

import json
import math
import sys

import numpy as np
from ldpc_density import (
    Ensemble,
    Evolution,
    concentrated,
    entropy_bits,
    iterations_needed,
    message_entropy,
    qber_from_entropy,
    threshold,
)
from scipy.optimize import linprog

DEGREES = [2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 30]
OPERATING = 1.065  # f for which iterations are counted
STEP_OF_RATES = 1.105
GAIN_LEAST = 1.5e-3
STABLE = 0.9  # of the stability bound on degree 2: what nears 1 leaves few wrong bits standing


def trajectory(ensemble: Ensemble, q: float, degrees: list[int], limit: int) -> tuple[np.ndarray, np.ndarray, bool]:
    """Entropy before, entropy after by degree for each iteration, and whether it went to the end."""
    evolution = Evolution(ensemble, q, max(degrees))
    before, after = [], []
    for _ in range(limit):
        now = message_entropy(evolution.variable_in)
        out = evolution.check_step()
        before.append(now)
        after.append(evolution.entropies_by_degree(out, degrees))
        evolution.variable_step(out)
        new = message_entropy(evolution.variable_in)
        if new < 1e-4:
            return np.array(before), np.array(after), True
        if now - new < 2e-5 * now:
            break
    return np.array(before), np.array(after), False


def two_max(check: dict[int, float], q: float) -> float:
    """Largest share of edges at degree 2: of the stability condition, with a reserve."""
    slope = sum(share * (d - 1) for d, share in check.items())
    return STABLE / (slope * 2 * math.sqrt(q * (1 - q)))


def better(
    ensemble: Ensemble,
    run: tuple[np.ndarray, np.ndarray, bool],
    q: float,
    degrees: list[int],
    reach: float,
    gain: float,
) -> Ensemble | None:
    """The profile near this one with most variables per edge that still gains in every iteration."""
    before, after, _ = run
    now = np.array([ensemble.variable.get(d, 0.0) for d in degrees])
    most_2 = two_max(ensemble.check, q)
    count = len(degrees)
    # variables: shares, then |share - now| bounds
    cost = np.concatenate([-1 / np.array(degrees, dtype=float), np.zeros(count)])
    limits = [np.concatenate([row, np.zeros(count)]) for row in after]
    right = list((1 - gain) * before)
    for i in range(count):
        for sign in (1, -1):
            row = np.zeros(2 * count)
            row[i], row[count + i] = sign, -1
            limits.append(row)
            right.append(sign * now[i])
    limits.append(np.concatenate([np.zeros(count), np.ones(count)]))
    right.append(reach)
    bounds = [(0, most_2 if d == 2 else 1) for d in degrees] + [(0, None)] * count
    total = np.concatenate([np.ones(count), np.zeros(count)])[None, :]
    found = linprog(cost, A_ub=np.array(limits), b_ub=right, A_eq=total, b_eq=[1.0], bounds=bounds, method="highs")
    if found.status != 0:
        return None
    shares = found.x[:count]
    return Ensemble({d: float(s) for d, s in zip(degrees, shares, strict=True) if s > 1e-6}, ensemble.check)


def start(q: float, check_degree: float) -> Ensemble:
    """A plain profile that is corrected at ``q``: as few checks as it takes."""
    check = concentrated(check_degree)
    two = min(0.1, 0.9 * two_max(check, q))
    for three in np.arange(0.6, 0.0, -0.03):
        for high in (8, 11, 14):
            ensemble = Ensemble({2: two, 3: float(three), high: 1 - two - float(three)}, check)
            if ensemble.syndrome_rate < entropy_bits(q) * 1.02:
                continue
            if iterations_needed(ensemble, q, 300) is not None:
                return ensemble
    raise ValueError(f"no plain profile of check degree {check_degree} corrects {q}")


def check_degree_wanted(q: float, f_bound: float) -> float:
    """Mean check degree at which no code of this kind can have f below ``f_bound``.

    A syndrome bit of degree d is 1 in the error pattern with probability (1 - (1 - 2 q)**d) / 2, so it carries no
    more than that entropy: f >= 1 / h(...) (Gallager's bound; Burshtein and others, IEEE Trans. Inf. Theory 48, 2437
    (2002)). Edges cost time, so the check degree is chosen from how near to capacity the code shall come.
    """
    p = qber_from_entropy(1 / f_bound)
    return math.log(1 - 2 * p) / math.log(1 - 2 * q)


def optimised(
    q: float, check_degree: float, degree_max: int = 20, near: dict[int, float] | None = None, rounds: int = 16
) -> dict:
    """The profile that corrects about ``q`` with fewest checks of this mean degree, beginning near another one."""
    degrees = [d for d in DEGREES if d <= degree_max]
    gain = 0.05
    if near is None:
        best = start(q, check_degree)
    else:
        shares = {d: s for d, s in near.items() if d <= degree_max}
        shares[degree_max] = shares.get(degree_max, 0.0) + 1 - sum(shares.values())
        cut = max(0.0, shares.get(2, 0.0) - two_max(concentrated(check_degree), q))
        shares[2], shares[3] = shares[2] - cut, shares.get(3, 0.0) + cut
        best = Ensemble(shares, concentrated(check_degree))
        q = 0.995 * threshold(best, 300, 1e-3)
        gain = 0.01
    run = trajectory(best, q, degrees, 500)
    reach = 0.3
    for _ in range(rounds):
        new = better(best, run, q, degrees, reach, gain)
        new_run = None if new is None else trajectory(new, q, degrees, 500)
        if new is not None and new_run is not None and new_run[2] and new.syndrome_rate < best.syndrome_rate - 1e-6:
            best, run = new, new_run
            gain *= 0.6
        else:
            reach, gain = reach / 1.5, gain * (0.6 if new is None else 1.4)
        if gain < GAIN_LEAST or reach < 0.02:
            break
    operating = qber_from_entropy(best.syndrome_rate / OPERATING)
    iterations = iterations_needed(best, operating)
    return {
        "q": round(q, 6),
        "rate": round(best.syndrome_rate, 5),
        "f": round(best.syndrome_rate / entropy_bits(q), 4),
        "degree_mean": round(best.degree_mean, 3),
        "check_degree": check_degree,
        "iterations": iterations,
        "cost": iterations and round(iterations * best.degree_mean / 2),
        "variable": {d: round(s, 5) for d, s in best.variable.items()},
    }


def grid() -> list[tuple[float, float, int]]:
    """Error rate, bound on f and largest variable degree of every code of the package."""
    rates = 0.036 * STEP_OF_RATES ** np.arange(27)
    found = []
    for rate in rates:
        q = qber_from_entropy(float(rate))
        found.append(
            (q, 1.05 if q < 0.008 else 1.035 if q < 0.014 else 1.028 if q < 0.06 else 1.025, 20 if q > 0.01 else 14)
        )
    return found


def main() -> None:
    """A chain of profiles, each begun at the one before: 1 goes up from the middle, -1 down, 0 is one more between.

    The chains' first profile is only their beginning; from one with many edges the chain down comes out better.
    """
    wanted, middle = grid(), 17
    indexes = {"1": range(middle, len(wanted)), "-1": range(middle, -1, -1), "0": (middle, middle + 1, middle)}[
        sys.argv[1]
    ]
    near, found = None, []
    for index in indexes:
        q, f_bound, degree_max = wanted[index]
        found.append(optimised(q, round(check_degree_wanted(q, f_bound), 2), degree_max, near))
        near = found[-1]["variable"]
    for profile in found[2:] if sys.argv[1] == "0" else found[1:]:
        print(json.dumps(profile), flush=True)


if __name__ == "__main__":
    main()
