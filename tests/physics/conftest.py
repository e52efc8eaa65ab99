"""A hot link for statistical tests: little loss, short dead time, many afterpulses, unequal detectors.

The numbers are chosen so that every effect shows in a few million slots, not so that they are typical.
"""

from __future__ import annotations

import pytest

from qanat.physics.memory import DetectorMemory
from qanat.physics.optics import Optics
from qanat.physics.settings import SettingsFunction, law_from_probabilities


@pytest.fixture(scope="session")
def optics() -> Optics:
    return Optics(
        intensities=(0.6, 0.2, 2e-3),
        transmittance=0.4,
        efficiency=(0.2, 0.22, 0.18, 0.2),
        p_dark=(1e-4, 1e-4, 2e-4, 1e-4),
        misalignment=0.02,
        p_x=0.7,
        clock_hz=1e9,
    )


@pytest.fixture(scope="session")
def memory() -> DetectorMemory:
    return DetectorMemory(dead_gates=40, p_trap=(0.12, 0.08), p_release=(1 / 30, 1 / 100))


@pytest.fixture(scope="session")
def settings() -> SettingsFunction:
    law = law_from_probabilities(intensities=(0.6, 0.2, 2e-3), p_intensities=(0.5, 0.3, 0.2), p_x=0.7)
    return SettingsFunction(b"simulation key of a test link", law)
