"""What a TLS client offers in its first message: read, never changed, and only to say why it was refused.

OpenSSL judges the handshake. This reader is a bystander: whatever it does not understand is "unknown", and then OpenSSL
has the word alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

# A hello with a hybrid key share has some 1,800 bytes; a record has no more than this (RFC 8446, 5.1).
HELLO_BYTES_MAX = 5 + 16_384
HANDSHAKE, CLIENT_HELLO = 22, 1
SUPPORTED_GROUPS, SIGNATURE_ALGORITHMS, SUPPORTED_VERSIONS = 10, 13, 43  # RFC 8446, 4.2
TLS13 = 0x0304
NAMED_MAX = 6  # of what is offered, in a sentence
# IANA, TLS Supported Groups; those of 0x11xx with ML-KEM are hybrid (draft-ietf-tls-ecdhe-mlkem, -mlkem).
GROUPS = {
    23: "P-256", 24: "P-384", 25: "P-521", 29: "X25519", 30: "X448", 256: "ffdhe2048", 257: "ffdhe3072",
    258: "ffdhe4096", 0x0200: "MLKEM512", 0x0201: "MLKEM768", 0x0202: "MLKEM1024", 0x11EB: "SecP256r1MLKEM768",
    0x11EC: "X25519MLKEM768", 0x11ED: "SecP384r1MLKEM1024",
}  # fmt: skip
MLDSA_SCHEMES = {0x0904, 0x0905, 0x0906}  # draft-ietf-tls-mldsa: mldsa44, mldsa65, mldsa87


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A client's offer.

    Attributes:
        groups: IANA numbers of key exchanges.
        schemes: IANA numbers of signatures that it can verify.
    """

    groups: tuple[int, ...]
    schemes: tuple[int, ...]
    is_tls13: bool

    @property
    def is_hybrid(self) -> bool:
        return self.is_tls13 and any("MLKEM" in GROUPS.get(group, "") for group in self.groups)

    @property
    def has_mldsa(self) -> bool:
        return not MLDSA_SCHEMES.isdisjoint(self.schemes)

    def in_words(self) -> str:
        """Of bounded length, whatever the client sends.

        Example:
            >>> Offer(groups=(29, 23, 4711), schemes=(), is_tls13=True).in_words()
            'TLS 1.3, X25519, P-256 and 1 more'
        """
        named = [GROUPS[group] for group in dict.fromkeys(self.groups) if group in GROUPS][:NAMED_MAX]
        more = len(self.groups) - len(named)
        version = "TLS 1.3" if self.is_tls13 else "TLS 1.2 or older"
        return ", ".join([version, *named]) + (f" and {more} more" if more > 0 else "")


class FirstWords:
    """Gathers the first record of a connection.

    Attributes:
        offer: What it says; None when it is not whole yet or cannot be read.
    """

    def __init__(self) -> None:
        self._data: bytes | None = b""
        self.offer: Offer | None = None

    def take(self, data: bytes) -> bool:
        """Some bytes more; True with those that end the record."""
        if self._data is None:
            return False
        self._data += data
        if len(self._data) < 5 or len(self._data) < 5 + int.from_bytes(self._data[3:5]):
            if len(self._data) > HELLO_BYTES_MAX:
                self._data = None
            return False
        self.offer = offer_from_record(self._data)
        self._data = None
        return True


def offer_from_record(record: bytes) -> Offer | None:
    """The offer in one TLS record; None when that is not a whole ClientHello.

    Source: RFC 8446, 4.1.2 and 5.1. A hello that is spread over several records, which nobody sends, is not read.
    """
    try:
        reader = _Reader(record)
        if reader.number(1) != HANDSHAKE:
            return None
        reader.take(2)  # the record's version says nothing
        reader = _Reader(reader.vector(2))
        if reader.number(1) != CLIENT_HELLO:
            return None
        return _offer(_Reader(reader.vector(3)))
    except EOFError:
        return None


def _offer(hello: _Reader) -> Offer:
    hello.take(2 + 32)  # legacy version, random
    hello.vector(1)  # session
    hello.vector(2)  # cipher suites
    hello.vector(1)  # compression
    extensions = dict(_extensions(hello.vector(2))) if hello.is_more else {}
    versions = _Reader(extensions.get(SUPPORTED_VERSIONS, b"\0")).vector(1)
    return Offer(
        groups=_numbers(extensions.get(SUPPORTED_GROUPS)),
        schemes=_numbers(extensions.get(SIGNATURE_ALGORITHMS)),
        is_tls13=TLS13 in (int.from_bytes(versions[at : at + 2]) for at in range(0, len(versions), 2)),
    )


def _extensions(data: bytes) -> Iterator[tuple[int, bytes]]:
    reader = _Reader(data)
    while reader.is_more:
        yield reader.number(2), reader.vector(2)


def _numbers(extension: bytes | None) -> tuple[int, ...]:
    """A list of numbers of two bytes each."""
    data = b"" if extension is None else _Reader(extension).vector(2)
    return tuple(int.from_bytes(data[at : at + 2]) for at in range(0, len(data), 2))


class _Reader:
    """Takes bytes from the front. Raises: EOFError."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def is_more(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        found = self._data[self._at : self._at + size]
        if len(found) < size:
            raise EOFError
        self._at += size
        return found

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def vector(self, size: int) -> bytes:
        """Bytes after their length, which has ``size`` bytes itself."""
        return self.take(self.number(size))
