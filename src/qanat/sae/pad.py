"""Seal a file with a one-time pad: as many key bits as the file has, and 256 more for its tag.

The file: magic, header length (4 bytes, big-endian), header (JSON), ciphertext, 16-byte Wegman-Carter tag over all that
stands before it. The first 32 bytes of key make the tag, the rest are the pad. Neither rests on any cipher: who lacks
the key learns the length and nothing else, and alters it unnoticed with the probability of
``crypto.wegman_carter.forgery_bound``.
"""

from __future__ import annotations

import json
import os
import struct
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from qanat.core.errors import AuthenticationFailed, EnvironmentProblem, KeyUnavailable
from qanat.core.ids import KeyId, SaeId
from qanat.core.secret import SecretBits
from qanat.crypto.wegman_carter import AUTH_KEY_BYTES, AUTH_TAG_BYTES, BatchAuthenticator
from qanat.sae.answers import KmeStatus
from qanat.sae.files import reading, replacing
from qanat.sae.keys import DeliveredKey
from qanat.sae.seal import NotSealed, SealBroken

PAD_MAGIC = b"qanat one-time pad 1\n"
SIZE_BYTES_MAX = 64 * 2**20  # all in memory; a KME's store holds 2 MB by default
HEADER_BYTES_MAX = 16 * 2**20

KeysLookup = Callable[[SaeId, list[KeyId]], Sequence[DeliveredKey]]


