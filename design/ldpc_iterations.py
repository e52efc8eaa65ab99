"""Degree profiles that decode in few iterations a little above their threshold: the second stage after ldpc_degrees.py.

A profile with the best threshold has a tunnel that takes hundreds of iterations. What a decoder pays for is iterations
times edges at the efficiency it is run at. Along density evolution's path at that efficiency the number of iterations
is about the sum of the entropies' logarithmic steps, each divided by the gain of one iteration there; gains are linear
in the shares of degrees, so a linear programme in a small neighbourhood lowers the sum, again and again (Smith,
Ardakani, Yu, Kschischang, IEEE Trans. Commun. 58, 3117 (2010), with this path instead of an EXIT function). The rate is
held. Where a profile does not decode yet, f is larger at first.

Run: python design/ldpc_iterations.py 0 > part0 ... 3 > part3; then replace the lines of the same rates in
design/ldpc_profiles.jsonl     (an hour together on one core)
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
from ldpc_degrees import check_degree_wanted, trajectory, two_max
from ldpc_density import Ensemble, concentrated, entropy_bits, iterations_needed, qber_from_entropy, threshold
from scipy.optimize import linprog

DEGREES = [2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 24, 30]
OPERATING = 1.07  # f at which iterations shall be few
F_BOUND = 1.021  # of the check degree: some tenth more edges than the first stage, for many iterations less
LIMIT = 400  # iterations of a path
COLUMNS = 512
# The rates of 2 to 6 % in steps of 8 %, as chains that begin at a profile of the first stage.
CHAINS = ([0.1595, 0.148, 0.138, 0.128], [0.1595 * 1.08**k for k in range(1, 7)], [0.30, 0.324, 0.352], [0.30 / 1.07])
Path_ = tuple[np.ndarray, np.ndarray, bool]


def _nearest(
    shares: dict[int, float], cost: np.ndarray, ensemble_check: dict[int, float], rate: float, q: float, reach: float
) -> Ensemble | None:
    """The profile of this rate with least ``cost`` within ``reach`` of these shares; least change where cost is 0."""
    count, now = len(DEGREES), np.array([shares.get(d, 0.0) for d in DEGREES])
    identity, ones, none = np.eye(count), np.ones(count), np.zeros(count)
    limits = np.vstack([np.hstack([identity, -identity]), np.hstack([-identity, -identity]), np.hstack([none, ones])])
    check_degree = 1 / sum(share / d for d, share in ensemble_check.items())
    equal = np.vstack([np.hstack([ones, none]), np.hstack([1 / np.array(DEGREES, dtype=float), none])])
    most_2 = two_max(ensemble_check, q)
    found = linprog(
        np.hstack([cost, none if cost.any() else ones]),
        A_ub=limits,
        b_ub=np.hstack([now, -now, reach]),
        A_eq=equal,
        b_eq=[1.0, 1 / (check_degree * rate)],
        bounds=[(0, most_2 if d == 2 else 1) for d in DEGREES] + [(0, None)] * count,
        method="highs",
    )
    if found.status != 0:
        return None
    return Ensemble({d: float(s) for d, s in zip(DEGREES, found.x[:count], strict=True) if s > 1e-6}, ensemble_check)


def slope_of_iterations(ensemble: Ensemble, path: Path_) -> np.ndarray:
    """What more share of each degree does to the number of iterations, to first order."""
    before, after, _ = path
    new = after @ np.array([ensemble.variable.get(d, 0.0) for d in DEGREES])
    step = np.maximum(np.log(before / np.append(before[1:], new[-1])), 0)
    gain = np.maximum(np.log(before / new), 1e-4)
    slope: np.ndarray = (step / (new * gain**2)) @ after
    return slope


def faster(near: dict[int, float], check_degree: float, rate: float, rounds: int = 36) -> tuple[Ensemble, float] | None:
    """A profile of this rate near that one with few iterations at OPERATING, and the f that was reached."""

    def path(ensemble: Ensemble, f: float) -> Path_:
        return trajectory(ensemble, qber_from_entropy(rate / f), DEGREES, LIMIT)

    f, reach = OPERATING, 0.06
    check = concentrated(check_degree)
    best = _nearest(near, np.zeros(len(DEGREES)), check, rate, qber_from_entropy(rate / f), 2.0)
    assert best is not None, "no profile has this rate"
    run = path(best, f)
    while not run[2]:
        f += 0.004
        if f > 1.3:
            return None
        run = path(best, f)
    for _ in range(rounds):
        new = _nearest(
            best.variable, slope_of_iterations(best, run), check, rate, qber_from_entropy(rate / f), reach
        )
        new_run = path(new, f) if new else None
        if new is not None and new_run is not None and new_run[2] and len(new_run[0]) < len(run[0]):
            best, run, reach = new, new_run, reach * 1.2
        else:
            reach /= 2
        while f > OPERATING and (len(run[0]) < 170 or reach < 4e-3):
            nearer = path(best, max(OPERATING, f - 0.004))
            if not nearer[2]:
                break
            f, run, reach = max(OPERATING, f - 0.004), nearer, max(reach, 0.03)
        if reach < 2e-3:
            break
    return best, f


def main() -> None:
    lines = Path(__file__).with_name("ldpc_profiles.jsonl").read_text().splitlines()
    rates = CHAINS[int(sys.argv[1])]
    first = min((json.loads(line) for line in lines), key=lambda each: abs(each["rate"] - rates[0]))
    near = {int(d): s for d, s in first["variable"].items()}
    for rate in (round(rate * COLUMNS) / COLUMNS for rate in rates):
        check_degree = round(check_degree_wanted(qber_from_entropy(rate / OPERATING), F_BOUND), 2)
        found = faster(near, check_degree, rate)
        if found is None:
            continue
        ensemble, f = found
        near, q = ensemble.variable, threshold(ensemble)
        iterations = iterations_needed(ensemble, qber_from_entropy(rate / OPERATING))
        told = {
            "q": round(q, 6),
            "rate": round(ensemble.syndrome_rate, 5),
            "f": round(ensemble.syndrome_rate / entropy_bits(q), 4),
            "degree_mean": round(ensemble.degree_mean, 3),
            "check_degree": check_degree,
            "iterations": iterations,
            "cost": iterations and math.ceil(iterations * ensemble.degree_mean / 2),
            "variable": {d: round(s, 5) for d, s in near.items()},
        }
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
