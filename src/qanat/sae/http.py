"""HTTP/1.1 as bytes: one request out, one answer in. No sockets here, so both clients share it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import httptools

from qanat.sae.errors import KmeSpokeNonsense

ANSWER_BYTES_MAX = 16 * 2**20
HEAD_BYTES_MAX = 65_536


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. The body may hold keys, so it has no repr."""

    status_code: int
    headers: Mapping[str, str]
    body: bytes
    is_last: bool = False  # the KME closes the connection after it

    def __repr__(self) -> str:
        return f"<Answer {self.status_code}, {len(self.body)} bytes>"


def request_bytes(verb: str, host: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
    """One whole request.

    Raises:
        ValueError: a line break where none may be; nobody may smuggle a second request into ours.
    """
    lines = {"Host": host, "Accept": "application/json", **headers}
    if body is not None:
        lines |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    head = [f"{verb} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items())]
    if any(not line.isprintable() for line in head):
        raise ValueError("a request's head holds printable characters only")
    return ("\r\n".join(head) + "\r\n\r\n").encode("ascii") + (body or b"")


class AnswerReader:
    """Reads one answer, however it is cut into pieces.

    Example:
        >>> reader = AnswerReader("kme:443")
        >>> reader.feed(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{")
        >>> reader.feed(b"}").body
        b'{}'
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._is_whole = False
        self._bytes_seen = 0
        self._has_head = False

    def feed(self, data: bytes) -> Answer | None:
        """The answer once it is whole, else None.

        Raises:
            KmeSpokeNonsense: this is not HTTP, or far too much of it.
        """
        self._bytes_seen += len(data)
        if self._bytes_seen > (ANSWER_BYTES_MAX if self._has_head else ANSWER_BYTES_MAX + HEAD_BYTES_MAX):
            raise KmeSpokeNonsense(f"{self._address} answered with more than {ANSWER_BYTES_MAX} bytes.")
        if not self._has_head and self._bytes_seen > HEAD_BYTES_MAX and b"\r\n\r\n" not in data:
            raise KmeSpokeNonsense(f"{self._address} answered with a head of more than {HEAD_BYTES_MAX} bytes.")
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:  # we ask for no other protocol
            raise KmeSpokeNonsense(f"{self._address} does not speak HTTP ({type(error).__name__}).") from None
        if not self._is_whole:
            return None
        return Answer(self._parser.get_status_code(), self._headers, bytes(self._body), not self._keeps_open)

    # What httptools calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._has_head = True

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        self._is_whole = True
        self._keeps_open = self._parser.should_keep_alive()
