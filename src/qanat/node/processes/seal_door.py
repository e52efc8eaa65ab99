"""The operator's door of one KME: how it is unsealed, and its KEK changed. A Unix socket that only its owner opens.

One JSON object in, one out. A share or a PIN comes in through it and is never logged or repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from qanat.core.errors import QanatError
from qanat.core.ids import SiteId
from qanat.core.malformed import MALFORMED
from qanat.node.sealing import AnySealing
from qanat.node.wire import frames, write_frame


class SealRequest(msgspec.Struct, frozen=True):
    """``verb`` is "state", "unseal" or "rotate"; ``share`` a share, or the PIN of a token."""

    verb: str
    share: str = ""

    def __repr__(self) -> str:
        return f"<SealRequest {self.verb}>"


class SealReply(msgspec.Struct, frozen=True):
    is_sealed: bool = False
    missing: int = 0
    label: str = ""
    rewrapped: int = 0
    problem: str = ""
    asks: str = ""
    error: str = ""
    exit_code: int = 0


_requests = msgspec.json.Decoder(SealRequest)


def seal_socket(site: SiteId) -> str:
    return f"seal-{site}"


class SealDoor:
    """Answers an operator. ``opened`` is set when no share is missing any more."""

    def __init__(self, sealing: AnySealing, rotate: Callable[[str], Awaitable[int]]) -> None:
        self._sealing = sealing
        self._rotate = rotate
        self._one_unseal = asyncio.Lock()
        self.opened = asyncio.Event()
        if not sealing.is_sealed:
            self.opened.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for frame in frames(reader):
            try:
                reply = await self.answer(_requests.decode(frame))
            except MALFORMED:
                reply = SealReply(error="the request cannot be read", exit_code=2)
            write_frame(writer, msgspec.json.encode(reply))
            await writer.drain()

    async def answer(self, request: SealRequest) -> SealReply:
        """Do what an operator asks, whichever way the question came."""
        rewrapped = 0
        try:
            if request.verb == "unseal":
                await self._unseal(request.share)
            elif request.verb == "rotate":
                rewrapped = await self._rotate(request.share)
        except QanatError as error:
            return SealReply(error=str(error), exit_code=error.exit_code)
        if not self._sealing.is_sealed:
            self.opened.set()
        sealing = self._sealing
        return SealReply(
            sealing.is_sealed, sealing.missing, sealing.file.label, rewrapped, sealing.problem, sealing.asks
        )

    async def _unseal(self, share: str) -> None:
        async with self._one_unseal:  # in a thread, since a token takes its time
            await asyncio.to_thread(self._sealing.add, share)
