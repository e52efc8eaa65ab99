"""What stands between a browser and the page: which names it may be called by, and what a browser may do with it.

The page listens on loopback and asks for no password. So the danger is another web page in the same
browser: by DNS rebinding it could read ours under its own name. The Host header tells (names we were not
given are refused), and the other headers keep our page from being framed, sniffed or made to load anything.
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)

HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",  # for browsers that do not know frame-ancestors
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), usb=()",
}


def name_from_host(host: str) -> str:
    """The Host header without its port, lower case.

    Example:
        >>> [name_from_host(host) for host in ("LOCALHOST:8000", "[::1]:80", "127.0.0.1")]
        ['localhost', '[::1]', '127.0.0.1']
    """
    host = host.strip().lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


class Guard:
    """ASGI middleware: refuses foreign Host names and adds the strict headers to every answer."""

    def __init__(self, app: ASGIApp, host_names: Collection[str] = LOCAL_NAMES) -> None:
        self._app = app
        self._host_names = frozenset(name.lower() for name in host_names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        name = name_from_host(Headers(scope=scope).get("host", ""))
        answer = self._app if name in self._host_names else _refusal(name)
        await answer(scope, receive, send_guarded)


def _refusal(name: str) -> ASGIApp:
    return PlainTextResponse(
        f"This page is not served under the name {name[:100]!r}. Use localhost or 127.0.0.1, or allow the name "
        "where the page is configured.\n",
        status_code=421,  # Misdirected Request, RFC 9110 clause 15.5.20
    )
