"""``KeyDeliveryClient`` for asyncio: the same calls, many at once over a pool of connections."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType

from qanat.core.errors import QanatError
from qanat.core.ids import KeyId, SaeId
from qanat.sae.answers import KmeStatus, error_from_answer
from qanat.sae.calls import Call, Extensions, ResultT, dec_keys_call, enc_keys_call, status_call
from qanat.sae.client import TIMEOUT_S
from qanat.sae.errors import AnswerLost, KmeNotTrusted, KmeUnreachable
from qanat.sae.http import Answer, request_bytes
from qanat.sae.keys import DeliveredKey
from qanat.sae.places import CONNECT_S_MAX, Places, Search, addresses
from qanat.sae.pool import KmePool
from qanat.sae.retry import Attempts, KmePromise
from qanat.sae.setting import sae_id_in
from qanat.sae.tls import client_context

CONNECTIONS_MAX = 4  # one CPU of a KME is busy with four (bench/, key delivery)


class AsyncKeyDeliveryClient:
    """As ``KeyDeliveryClient``, which says what arguments, results and errors mean. One event loop only.

    Args:
        connections_max: Calls beyond so many wait their turn.

    A task that is cancelled while its request is out may leave keys spent for nothing; ``burned_max`` counts them.

    Example::

        async with AsyncKeyDeliveryClient("https://kme:4443", **files) as alice:
            keys = await alice.enc_keys(SaeId("bob"), number=4)
    """

    def __init__(
        self,
        base_url: str | Sequence[str] | None = None,
        *,
        host: str | None = None,
        port: int | None = None,
        certfile: str | os.PathLike[str],
        keyfile: str | os.PathLike[str],
        cafile: str | os.PathLike[str],
        timeout_s: float = TIMEOUT_S,
        sae_id: SaeId | None = None,
        redelivery: bool = False,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        where = addresses(base_url, host, port)
        connect_s = timeout_s if len(where) == 1 else min(timeout_s, CONNECT_S_MAX)
        context = client_context(certfile=certfile, keyfile=keyfile, cafile=cafile)
        self._certfile = Path(certfile)
        self._chosen_id = sae_id
        self._places = Places(
            [
                KmePool(
                    host=host,
                    port=port,
                    context=context,
                    timeout_s=timeout_s,
                    size=connections_max,
                    connect_s=connect_s,
                )
                for host, port in where
            ]
        )
        self._promise, self._wants_redelivery = KmePromise(), redelivery
        self.burned_max = 0

    async def __aenter__(self) -> AsyncKeyDeliveryClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        for pool in self._places:
            pool.close()

    @property
    def _pool(self) -> KmePool:
        return self._places.now

    @cached_property
    def sae_id(self) -> SaeId:
        """Who we are, as our certificate says."""
        return self._chosen_id or sae_id_in(self._certfile)

    async def kme_id(self) -> str:
        """Who the KME is, from its certificate."""
        pool = self._pool
        stream = await pool.take()
        found = stream.kme_id
        pool.give_back(stream)
        if found is None:
            raise KmeNotTrusted(f"The certificate of {pool.address} names no KME.")
        return found

    async def status(self, slave: SaeId) -> KmeStatus:
        """How many keys wait for this pair, and the KME's limits."""
        return await self._result(status_call(slave))

    async def enc_keys(
        self,
        slave: SaeId,
        number: int = 1,
        size_bits: int | None = None,
        *,
        additional_slaves: Iterable[SaeId] = (),
        extension_mandatory: Extensions | None = None,
        extension_optional: Extensions | None = None,
    ) -> list[DeliveredKey]:
        """New keys to share with ``slave``."""
        call = enc_keys_call(
            self.sae_id,
            slave,
            number,
            size_bits,
            additional_slaves=additional_slaves,
            extension_mandatory=extension_mandatory,
            extension_optional=extension_optional,
        )
        return await self._result(call)

    async def dec_keys(self, master: SaeId, key_ids: Iterable[KeyId]) -> list[DeliveredKey]:
        """The keys that ``master`` got under these IDs, in the order asked for."""
        return await self._result(dec_keys_call(self.sae_id, master, key_ids))

    async def key_of(self, master: SaeId, key_id: KeyId) -> DeliveredKey:
        """One key by ID."""
        return (await self.dec_keys(master, [key_id]))[0]

    async def _result(self, call: Call[ResultT]) -> ResultT:
        if call.key_count and self._wants_redelivery and self._promise.window_s is None:
            await self._answer(status_call(call.other))  # its header tells what this KME keeps
        answer = await self._answer(call)
        if answer.status_code != 200:
            raise error_from_answer(answer, self._pool.address)
        return call.read(answer.body)

    async def _answer(self, call: Call[ResultT]) -> Answer:
        began_s = time.monotonic()
        attempts = Attempts(call.key_count, self._promise, self._wants_redelivery, began_s)
        search = Search(self._places.count, began_s + self._pool.timeout_s)
        try:
            while True:
                was_reused, pool = False, self._pool
                try:
                    stream = await pool.take()
                    try:
                        was_reused = stream.is_reused
                        request = request_bytes(call.verb, pool.address, call.path, call.body, attempts.headers())
                        answer = await stream.exchange(request, pool.timeout_s)
                    finally:
                        pool.give_back(stream)
                except QanatError as error:
                    now_s = time.monotonic()
                    if isinstance(error, KmeUnreachable | AnswerLost):
                        self._places.leave(pool)
                    pause_s = search.after(error, attempts, now_s)
                    if pause_s is None:
                        pause_s = attempts.after(error, was_reused=was_reused, now_s=now_s)
                    await asyncio.sleep(pause_s)
                    continue
                attempts.succeeded(answer)
                return answer
        except BaseException as error:
            self.burned_max += attempts.burned_by(error)
            raise
