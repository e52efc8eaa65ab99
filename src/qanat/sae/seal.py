"""Seal a file with a delivered key (AES-256-GCM), so that only the other application can open it.

A sealed file is: magic, header length (4 bytes, big-endian), header (JSON), chunks. Each chunk is up to 64 KiB
of plaintext and its 16-byte tag. Chunk number and "this is the last one" are the nonce, so chunks cannot be
swapped, dropped or added (the STREAM construction: Hoang, Reyhanitabar, Rogaway, Vizar, CRYPTO 2015). The header
is associated data of every chunk.

The file key is HKDF-SHA256 of the delivered key with a random salt, so that two files sealed by mistake with
one key still never share a nonce.
"""

from __future__ import annotations

import json
import os
import struct
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from qanat.core.errors import EnvironmentProblem, QanatError
from qanat.core.ids import KeyId, SaeId
from qanat.sae.files import reading, replacing
from qanat.sae.keys import DeliveredKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"qanat sealed file 2\n"
CHUNK_BYTES = 65_536
TAG_BYTES = 16
HEADER_BYTES_MAX = 4_096
KEY_BITS_MIN = 256

KeyLookup = Callable[[SaeId, KeyId], DeliveredKey]


class SealBroken(QanatError):
    """The sealed file was changed, cut short, or sealed with another key. Nothing of it was written. Get it again
    from its sender; the key is spent, so the sender seals it with a new one."""


class NotSealed(QanatError):
    """This is not a whole sealed file. No key was fetched for it. Check the name, or get it again from its
    sender."""


