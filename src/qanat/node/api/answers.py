"""One answer of a key delivery interface, as an ASGI application. It does the least that an answer needs: the same few
headers each time, a body whose length is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

JSON = b"application/json"
NO_STORE = (b"cache-control", b"no-store")  # a key in a cache would be a second copy of it


class Answer:
    """Status code, body and headers beside those that every answer has."""

    __slots__ = ("body", "headers", "media_type", "status_code")

    def __init__(
        self, status_code: int, body: bytes, headers: dict[str, str] | None = None, media_type: bytes = JSON
    ) -> None:
        self.status_code, self.body = status_code, body
        self.headers = headers or {}
        self.media_type = media_type

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        # RFC 9110, 8.6: "A server MUST NOT send a Content-Length header field in any response with a status code of
        # 1xx (Informational) or 204 (No Content)."
        size = [] if self.status_code == 204 else [(b"content-length", b"%d" % len(self.body))]
        more = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()]
        kind = [(b"content-type", self.media_type)] if self.body else []
        headers = [*kind, NO_STORE, *size, *more]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})
