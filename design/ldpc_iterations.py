"""Degree profiles that decode in few iterations a little above their threshold: the second stage after ldpc_degrees.py.

A profile with the best threshold has a tunnel that takes hundreds of iterations. What a decoder pays for is iterations
times edges at the efficiency it is run at. Along density evolution's path at that efficiency the number of iterations
is about the sum of the entropies' logarithmic steps, each divided by the gain of one iteration there; gains are linear
in the shares of degrees, so a linear programme in a small neighbourhood lowers the sum, again and again (Smith,
Ardakani, Yu, Kschischang, IEEE Trans. Commun. 58, 3117 (2010), with this path instead of an EXIT function). The rate is
held. Where a profile does not decode yet, f is larger at first.

Decoded in fact (1e6 bits, f = 1.07 and 1.08), this is better than the first stage below a rate of 0.22 (3.3 %), worse
above; design/ldpc_profiles.jsonl has the better of both.

Run: python design/ldpc_iterations.py > second     (some ten minutes); of its lines those with a rate below 0.22
"""

from __future__ import annotations

import json
import math

import numpy as np
from ldpc_degrees import check_degree_wanted, trajectory, two_max
from ldpc_density import Ensemble, concentrated, entropy_bits, iterations_needed, qber_from_entropy, threshold
from scipy.optimize import linprog

DEGREES = [2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 24, 30]
OPERATING = 1.07  # f at which iterations shall be few
LIMIT = 400  # iterations of a path
GOAL = 1e-4  # entropy at which trajectory() ends
COLUMNS = 512
# Where the chain begins: what `python design/ldpc_degrees.py 0` makes of rate 0.297 (5 %), the first stage.
FIRST = {2: 0.12621, 3: 0.22345, 6: 0.01377, 7: 0.239, 20: 0.39757}
# Rows of the codes, in steps of 8 %: between two of them rows are spread (codes.py), at no loss up to there.
ROWS = (150, 139, 129, 120, 111, 103, 96, 89, 82, 76, 71, 66, 61, 56, 52, 48, 44, 40, 37, 34)
Path_ = tuple[np.ndarray, np.ndarray, bool]


def f_bound(rate: float) -> float:
    """Of the check degree, see ldpc_degrees.py: at low rates edges would be too many for the columns."""
    return 1.021 + 0.025 * min(0.1, max(0.0, 0.26 - rate)) + 0.25 * max(0.0, 0.13 - rate)


def _nearest(
    shares: dict[int, float], cost: np.ndarray, check_degree: float, rate: float, q: float, reach: float
) -> Ensemble | None:
    """The profile of this rate with least ``cost`` within ``reach`` of these shares; least change where cost is 0."""
    degrees = [d for d in DEGREES if d <= (30 if rate > 0.1 else 24 if rate > 0.08 else 20)]
    count, now = len(degrees), np.array([shares.get(d, 0.0) for d in degrees])
    identity, ones, none = np.eye(count), np.ones(count), np.zeros(count)
    limits = np.vstack([np.hstack([identity, -identity]), np.hstack([-identity, -identity]), np.hstack([none, ones])])
    equal = np.vstack([np.hstack([ones, none]), np.hstack([1 / np.array(degrees, dtype=float), none])])
    check = concentrated(check_degree)
    most_2 = two_max(check, q)
    found = linprog(
        np.hstack([cost[:count], none if cost.any() else ones]),
        A_ub=limits,
        b_ub=np.hstack([now, -now, reach]),
        A_eq=equal,
        b_eq=[1.0, 1 / (check_degree * rate)],
        bounds=[(0, most_2 if d == 2 else 1) for d in degrees] + [(0, None)] * count,
        method="highs",
    )
    if found.status != 0:
        return None
    return Ensemble({d: float(s) for d, s in zip(degrees, found.x[:count], strict=True) if s > 1e-6}, check)


def slope_of_iterations(ensemble: Ensemble, path: Path_) -> np.ndarray:
    """What more share of each degree does to the number of iterations, to first order."""
    before, after, _ = path
    new = after @ np.array([ensemble.variable.get(d, 0.0) for d in DEGREES])
    step = np.maximum(np.log(before / np.append(before[1:], new[-1])), 0)
    gain = np.maximum(np.log(before / new), 1e-4)
    slope: np.ndarray = (step / (new * gain**2)) @ after
    return slope


def iterations_of(ensemble: Ensemble, path: Path_) -> float:
    """Of a path that went to the end, the last one counted in part, so that small gains are seen."""
    before, after, _ = path
    last, new = before[-1], float(after[-1] @ np.array([ensemble.variable.get(d, 0.0) for d in DEGREES]))
    return len(before) - 1 + math.log(last / GOAL) / math.log(last / new)


def faster(near: dict[int, float], check_degree: float, rate: float, rounds: int = 40) -> tuple[Ensemble, float] | None:
    """A profile of this rate near that one with few iterations at OPERATING, and the f that was reached."""

    def path(ensemble: Ensemble, f: float) -> Path_:
        return trajectory(ensemble, qber_from_entropy(rate / f), DEGREES, LIMIT)

    f, reach = OPERATING, 0.06
    best = _nearest(near, np.zeros(len(DEGREES)), check_degree, rate, qber_from_entropy(rate / f), 2.0)
    assert best is not None, "no profile has this rate"
    run = path(best, f)
    while not run[2] and f < 1.3:
        f += 0.004
        run = path(best, f)
    for _ in range(rounds):
        slope = slope_of_iterations(best, run)
        new = _nearest(best.variable, slope, check_degree, rate, qber_from_entropy(rate / f), reach)
        new_run = path(new, f) if new else run
        if new and new_run[2] and iterations_of(new, new_run) < (1 - 2e-4) * iterations_of(best, run):
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
    return (best, f) if run[2] else None


def main() -> None:
    """A chain of profiles, each begun at the one before; the first one at the first stage's of 5 %."""
    near = FIRST
    for rate in (each / COLUMNS for each in ROWS):
        check_degree = round(check_degree_wanted(qber_from_entropy(rate / OPERATING), f_bound(rate)), 2)
        found = faster(near, check_degree, rate)
        assert found is not None, f"no way to rate {rate}"
        ensemble, _ = found
        near, q = ensemble.variable, threshold(ensemble)
        iterations = iterations_needed(ensemble, qber_from_entropy(rate / OPERATING))
        told = {
            "q": round(q, 6),
            "rate": round(ensemble.syndrome_rate, 5),
            "f": round(ensemble.syndrome_rate / entropy_bits(q), 4),
            "degree_mean": round(ensemble.degree_mean, 3),
            "check_degree": check_degree,
            "iterations": iterations,
            "cost": iterations and round(iterations * ensemble.degree_mean),
            "variable": {d: round(s, 5) for d, s in near.items()},
        }
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