class KeyTooShort(QanatError):
    """AES-256 needs a key of at least 256 bits. Ask the KME for a longer one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealHeader:
    """What a sealed file says in clear; all of it is authenticated once the key is there.

    Attributes:
        master, slave: The SAE that sealed it and the SAE it is for.
        size_bytes: Of the plaintext; it gives a cut file away before a key is spent on it.
        provenance: What the key's secrecy rests on, in words; None when its KME does not say.
    """

    key_id: KeyId
    master: SaeId
    slave: SaeId
    size_bytes: int
    salt: bytes
    provenance: str | None

    def encoded(self) -> bytes:
        fields = {
            "cipher": "AES-256-GCM",
            "chunk_bytes": CHUNK_BYTES,
            "key_id": str(self.key_id),
            "master": self.master,
            "slave": self.slave,
            "size_bytes": self.size_bytes,
            "salt": self.salt.hex(),
            "provenance": self.provenance,
        }
        return json.dumps(fields, sort_keys=True).encode()


def seal_file(src: str | os.PathLike[str], dst: str | os.PathLike[str], key: DeliveredKey) -> SealHeader:
    """Write ``src`` sealed to ``dst``, streaming. ``dst`` is replaced, and only when all is well.

    Raises:
        KeyTooShort: the key has under 256 bits.
        EnvironmentProblem: a file cannot be read or written, or ``src`` changed meanwhile.
    """
    with reading(src) as source, replacing(dst) as target:
        size_bytes = os.fstat(source.fileno()).st_size
        header = SealHeader(
            key_id=key.key_id,
            master=key.master,
            slave=key.slave,
            size_bytes=size_bytes,
            salt=os.urandom(32),
            provenance=None if key.provenance is None else key.provenance.sentence(),
        )
        encoded = header.encoded()
        cipher = _cipher(key, header)
        target.write(MAGIC + struct.pack(">I", len(encoded)) + encoded)
        for index, (size, is_last) in enumerate(_chunk_sizes(size_bytes)):
            chunk = source.read(size)
            if len(chunk) != size:
                raise EnvironmentProblem(f"{src} became shorter while it was read. Seal it when nobody writes to it.")
            target.write(cipher.encrypt(_nonce(index, is_last), chunk, encoded))
        if source.read(1):
            raise EnvironmentProblem(f"{src} became longer while it was read. Seal it when nobody writes to it.")
    return header


def open_file(src: str | os.PathLike[str], dst: str | os.PathLike[str], key_lookup: KeyLookup) -> SealHeader:
    """Write the plaintext of a sealed file to ``dst``, streaming. ``dst`` appears only when all is well.

    Args:
        key_lookup: Called once, with the master SAE and the key ID, as soon as the file is known to be whole.

    Raises:
        NotSealed: no sealed file, or cut short; ``key_lookup`` was not called.
        SealBroken: a tag does not match.
        EnvironmentProblem: a file cannot be read or written.
    """
    from cryptography.exceptions import InvalidTag

    with reading(src) as source:
        header, encoded = _read_header(source, src)
        with replacing(dst, size_bytes=header.size_bytes) as target:  # before a key is spent on what cannot be written
            key = key_lookup(header.master, header.key_id)
            if key.key_id != header.key_id:
                raise SealBroken(f"{src} asks for key {header.key_id}, the key given is {key.key_id}.")
            cipher = _cipher(key, header)
            for index, (size, is_last) in enumerate(_chunk_sizes(header.size_bytes)):
                try:
                    target.write(cipher.decrypt(_nonce(index, is_last), source.read(size + TAG_BYTES), encoded))
                except InvalidTag:
                    raise SealBroken(f"{src}, chunk {index}: the authentication tag does not match.") from None
    return header


def read_header(src: str | os.PathLike[str]) -> SealHeader:
    """What a sealed file says in clear, not yet authenticated.

    Raises:
        NotSealed, EnvironmentProblem: as ``open_file``.
    """
    with reading(src) as source:
        return _read_header(source, src)[0]


def _read_header(source: BinaryIO, name: str | os.PathLike[str]) -> tuple[SealHeader, bytes]:
    if source.read(len(MAGIC)) != MAGIC:
        raise NotSealed(f"{name} does not begin like a sealed file.")
    length = source.read(4)
    length_bytes = struct.unpack(">I", length)[0] if len(length) == 4 else 0
    if not 0 < length_bytes <= HEADER_BYTES_MAX:
        raise NotSealed(f"{name} has no usable header.")
    encoded = source.read(length_bytes)
    try:
        header = _decoded(encoded)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NotSealed(f"{name} has no usable header.") from None
    whole_bytes = source.tell() + header.size_bytes + TAG_BYTES * _chunk_count(header.size_bytes)
    found_bytes = os.fstat(source.fileno()).st_size
    if found_bytes != whole_bytes:
        raise NotSealed(f"{name} has {found_bytes} bytes and should have {whole_bytes}.")
    return header, encoded


def _decoded(encoded: bytes) -> SealHeader:
    fields = json.loads(encoded)
    if not isinstance(fields["master"], str) or not isinstance(fields["slave"], str):
        raise TypeError("SAE IDs are strings")
    header = SealHeader(
        key_id=uuid.UUID(fields["key_id"]),
        master=SaeId(fields["master"]),
        slave=SaeId(fields["slave"]),
        size_bytes=fields["size_bytes"],
        salt=bytes.fromhex(fields["salt"]),
        provenance=fields["provenance"],
    )
    if not isinstance(header.provenance, str | None):
        raise TypeError("provenance is a sentence or null")
    # One file has one spelling: what we would have written. That also checks types, cipher and chunk size.
    if type(header.size_bytes) is not int or header.size_bytes < 0 or header.encoded() != encoded:
        raise ValueError("the header is not in its one spelling")
    return header


def _cipher(key: DeliveredKey, header: SealHeader) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    if key.bits.size_bits < KEY_BITS_MIN:
        raise KeyTooShort(f"Key {key.key_id} has {key.bits.size_bits} bits.")
    # The delivered key leaves its box only into HKDF.
    derived = HKDF(SHA256(), length=32, salt=header.salt, info=MAGIC).derive(key.bits.reveal())
    return AESGCM(derived)


def _chunk_sizes(size_bytes: int) -> Iterator[tuple[int, bool]]:
    """(size, is it the last) of each chunk; an empty file is one empty chunk.

    Example:
        >>> list(_chunk_sizes(65_537)), list(_chunk_sizes(0))
        ([(65536, False), (1, True)], [(0, True)])
    """
    count = _chunk_count(size_bytes)
    for _ in range(count - 1):
        yield CHUNK_BYTES, False
    yield size_bytes - (count - 1) * CHUNK_BYTES, True


def _chunk_count(size_bytes: int) -> int:
    return max(1, -(-size_bytes // CHUNK_BYTES))


def _nonce(index: int, is_last: bool) -> bytes:
    return index.to_bytes(11) + bytes([is_last])
