"""Quasi-cyclic LDPC codes from degree profiles: writes src/qanat/distill/ldpc/codes.npz.

Columns get their degrees, each joins the least loaded rows (so checks stay concentrated, no edge doubles), and every
edge a circulant shift such that no four edges close a cycle, for each circulant size by itself. Half of a row's edges
can be disclosed apart from the other half: rows are split where the rate must rise.

Run: python design/ldpc_codes.py      (reads design/ldpc_profiles.jsonl; about two minutes)
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

COLUMNS = 512
LANES = (208, 640, 1984)
SEED = 20261126
TRIES = 400


def column_degrees(profile: dict[str, float], stream: np.random.Generator) -> np.ndarray:
    """Degree of every column, in random order, by largest remainder."""
    degrees = np.array([int(d) for d in profile])
    nodes = np.array([s / int(d) for d, s in profile.items()])
    wanted = nodes / nodes.sum() * COLUMNS
    counts = np.floor(wanted).astype(int)
    counts[np.argsort(counts - wanted)[: COLUMNS - counts.sum()]] += 1
    return stream.permutation(np.repeat(degrees, counts))


def base_edges(degrees: np.ndarray, rows: int, stream: np.random.Generator) -> list[np.ndarray]:
    """Rows of every column; columns of high degree choose first, twos never join the same two rows while they can."""
    load, pairs = np.zeros(rows), set()
    chosen: list[np.ndarray] = [np.empty(0, int)] * COLUMNS
    for column in np.argsort(-degrees, kind="stable"):
        for _ in range(50):
            order = np.lexsort((stream.random(rows), load))
            picked = np.sort(order[: degrees[column]])
            if degrees[column] != 2 or (pair := tuple(picked)) not in pairs:
                break
            load = load + 1e-6 * stream.random(rows)
        if degrees[column] == 2:
            pairs.add(pair)
        load[picked] += 1
        chosen[column] = picked
    return chosen


def shifts_without_four_cycles(
    chosen: list[np.ndarray], rows: int, lanes: int, stream: np.random.Generator
) -> tuple[list[np.ndarray], int]:
    """Shift of every edge, and how many four-cycles could not be avoided."""
    used = np.zeros((rows, rows, lanes), dtype=bool)
    left, shifts = 0, []
    for column in chosen:
        own: list[int] = []
        for k, row in enumerate(column):
            tries = stream.integers(0, lanes, TRIES)
            clashes = np.zeros(TRIES, int)
            for earlier, shift in zip(column[:k], own, strict=True):
                clashes += used[earlier, row, (shift - tries) % lanes]
            best = int(np.argmin(clashes))
            left += int(clashes[best])
            own.append(int(tries[best]))
            for earlier, shift in zip(column[:k], own[:-1], strict=True):
                used[earlier, row, (shift - own[-1]) % lanes] = True
        shifts.append(np.array(own))
    return shifts, left


def code(profile: dict, seed: int) -> tuple[dict[str, np.ndarray], dict]:
    """Arrays of one code, edges by row, and what to tell about it."""
    stream = np.random.default_rng([SEED, seed])
    rows = round(profile["rate"] * COLUMNS)
    chosen = base_edges(column_degrees(profile["variable"], stream), rows, stream)
    every = [shifts_without_four_cycles(chosen, rows, lanes, stream) for lanes in LANES]
    row = np.concatenate(chosen)
    column = np.repeat(np.arange(COLUMNS), [len(each) for each in chosen])
    order = np.lexsort((stream.random(len(row)), row))
    arrays = {
        "starts": np.concatenate([[0], np.cumsum(np.bincount(row, minlength=rows))]).astype(np.uint16),
        "columns": column[order].astype(np.uint16),
        "shifts": np.array([np.concatenate(shifts)[order] for shifts, _ in every], dtype=np.uint16),
    }
    told = {"rows": rows, "qber_threshold": profile["q"], "edges": len(row), "four_cycles": [left for _, left in every]}
    return arrays, told


def main() -> None:
    here = Path(__file__).parent
    lines = (here / "ldpc_profiles.jsonl").read_text().splitlines()
    profiles = sorted((json.loads(line) for line in lines), key=lambda each: each["rate"])
    kept: dict[str, np.ndarray] = {}
    table = []
    for index, profile in enumerate(profiles):
        arrays, told = code(profile, index)
        kept |= {f"{name}_{index}": array for name, array in arrays.items()}
        table.append(told)
        print(index, told, flush=True)
    meta = {"seed": SEED, "columns": COLUMNS, "lanes": LANES, "codes": table}
    kept["meta"] = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    np.savez_compressed(here.parent / "src/qanat/distill/ldpc/codes.npz", **kept)


if __name__ == "__main__":
    main()
