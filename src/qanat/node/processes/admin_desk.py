"""What the operators' HTTPS door of one KME asks: the KME itself, its seal, and the hub of its network."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from qanat.core.errors import RemoteProtocolError
from qanat.core.ids import SiteId
from qanat.km.documents import KeyDeliveryError
from qanat.node.api.admin import Arguments, refusal
from qanat.node.audit.entry import Value
from qanat.node.audit.trail import Trail
from qanat.node.messages import HUB, AdminReply, AdminRequest
from qanat.node.processes.seal_door import SealDoor, SealReply, SealRequest
from qanat.node.processes.writer_thread import StoreFailed, WriterThread
from qanat.node.sealing import AnySealing
from qanat.node.wire import close, read_frame, write_frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """``api.admin.AdminDesk`` of a live KME.

    Attributes:
        hub: Path of the hub's socket.
    """

    site: SiteId
    thread: WriterThread
    trail: Trail
    sealing: AnySealing
    seal_door: SealDoor
    hub: str

    async def note(self, operator: str, what: str, facts: Mapping[str, str]) -> None:
        """A sealed KME has no store to write with: then it waits in memory for the first group, as the seal does. A
        share that came in and was forgotten with the process has opened nothing."""
        row: dict[str, Value] = {"operator": operator, "what": what, "with": [f"{k}={v}" for k, v in facts.items()]}
        if self.sealing.is_sealed:
            if not self.trail.greet(("admin", row | {"asked_ns": time.time_ns()})):
                raise refusal("this KME is sealed and cannot write more of these calls down; unseal it first", 3)
            return
        try:
            await self.thread.call(lambda _kme, _now_ns: self.trail.note(("admin", row)))
        except StoreFailed as error:
            raise refusal(f"nothing was done, since it could not be written down: {error.detail}", 3) from None

    async def state(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "site": self.site,
            "is_sealed": self.sealing.is_sealed,
            "guarded_by": self.sealing.file.guardian,
        }
        if self.sealing.is_sealed:
            return found | {
                "missing": self.sealing.missing,
                "problem": self.sealing.problem,
                "asks": self.sealing.asks,
                "report": None,
            }
        try:
            report = await self.thread.call(lambda kme, now_ns: kme.report(now_ns))
        except StoreFailed as error:
            raise refusal(f"the key store cannot be written: {error.detail}", 3) from None
        guard, audit = self.sealing.file.label, self.trail.counts()
        return found | {
            "missing": 0,
            "guard": guard,
            "audit": audit,
            "report": msgspec.to_builtins(report, str_keys=True),
        }

    async def unseal(self, share: str) -> dict[str, Any]:
        return await self._seal(SealRequest("unseal", share))

    async def rotate(self) -> dict[str, Any]:
        return await self._seal(SealRequest("rotate"))

    async def _seal(self, request: SealRequest) -> dict[str, Any]:
        reply: SealReply = await self.seal_door.answer(request)
        if reply.error:
            raise refusal(reply.error, reply.exit_code)
        return dict(msgspec.to_builtins(reply))

    async def network(self, verb: str, arguments: Arguments) -> Any:
        try:
            reader, writer = await asyncio.open_unix_connection(self.hub)
            try:
                write_frame(writer, HUB.encode(AdminRequest(verb, dict(arguments))))
                frame = await read_frame(reader)
            finally:
                await close(writer)
            reply = HUB.decode(frame or b"")
        except (OSError, RemoteProtocolError):
            raise refusal("the hub of this KME's network does not answer; it may still be starting", 3) from None
        if not isinstance(reply, AdminReply):
            raise KeyDeliveryError(503, "the hub answered something else")
        if reply.error is not None:
            raise refusal(reply.error, reply.exit_code)
        return reply.data
