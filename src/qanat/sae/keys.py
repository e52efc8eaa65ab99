"""A key in the hands of an application."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from qanat.core.ids import KeyId, SaeId
from qanat.core.provenance import Provenance
from qanat.core.secret import SecretBits


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveredKey:
    """One key that two applications now hold.

    Attributes:
        master, slave: Who asked first and who fetches it by ID.
        provenance: What its secrecy rests on; None when the KME is not qanat's and does not say.
    """

    key_id: KeyId
    master: SaeId
    slave: SaeId
    bits: SecretBits
    provenance: Provenance | None

    @property
    def digest(self) -> str:
        """See ``spoken_digest``."""
        return spoken_digest(self.bits)


def spoken_digest(bits: SecretBits) -> str:
    """What two people compare aloud: 16 hex digits of SHA-256, which tell nothing of a random key."""
    return hashlib.sha256(b"qanat key digest\n" + bits.reveal()).hexdigest()[:16]
