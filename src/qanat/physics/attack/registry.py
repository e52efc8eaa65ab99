"""Attacks by name: the table from which commands, schedules and pages are made."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, cast

from qanat.physics.attack.base import LightAttack
from qanat.physics.attack.blinding import AfterGate, Blinding, PulsedBlinding
from qanat.physics.attack.intrusion import LaserSeeding, TrojanHorse
from qanat.physics.attack.line import Cut, Jamming, Tap
from qanat.physics.attack.mismatch import FakedStates, TimeShift
from qanat.physics.attack.resend import InterceptResend
from qanat.physics.attack.splitting import PhotonNumberSplitting
from qanat.physics.attack.steering import WavelengthSteering
from qanat.physics.errors import AttackError, near_miss

_CLASSES: tuple[type[LightAttack], ...] = (
    AfterGate, Blinding, Cut, FakedStates, InterceptResend, Jamming, LaserSeeding, PhotonNumberSplitting,
    PulsedBlinding, Tap, TimeShift, TrojanHorse, WavelengthSteering,
)  # fmt: skip
_BY_NAME = {kind.name: kind for kind in _CLASSES}
ATTACK_NAMES = tuple(sorted(_BY_NAME))
TOGETHER_MAX = 5  # branches multiply: five of the most branching attacks make some hundred


def parameters_of(name: str) -> Mapping[str, dataclasses.Field[Any]]:
    """What the attack takes, by name, the most important first; each field's metadata has unit, help and range.

    Raises:
        AttackError: unknown name (the nearest is named).
    """
    if name not in _BY_NAME:
        raise AttackError(near_miss("attack", name, ATTACK_NAMES))
    return {field.name: field for field in dataclasses.fields(cast(Any, _BY_NAME[name]))}


def attack_from_name(name: str, **parameters: Any) -> LightAttack:
    """The attack of that name; what is not given, or None, has its default.

    Raises:
        AttackError: unknown name (the nearest is named), a parameter the attack does not take, or one out of range.

    Example:
        >>> attack_from_name("tap", transmittance=0.8)
        Tap(transmittance=0.8)
    """
    known = parameters_of(name)
    for other, value in parameters.items():
        if value is not None and other not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes no number"
            raise AttackError(f"attack {name!r} does not take {other}; {takes}")
    return _BY_NAME[name](**{key: value for key, value in parameters.items() if value is not None})


def name_from_attack(attack: LightAttack) -> str:
    """The inverse of ``attack_from_name``.

    Example:
        >>> name_from_attack(Cut())
        'cut'
    """
    return attack.name


def check_together(attacks: Sequence[LightAttack]) -> None:
    """Raises AttackError when these cannot act on one link at once."""
    if len(attacks) > TOGETHER_MAX:
        raise AttackError(f"{len(attacks)} attacks on one link at once; at most {TOGETHER_MAX} can be played")


def attack_table() -> list[dict[str, Any]]:
    """All attacks in words and numbers, for people and for JSON."""
    return [
        {
            "name": name,
            "what": " ".join((_BY_NAME[name].__doc__ or "").partition("\n\n")[0].split()),
            "parameters": [_described(field) for field in parameters_of(name).values()],
            "signature": _BY_NAME[name].signature,
            "source": _BY_NAME[name].source,
        }
        for name in ATTACK_NAMES
    ]


def _described(field: dataclasses.Field[Any]) -> dict[str, Any]:
    facts = field.metadata
    limits = {key: facts[key] for key in ("low", "high") if key in facts}
    options = {"options": list(facts["options"])} if "options" in facts else {}
    return (
        {"name": field.name, "default": field.default, "unit": facts["unit"], "help": facts["help"]} | limits | options
    )
