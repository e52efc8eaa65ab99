"""What the doors of one KME ask its engine: ETSI 014 and SKIP, 004, 020. Each answer is durable when it returns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from qanat.core.ids import KeyId, SaeId
from qanat.km.documents import KeyContainer, KeyDeliveryError, KeyRequest, Status
from qanat.km.interwork.documents import AckContainer, InterworkError, Transfer, VoidBody
from qanat.km.kme import Kme
from qanat.km.stream_types import Chunk, StreamOpened, StreamQos, StreamRefused, StreamStatus
from qanat.node.processes.writer_thread import WriterThread
from qanat.node.sealing import AnySealing

# A slave may ask before the master's grant has crossed the network: wait for it this long, looking this often.
GRANT_WAIT_S = 0.5
GRANT_LOOK_S = 0.02


class Gateway:
    """The KME behind its interfaces. Raises what each interface turns into its own kind of answer."""

    def __init__(self, thread: WriterThread, sealing: AnySealing) -> None:
        self.thread, self._sealing = thread, sealing

    def check_seal(self) -> None:
        """Raises: KeyDeliveryError."""
        if self._sealing.is_sealed:
            raise KeyDeliveryError(503, f"this KME is sealed: {self._sealing.waiting}")

    # --- ETSI GS QKD 014, and SKIP

    async def status(self, caller: SaeId, slave: SaeId) -> Status:
        self.check_seal()
        return await self.thread.call(lambda kme, now_ns: kme.status(caller, slave, now_ns))

    async def enc_keys(self, caller: SaeId, slave: SaeId, request: KeyRequest) -> KeyContainer:
        self.check_seal()
        return await self.thread.call(lambda kme, now_ns: kme.enc_keys(caller, slave, request, now_ns))

    async def dec_keys(self, caller: SaeId, master: SaeId, key_ids: Sequence[KeyId]) -> KeyContainer:
        self.check_seal()
        patience = int(GRANT_WAIT_S / GRANT_LOOK_S)
        while True:
            try:
                return await self.thread.call(lambda kme, now_ns: kme.dec_keys(caller, master, key_ids, now_ns))
            except KeyDeliveryError as error:
                if not error.grant_pending or patience == 0:
                    raise
            patience -= 1
            await asyncio.sleep(GRANT_LOOK_S)

    # --- ETSI GS QKD 004

    async def open_stream(self, caller: SaeId, other: SaeId, qos: StreamQos, stream: KeyId | None) -> StreamOpened:
        opened = await self.thread.call(lambda kme, now_ns: kme.open_stream(caller, other, qos, stream, now_ns))
        if stream is None:
            return opened  # the other application cannot know the name yet
        patience_s = opened.qos.timeout_ms / 1000
        while opened.status is not StreamStatus.OK and patience_s > 0:
            await asyncio.sleep(GRANT_LOOK_S)
            patience_s -= GRANT_LOOK_S
            if await self.thread.call(lambda kme, _now_ns: kme.has_both_ends(opened.stream)):
                return msgspec.structs.replace(opened, status=StreamStatus.OK)
        return opened

    async def get_chunk(self, caller: SaeId, stream: KeyId, index: int | None, metadata_bytes: int) -> Chunk:
        begin_s = time.monotonic()
        while True:
            found = await self.thread.call(
                lambda kme, now_ns: kme.get_chunk(caller, stream, index, metadata_bytes, now_ns)
            )
            if isinstance(found, Chunk):
                return found
            if not found.is_pending or found.timeout_ms == 0:
                raise found
            if time.monotonic() - begin_s > found.timeout_ms / 1000:
                raise StreamRefused(StreamStatus.TIMEOUT, f"no chunk within {found.timeout_ms} ms") from found
            await asyncio.sleep(GRANT_LOOK_S)

    async def start_push(self, caller: SaeId, stream: KeyId, index: int) -> None:
        """Waits for the other application as long as the stream's quality says. Raises: StreamRefused."""
        begin_s = time.monotonic()
        while refused := await self.thread.call(lambda kme, _now_ns: kme.start_push(caller, stream, index)):
            if not refused.is_pending or time.monotonic() - begin_s > refused.timeout_ms / 1000:
                raise refused
            await asyncio.sleep(GRANT_LOOK_S)

    async def close_stream(self, caller: SaeId, stream: KeyId) -> None:
        await self.thread.call(lambda kme, _now_ns: kme.close_stream(caller, stream))

    # --- ETSI GS QKD 020

    async def take_transfer(self, partner: str, transfer: Transfer) -> None:
        self._check_border_seal()
        await self.thread.call(lambda kme, now_ns: kme.border.on_ext_keys(partner, transfer, now_ns))

    async def take_void(self, partner: str, void: VoidBody) -> None:
        self._check_border_seal()
        await self.thread.call(lambda kme, _now_ns: kme.border.on_void(partner, void))

    async def take_acks(self, partner: str, containers: list[AckContainer]) -> None:
        self._check_border_seal()
        await self.thread.call(lambda kme, _now_ns: kme.border.on_acks(partner, containers))

    def _check_border_seal(self) -> None:
        if self._sealing.is_sealed:
            raise InterworkError(503, "unavailable", "this KME is sealed")

    # --- what no caller waits for

    def burned(self, count: int) -> None:
        """Keys made durable as delivered whose caller was gone when they were ready: counted, never reused."""

        def book(kme: Kme, _now_ns: int) -> None:
            kme.burned(count)

        task = asyncio.ensure_future(self.thread.call(book))
        task.add_done_callback(look_away)


def look_away(task: asyncio.Future[Any]) -> None:
    """A failed group that nobody waits for: already logged."""
    if not task.cancelled():
        task.exception()
