"""What a proof allows: counts and failure probabilities in, secret bits out.

What it is for: one file per security proof. The secret length of every live key block is decided here and nowhere
else, from public counts; ``protocols/`` tells what a link of any protocol of the field could give, before it is built.
What it knows nothing about: links, sessions, devices, files, time, chance. It takes counts as they were observed and
never asks how they came about; channel models predict counts for studies and tests and are not used by the live path.
Which file to read first: ``lim2014.py``, then ``decoy.py`` and ``sampling.py`` for its two bounds; for studies
``protocols/decoy_bb84.py``, for a satellite's pass ``satellite.py``.

Example:
    >>> from qanat.keyrate import decoy_bb84
    >>> rate = decoy_bb84(distance_km=[0, 50, 100], decoys="infinite")
    >>> rate.rate_per_pulse.shape
    (3,)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qanat.keyrate.protocols.bb84 import bb84
    from qanat.keyrate.protocols.bbm92 import bbm92
    from qanat.keyrate.protocols.cow import cow
    from qanat.keyrate.protocols.cv_gaussian import cv_gaussian
    from qanat.keyrate.protocols.cv_qpsk import cv_qpsk
    from qanat.keyrate.protocols.decoy_bb84 import decoy_bb84
    from qanat.keyrate.protocols.di import di
    from qanat.keyrate.protocols.dps import dps
    from qanat.keyrate.protocols.e91 import e91
    from qanat.keyrate.protocols.hd_bb84 import hd_bb84
    from qanat.keyrate.protocols.mdi import mdi
    from qanat.keyrate.protocols.mdi_four import mdi_four
    from qanat.keyrate.protocols.mode_pairing import mode_pairing
    from qanat.keyrate.protocols.plob import plob
    from qanat.keyrate.protocols.six_state import six_state
    from qanat.keyrate.protocols.tf_cal import tf_cal
    from qanat.keyrate.protocols.tf_original import tf_original
    from qanat.keyrate.protocols.tf_pm import tf_pm
    from qanat.keyrate.protocols.tf_sns import tf_sns

__all__ = [
    "bb84",
    "bbm92",
    "cow",
    "cv_gaussian",
    "cv_qpsk",
    "decoy_bb84",
    "di",
    "dps",
    "e91",
    "hd_bb84",
    "mdi",
    "mdi_four",
    "mode_pairing",
    "plob",
    "six_state",
    "tf_cal",
    "tf_original",
    "tf_pm",
    "tf_sns",
]


def __getattr__(name: str) -> Any:
    """Protocols by name, imported when first asked for: the live path needs none of them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from qanat.keyrate.library import protocol_named  # noqa: PLC0415

    return protocol_named(name.replace("_", "-"))
