"""States of light that Eve may send: the four of the protocol, two between them, and nothing at all.

States lie on one circle of the Poincare sphere (or of interferometer phases), so that each is a mixture of the four in
the algebra of density matrices: what a receiver does with it follows from what it does with the four.
Source: C. H. Bennett et al., J. Cryptology 5, 3 (1992), for the states between (Breidbart's basis).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from qanat.physics.branch import Branch, Table
from qanat.physics.errors import AttackError

# X0, X1, Z0, Z1, then the two between: B0 lies halfway from X0 to Z0, B1 opposite.
ANGLES_RAD = (0.0, math.pi, math.pi / 2, -math.pi / 2, math.pi / 4, math.pi * 5 / 4)
PREPARED_COUNT = 4
NOTHING = len(ANGLES_RAD)
STATE_COUNT_WIDE = NOTHING + 1
OUTCOMES = {"x": (0, 1), "z": (2, 3), "breidbart": (4, 5)}  # the two states of each basis that Eve may measure in


def widened(branch: Branch) -> Branch:
    """The same light in the alphabet of all states, whose last one is no light.

    Raises:
        AttackError: the light comes in states that are not of this alphabet.
    """
    size = branch.states.shape[1]
    if size == STATE_COUNT_WIDE:
        return branch
    if size != PREPARED_COUNT:
        raise AttackError(f"light in {size} states; Eve knows how to measure the four of BB84")
    states = np.zeros((branch.states.shape[0], STATE_COUNT_WIDE))
    states[:, :size] = branch.states
    x0, x1, z0, z1 = branch.shares
    between = [(x0 + x1 + math.cos(angle) * (x0 - x1) + math.sin(angle) * (z0 - z1)) / 2 for angle in ANGLES_RAD[size:]]
    shares = np.maximum(0.0, np.array([x0, x1, z0, z1, *between, np.zeros_like(x0)]))
    shares /= np.maximum(1.0, shares.sum(axis=1, keepdims=True))  # four states badly made span no true circle
    return replace(branch, states=states, shares=shares)


def measured(basis: str) -> Table:
    """Eve measures in this basis and sends what she found: state -> law of the new state, shape (7, 7). Nothing stays.

    Example:
        >>> round(float(measured("breidbart")[0, 4]), 4)  # cos(pi / 8)**2: she guesses the bit right
        0.8536
    """
    moved = np.zeros((STATE_COUNT_WIDE, STATE_COUNT_WIDE))
    moved[NOTHING, NOTHING] = 1.0
    first, second = OUTCOMES[basis]
    for state, angle in enumerate(ANGLES_RAD):
        moved[state, first] = (1 + math.cos(angle - ANGLES_RAD[first])) / 2
        moved[state, second] = 1 - moved[state, first]
    return moved
