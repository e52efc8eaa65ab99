"""Which protocols there are. Each is imported when it is asked for: a list of names costs nothing."""

from __future__ import annotations

import importlib
from typing import Final

from qanat.keyrate.parameter import ParameterError, near_miss
from qanat.keyrate.protocol import Protocol

# Name on the command line -> file in ``protocols/``; the object in it has the file's name.
FILES: Final[dict[str, str]] = {
    "bb84": "bb84",
    "six-state": "six_state",
    "decoy-bb84": "decoy_bb84",
    "bbm92": "bbm92",
    "e91": "e91",
    "mdi": "mdi",
    "mdi-four": "mdi_four",
    "tf-original": "tf_original",
    "tf-cal": "tf_cal",
    "tf-sns": "tf_sns",
    "tf-pm": "tf_pm",
    "mode-pairing": "mode_pairing",
    "cv-gaussian": "cv_gaussian",
    "cv-qpsk": "cv_qpsk",
    "hd-bb84": "hd_bb84",
    "dps": "dps",
    "cow": "cow",
    "di": "di",
    "plob": "plob",
}


def protocol_named(name: str) -> Protocol:
    """The protocol.

    Raises:
        ParameterError: there is none of that name.

    Example:
        >>> protocol_named("plob").name
        'plob'
    """
    if name not in FILES:
        raise ParameterError(f"no protocol {name} ({near_miss(name, FILES)}there are: {', '.join(FILES)})", name=name)
    file = FILES[name]
    found = getattr(importlib.import_module(f"qanat.keyrate.protocols.{file}"), file)
    assert isinstance(found, Protocol)
    return found
