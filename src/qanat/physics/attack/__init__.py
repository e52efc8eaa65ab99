"""What Eve may do to the light, the detectors and the meters. She never touches a count or an error rate: those follow.

What it is for: an attack is a frozen dataclass that turns branches of light into branches (``branch.py``), and says
what it does to detectors' memory and to meters; so every tier of simulation has every attack. Her equipment is
perfect, which makes her hardest to see. Who measures and sends on keeps the wavelength and the time of what she got,
unless these are the attack.
What it knows nothing about: samplers, monitors, keys. The ground truth is the branch's label.
Which file to read first: ``base.py``, then ``resend.py``. A new attack is a class, listed in ``registry.py``.
"""

from __future__ import annotations

from qanat.physics.attack.base import LightAttack, Place
from qanat.physics.attack.blinding import AfterGate, Blinding, PulsedBlinding
from qanat.physics.attack.intrusion import LaserSeeding, TrojanHorse, phase_error_with_leak
from qanat.physics.attack.line import Cut, Jamming, Tap
from qanat.physics.attack.mismatch import FakedStates, TimeShift
from qanat.physics.attack.registry import (
    ATTACK_NAMES,
    attack_from_name,
    attack_table,
    check_together,
    name_from_attack,
    parameters_of,
)
from qanat.physics.attack.resend import InterceptResend, measured_state_map
from qanat.physics.attack.splitting import PhotonNumberSplitting
from qanat.physics.attack.steering import WavelengthSteering

Attack = LightAttack

__all__ = [
    "ATTACK_NAMES",
    "AfterGate",
    "Attack",
    "Blinding",
    "Cut",
    "FakedStates",
    "InterceptResend",
    "Jamming",
    "LaserSeeding",
    "LightAttack",
    "PhotonNumberSplitting",
    "Place",
    "PulsedBlinding",
    "Tap",
    "TimeShift",
    "TrojanHorse",
    "WavelengthSteering",
    "attack_from_name",
    "attack_table",
    "check_together",
    "measured_state_map",
    "name_from_attack",
    "parameters_of",
    "phase_error_with_leak",
]
