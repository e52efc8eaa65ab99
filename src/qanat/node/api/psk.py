"""What a pre-shared key of a router is, without any TLS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qanat.core.secret import SecretBits

PSK_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Psk:
    """One key: whose it is, and a number that tells it from an earlier one of the same identity."""

    name: str
    serial: int
    secret: SecretBits


Lookup = Callable[[str], Psk | None]


def is_identity(text: str) -> bool:
    """Could this name a key of ours: 1 to 128 printable ASCII characters without spaces?"""
    return 1 <= len(text) <= 128 and all("!" <= letter <= "~" for letter in text)