class PadTooShort(KeyUnavailable):
    """A one-time pad needs as many key bits as the file has, and the KME holds fewer. No key was taken. Wait until
    it has more, seal a smaller file, or leave `--one-time-pad` out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PadHeader:
    """What a padded file says in clear; the tag covers it."""

    key_ids: tuple[KeyId, ...]
    master: SaeId
    slave: SaeId
    size_bytes: int
    provenance: tuple[str | None, ...]

    def encoded(self) -> bytes:
        fields = {
            "cipher": "one-time pad",
            "key_ids": [str(key_id) for key_id in self.key_ids],
            "master": self.master,
            "slave": self.slave,
            "size_bytes": self.size_bytes,
            "provenance": list(self.provenance),
        }
        return json.dumps(fields, sort_keys=True).encode()


def key_bits_for(size_bytes: int) -> int:
    """Key that a file costs.

    Example:
        >>> key_bits_for(1000)
        8256
    """
    return 8 * (size_bytes + AUTH_KEY_BYTES)


def requests_for(size_bytes: int, status: KmeStatus) -> list[tuple[int, int]]:
    """How to ask for the pad: (number, size in bits) of each request, within what the KME allows and holds.

    Raises:
        PadTooShort: it holds too little.
    """
    needed = key_bits_for(size_bytes)
    held = status.stored_key_count * status.key_size_bits
    if size_bytes > SIZE_BYTES_MAX:
        raise PadTooShort(f"The file has {size_bytes} bytes; at most {SIZE_BYTES_MAX} are padded at once.")
    size_bits = max(status.min_key_size_bits, min(status.max_key_size_bits, -(-needed // 8) * 8))
    count = -(-needed // size_bits)
    if count * size_bits > held:
        raise PadTooShort(f"The file needs {needed} bits of key, {held} are there.")
    per_request = status.max_key_per_request
    return [(min(per_request, count - done), size_bits) for done in range(0, count, per_request)]


def pad_file(src: str | os.PathLike[str], dst: str | os.PathLike[str], keys: Sequence[DeliveredKey]) -> PadHeader:
    """Write ``src`` under a one-time pad to ``dst``. The keys are wiped: a pad is used once.

    Raises:
        PadTooShort: the keys have too few bits.
        EnvironmentProblem: a file cannot be read or written.
    """
    with reading(src) as source:
        size_bytes = os.fstat(source.fileno()).st_size
        plain = source.read(size_bytes + 1)
    if len(plain) != size_bytes:
        raise EnvironmentProblem(f"{src} changed while it was read. Seal it when nobody writes to it.")
    header = PadHeader(
        key_ids=tuple(key.key_id for key in keys),
        master=keys[0].master,
        slave=keys[0].slave,
        size_bytes=size_bytes,
        provenance=_origins(keys),
    )
    tag_key, pad = _cut(keys, size_bytes)
    encoded = header.encoded()
    content = PAD_MAGIC + struct.pack(">I", len(encoded)) + encoded + pad.xor(SecretBits(plain))
    pad.wipe()
    authenticator = BatchAuthenticator(tag_key)
    authenticator.update(content)
    with replacing(dst) as target:
        target.write(content + authenticator.tag())
    return header


def open_padded(src: str | os.PathLike[str], dst: str | os.PathLike[str], lookup: KeysLookup) -> PadHeader:
    """Write the plaintext of a padded file to ``dst``, which appears only when the tag fits.

    Args:
        lookup: Called once, with the master SAE and all key IDs, when the file is known to be whole.

    Raises:
        NotSealed: no padded file, or cut short; no key was fetched.
        SealBroken: the tag does not match.
        EnvironmentProblem: a file cannot be read or written.
    """
    with reading(src) as source:
        content = source.read(SIZE_BYTES_MAX + HEADER_BYTES_MAX + 1024)
    header, start = _read_header(content, src)
    with replacing(dst, size_bytes=header.size_bytes) as target:
        keys = lookup(header.master, list(header.key_ids))
        try:
            tag_key, pad = _cut(keys, header.size_bytes)
        except PadTooShort:
            raise SealBroken(f"{src}: its keys are shorter than it.") from None
        authenticator = BatchAuthenticator(tag_key)
        authenticator.update(content[:-AUTH_TAG_BYTES])
        try:
            authenticator.verify(content[-AUTH_TAG_BYTES:])
        except AuthenticationFailed:
            pad.wipe()
            raise SealBroken(f"{src}: the authentication tag does not match.") from None
        target.write(pad.xor(SecretBits(content[start:-AUTH_TAG_BYTES])))
        pad.wipe()
    return header


def is_padded(src: str | os.PathLike[str]) -> bool:
    with reading(src) as source:
        return source.read(len(PAD_MAGIC)) == PAD_MAGIC


def read_pad_header(src: str | os.PathLike[str]) -> PadHeader:
    """What a padded file says in clear, not yet authenticated.

    Raises:
        NotSealed, EnvironmentProblem: as ``open_padded``.
    """
    with reading(src) as source:
        return _read_header(source.read(), src)[0]


def _cut(keys: Iterable[DeliveredKey], size_bytes: int) -> tuple[SecretBits, SecretBits]:
    """Tag key and pad, from the keys in order; the keys are wiped."""
    joined = bytearray()
    for key in keys:
        joined += key.bits.reveal()  # into one pad; wiped below
        key.bits.wipe()
    if len(joined) < AUTH_KEY_BYTES + size_bytes:
        raise PadTooShort(f"The file needs {key_bits_for(size_bytes)} bits of key, {8 * len(joined)} were given.")
    whole = SecretBits(joined)
    joined[:] = bytes(len(joined))
    tag_key, pad = whole.take(0, AUTH_KEY_BYTES), whole.take(AUTH_KEY_BYTES, size_bytes)
    whole.wipe()
    return tag_key, pad


def _origins(keys: Iterable[DeliveredKey]) -> tuple[str | None, ...]:
    """Each thing that the pad rests on, once."""
    found = (None if key.provenance is None else key.provenance.sentence() for key in keys)
    return tuple(dict.fromkeys(found))


def _read_header(content: bytes, name: str | os.PathLike[str]) -> tuple[PadHeader, int]:
    place = len(PAD_MAGIC)
    if not content.startswith(PAD_MAGIC) or len(content) < place + 4:
        raise NotSealed(f"{name} does not begin like a file under a one-time pad.")
    start = place + 4 + struct.unpack_from(">I", content, place)[0]
    encoded = content[place + 4 : start]
    try:
        header = _decoded(encoded)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise NotSealed(f"{name} has no usable header.") from None
    whole_bytes = start + header.size_bytes + AUTH_TAG_BYTES
    if len(content) != whole_bytes:
        raise NotSealed(f"{name} has {len(content)} bytes and should have {whole_bytes}.")
    return header, start


def _decoded(encoded: bytes) -> PadHeader:
    fields = json.loads(encoded)
    header = PadHeader(
        key_ids=tuple(uuid.UUID(text) for text in fields["key_ids"]),
        master=SaeId(fields["master"]),
        slave=SaeId(fields["slave"]),
        size_bytes=fields["size_bytes"],
        provenance=tuple(fields["provenance"]),
    )
    # One file has one spelling, as in ``seal.py``.
    if type(header.size_bytes) is not int or header.size_bytes < 0 or header.encoded() != encoded or not header.key_ids:
        raise ValueError("the header is not in its one spelling")
    return header
