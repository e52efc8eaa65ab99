"""What changes slowly: warmth of the cabinets, the fibre's polarisation, and the controller that turns it back.

What it is for: ``LinkDrift`` says for every window what light, detectors and meters have become; ``drifted`` puts that
into the ``Optics`` that all samplers take, so every tier drifts alike, bit for bit, from the same streams.
What it knows nothing about: samplers, counts, keys. The controller sees errors of a law, with their shot noise, not
those of a sampler: so the tiers cannot drift apart.
What is left out: rotation out of the circle of the four states (it would turn the errors of one basis alone), storms
and steps by hand, ageing, and a clock that wanders.
Which file to read first: ``link.py``, then ``controller.py``.
"""

from __future__ import annotations

from qanat.physics.drift.conditions import Conditions, drifted, meters
from qanat.physics.drift.controller import DITHER_RAD, ErrorSignal, PolarisationController, error_signal
from qanat.physics.drift.link import LinkDrift
from qanat.physics.drift.rotation import FIBRES, FibreKind, FibreRotation
from qanat.physics.drift.warmth import Cabinet, TransmitterClimate

__all__ = [
    "DITHER_RAD",
    "FIBRES",
    "Cabinet",
    "Conditions",
    "ErrorSignal",
    "FibreKind",
    "FibreRotation",
    "LinkDrift",
    "PolarisationController",
    "TransmitterClimate",
    "drifted",
    "error_signal",
    "meters",
]
