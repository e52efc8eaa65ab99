"""How every store on a disk seals a piece: bits under a data key of their own, the data key under the KEK."""

from __future__ import annotations

from qanat.core.ids import BlockId
from qanat.core.ports import Entropy
from qanat.core.secret import SecretBits
from qanat.crypto.at_rest import SealBroken, new_data_key, open_sealed, seal


def sealed_piece(kek: bytes, piece: BlockId, bits: SecretBits, entropy: Entropy) -> tuple[bytes, bytes]:
    """The wrapped data key, and the sealed bits. Raises: EntropyFailed."""
    name, data_key = piece.encode(), new_data_key(entropy)
    sealed = seal(data_key, bits.reveal(), b"bits/" + name, entropy)  # to the disk, under its data key
    return seal(kek, data_key, b"data key/" + name, entropy), sealed


def opened_piece(kek: bytes, piece: BlockId, wrapped: bytes, sealed: bytes) -> SecretBits:
    """The bits; the caller owns them. Raises: SealBroken."""
    name = piece.encode()
    data_key = open_sealed(kek, wrapped, b"data key/" + name)
    return SecretBits(open_sealed(data_key, sealed, b"bits/" + name))


def rewrapped(old: bytes, new: bytes, name: str, wrapped: bytes, entropy: Entropy) -> bytes:
    """A data key under another KEK. Raises: SealBroken."""
    aad = b"data key/" + name.encode()
    return seal(new, open_sealed(old, wrapped, aad), aad, entropy)


def kek_probe(kek: bytes, entropy: Entropy) -> bytes:
    """Something to recognise a KEK by, without telling it."""
    return seal(kek, b"qanat", b"kek", entropy)


def fits_probe(kek: bytes, probe: bytes) -> bool:
    try:
        open_sealed(kek, probe, b"kek")
    except SealBroken:
        return False
    return True
