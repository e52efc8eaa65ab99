"""A transport that sends the head of an answer together with its body.

uvicorn writes them one after the other; each write is a TLS record and a call of the kernel, a tenth of what an
answer costs.
"""

from __future__ import annotations

import asyncio
from typing import Any


class JoinedWrites(asyncio.Transport):
    """What is written first waits for the next write, at most until this turn of the loop is over."""

    def __init__(self, inner: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._inner, self._loop = inner, loop
        self._held = b""
        # Asked for at every request:
        self.is_closing = inner.is_closing  # type: ignore[method-assign]
        self.get_extra_info = inner.get_extra_info  # type: ignore[method-assign]
        self.pause_reading = inner.pause_reading  # type: ignore[method-assign]
        self.resume_reading = inner.resume_reading  # type: ignore[method-assign]

    def write(self, data: Any) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._inner.write(held + data)
        else:
            self._held = bytes(data)
            self._loop.call_soon(self._send_held)

    def _send_held(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._inner.write(held)

    def close(self) -> None:
        self._send_held()
        self._inner.close()

    def abort(self) -> None:
        self._held = b""
        self._inner.abort()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._inner.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._inner.get_protocol()
