"""The operator's door of one KME: how it is unsealed, and its KEK changed. A Unix socket that only its owner opens.

One JSON object in, one out. A share comes in through it and is never logged, repeated or passed on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from qanat.core.errors import QanatError
from qanat.core.ids import SiteId
from qanat.node.sealing import Sealing
from qanat.node.wire import frames, write_frame


class SealRequest(msgspec.Struct, frozen=True):
    """``verb`` is "state", "unseal" or "rotate"."""

    verb: str
    share: str = ""

    def __repr__(self) -> str:
        return f"<SealRequest {self.verb}>"


class SealReply(msgspec.Struct, frozen=True):
    is_sealed: bool = False
    missing: int = 0
    label: str = ""
    rewrapped: int = 0
    error: str = ""
    exit_code: int = 0


_requests = msgspec.json.Decoder(SealRequest)


def seal_socket(site: SiteId) -> str:
    return f"seal-{site}"


class SealDoor:
    """Answers an operator. ``opened`` is set when no share is missing any more."""

    def __init__(self, sealing: Sealing, rotate: Callable[[], Awaitable[int]]) -> None:
        self._sealing = sealing
        self._rotate = rotate
        self.opened = asyncio.Event()
        if not sealing.is_sealed:
            self.opened.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for frame in frames(reader):
            try:
                reply = await self.answer(_requests.decode(frame))
            except msgspec.DecodeError:
                reply = SealReply(error="the request cannot be read", exit_code=2)
            write_frame(writer, msgspec.json.encode(reply))
            await writer.drain()

    async def answer(self, request: SealRequest) -> SealReply:
        """Do what an operator asks, whichever way the question came."""
        rewrapped = 0
        try:
            if request.verb == "unseal":
                self._sealing.add(request.share)
            elif request.verb == "rotate":
                rewrapped = await self._rotate()
        except QanatError as error:
            return SealReply(error=str(error), exit_code=error.exit_code)
        if not self._sealing.is_sealed:
            self.opened.set()
        return SealReply(self._sealing.is_sealed, self._sealing.missing, self._sealing.file.label, rewrapped)
