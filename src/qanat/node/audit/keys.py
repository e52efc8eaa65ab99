"""The two keys of one KME's audit: one signs the checkpoints, one hashes key IDs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qanat.core.ports import Entropy
from qanat.crypto.signature import SigningKey
from qanat.node.privatefile import create_private, private_folder

CONTEXT = b"qanat audit checkpoint"
HASH_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class AuditKeys:
    """``key_id_key`` opens the pseudonyms of key IDs, no key."""

    signing: SigningKey
    key_id_key: bytes

    def __repr__(self) -> str:
        return f"<AuditKeys of {self.signing.verifying_key.fingerprint.hex()[:16]}>"


def provide_keys(folder: Path, entropy: Entropy) -> AuditKeys:
    """The keys in this folder; drawn at the first start.

    Raises:
        EnvironmentProblem: they cannot be read or made.
    """
    private_folder(folder)
    signing, public, hashing = folder / "signing.pem", folder / "signing.pub", folder / "key-id.key"
    if not signing.exists():
        create_private(signing, SigningKey.drawn(entropy).pem())
    key = SigningKey.from_pem(signing.read_bytes())
    if not public.exists():
        create_private(public, key.verifying_key.pem())
    if not hashing.exists():
        create_private(hashing, entropy.random_bytes(HASH_KEY_BYTES))
    return AuditKeys(key, hashing.read_bytes())


def signed_words(kme_id: str, n: int, at_ns: int, prev: str) -> bytes:
    """What a checkpoint signs: whose audit, its own number and time, and the hash of all before it."""
    return f"{kme_id}\n{n}\n{at_ns}\n{prev}".encode()
