from __future__ import annotations

import numpy as np
import pytest

from qanat.physics.memory import traps_of_power_law


@pytest.mark.parametrize("exponent", [1.0, 1.25, 1.5])
def test_a_mixture_of_traps_follows_a_power_law(exponent: float) -> None:
    p_trap, p_release = traps_of_power_law(p_total=0.05, exponent=exponent, first_gates=50, last_gates=50_000)
    assert sum(p_trap) == pytest.approx(0.05)
    t = np.geomspace(50, 50_000, 200)
    rate = sum(p * hazard * (1 - hazard) ** (t - 1) for p, hazard in zip(p_trap, p_release, strict=True))
    shape = rate * t**exponent
    assert shape.max() / shape.min() - 1 < 0.06
