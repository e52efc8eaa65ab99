"""The JSON objects of SKIP (draft-cisco-skip-02), and the system IDs by which two key providers know each other.

The only file that knows SKIP's spellings. Values are hexadecimal. A system ID stands for one application at one KME:
SKIP's requests name the remote key provider, ours must know which application there may have the key. The encryptor
learns its own from ``/capabilities`` and tells it to its peer (in IKEv2 by USE_PPK_INT or the notify of RFC 8784), so
it needs no configuration.
"""

from __future__ import annotations

import hashlib
import uuid

import msgspec

from qanat.core.ids import KeyId, SaeId
from qanat.core.secret import SecretBits
from qanat.core.topology import Network
from qanat.km.documents import KeyContainer, KeyDeliveryError

KEY_BITS_DEFAULT = 256  # section 4.2: the size when none is asked for
ENTROPY_BITS_DEFAULT, ENTROPY_BITS_MAX = 256, 4096
ALGORITHM = "qanat QKD key relay: decoy-state BB84, one-time pad"  # at least 16 bytes
GLOB_CHARACTERS = "*?["
ID_HEX_DIGITS = 24


class Capabilities(
    msgspec.Struct,
    kw_only=True,
    frozen=True,
    rename={"local_system_id": "localSystemID", "remote_system_ids": "remoteSystemID"},
):
    """What this key provider does for the caller; ``remote_system_ids`` are globs."""

    entropy: bool = True
    key: bool = True
    algorithm: str = ALGORITHM
    local_system_id: str
    remote_system_ids: list[str]


class SkipKey(msgspec.Struct, kw_only=True, frozen=True, rename={"key_id": "keyId"}):
    """One key; its bits become hexadecimal only in ``encode``."""

    key_id: str
    key: SecretBits


class RandomString(msgspec.Struct, kw_only=True, frozen=True, rename={"random": "randomStr"}):
    """Entropy for the caller's own use."""

    random: SecretBits
    minentropy: int


def encode(document: Capabilities | SkipKey | RandomString) -> bytes:
    """The JSON body of an answer."""
    return _ENCODER.encode(document)


def _encode_secret(value: object) -> str:
    if isinstance(value, SecretBits):
        return value.reveal().hex()  # the application asked for it: here it leaves
    raise TypeError(f"{type(value).__name__} has no place in a SKIP object")


_ENCODER = msgspec.json.Encoder(enc_hook=_encode_secret)


def system_id(network: Network, sae: SaeId) -> str:
    """The name of an application's key provider, at least 32 bytes as the draft wants.

    The digest makes it long and different from that of the same application in another network.
    """
    digest = hashlib.sha256(f"{network.name}/{sae}".encode()).hexdigest()[:ID_HEX_DIGITS]
    return f"qanat:{sae}:{digest}"


def capabilities(network: Network, caller: SaeId) -> Capabilities:
    """What the caller may ask for: one remote system per application that it may share keys with."""
    partners = [sae for sae in network.saes if sae != caller and network.may_pair(caller, sae)]
    return Capabilities(
        local_system_id=system_id(network, caller),
        remote_system_ids=[_as_glob(system_id(network, sae)) for sae in partners],
    )


def _as_glob(name: str) -> str:
    """A glob that matches this name and no other."""
    return "".join(f"[{letter}]" if letter in GLOB_CHARACTERS else letter for letter in name)


def partner_of(network: Network, caller: SaeId, remote: str) -> SaeId:
    """The application behind a remote system ID.

    Raises:
        KeyDeliveryError: 400. The same for an unknown name and for one that the caller may not pair with.
    """
    for sae in network.saes:
        if sae != caller and remote == system_id(network, sae) and network.may_pair(caller, sae):
            return sae
    raise KeyDeliveryError(400, "remoteSystemID is none of those in /capabilities")


def key_id_from_hex(text: str) -> KeyId:
    """A keyId as we give it: 128 bits in hexadecimal.

    Raises:
        KeyDeliveryError: 400.
    """
    if len(text) == 32 and text.isascii() and text.isalnum():
        try:
            return uuid.UUID(hex=text)
        except ValueError:
            pass
    raise KeyDeliveryError(400, "keyId shall be 32 hexadecimal digits")


def first_key(container: KeyContainer) -> SkipKey:
    """SKIP hands out one key at a time."""
    key = container.keys[0]
    return SkipKey(key_id=key.key_id.hex, key=key.key)
