"""ETSI GS QKD 014 V1.1.1 as an ASGI application. Every answer that is not 200 is an Error object.

A request is judged in this order: who calls (401), how often (429), which path (404), which verb (405), how
large (413), what it says (400), and then by the gateway.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import KeyId, SaeId
from qanat.km import documents
from qanat.km.documents import ErrorDocument, KeyContainer, KeyDeliveryError, KeyRequest, Status
from qanat.node.api import openapi
from qanat.node.api.answers import Answer
from qanat.node.api.answers_kept import AnswersKept
from qanat.node.api.limits import CallLimit, call_limit
from qanat.node.api.request import (
    Refused,
    body_of,
    caller_of,
    check_content_type,
    is_gone,
    is_openapi,
    query_of,
    target_of,
    whole_number,
)

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

ANSWER_TIMEOUT_S = 8.0  # the clients we know give up after ten
BUSY = "the KME cannot answer now"

_log = logging.getLogger(__name__)


class KeyGateway(Protocol):
    """The KME behind the interface. Each method raises ``KeyDeliveryError`` for what the caller should read.

    A method that returns has already made durable that the keys are gone from the store.
    """

    async def status(self, caller: SaeId, slave: SaeId) -> Status: ...

    async def enc_keys(self, caller: SaeId, slave: SaeId, request: KeyRequest) -> KeyContainer: ...

    async def dec_keys(self, caller: SaeId, master: SaeId, key_ids: Sequence[KeyId]) -> KeyContainer: ...


def create_app(
    gateway: KeyGateway,
    *,
    kme_id: str,
    calls_per_s: float | None = None,
    answer_timeout_s: float = ANSWER_TIMEOUT_S,
    on_burned: Callable[[int], None] | None = None,
    on_refused: Callable[[str, int, str], None] | None = None,
    redelivery_s: float = 0.0,
) -> KeyDelivery:
    """The key delivery interface of one KME.

    Args:
        kme_id: Named in logs; the documents carry the gateway's own.
        calls_per_s: Per SAE, with as many at once; None sets no limit.
        answer_timeout_s: After it the caller gets 503. Keys that the gateway then still takes are burned.
        on_burned: Called with the number of keys whose caller had hung up when they were ready. 014 has no
            acknowledgement, so this counts the losses that can be seen, not all.
        on_refused: Called with caller (empty when unknown), status and message of every answer that is not 200.
        redelivery_s: How long an answer with keys is kept for the same request of the same SAE; 0 keeps none.
    """
    return KeyDelivery(
        gateway,
        kme_id,
        call_limit(calls_per_s),
        answer_timeout_s,
        on_burned,
        on_refused=on_refused,
        redelivery_s=redelivery_s,
    )


class KeyDelivery:
    """The one endpoint. It never raises: whatever happens, the caller gets JSON."""

    def __init__(
        self,
        gateway: KeyGateway,
        kme_id: str,
        limit: CallLimit | None,
        answer_timeout_s: float,
        on_burned: Callable[[int], None] | None,
        on_refused: Callable[[str, int, str], None] | None = None,
        redelivery_s: float = 0.0,
    ) -> None:
        self._gateway, self._kme_id = gateway, kme_id
        self._limit, self._answer_timeout_s = limit, answer_timeout_s
        self._on_burned, self._on_refused = on_burned or (lambda _: None), on_refused
        self._kept = AnswersKept(redelivery_s, self._on_burned)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # the server starts no lifespan and speaks no WebSocket
        response = await self._response(scope, receive)
        if response is not None:
            response.headers.update(self._kept.headers())
            await response(scope, receive, send)

    async def _response(self, scope: Scope, receive: Receive) -> Answer | None:
        """None when the client has gone before its request was whole."""
        try:
            return await self._answer(scope, receive)
        except Refused as refused:
            self._tell(scope, refused.status_code, refused.message)
            return answered(refused.status_code, _said(refused.message), refused.headers)
        except KeyDeliveryError as error:
            self._tell(scope, error.status_code, error.message)
            return _error_response(error)
        except TimeoutError:
            _log.warning("KME %s: no answer within %g s", self._kme_id, self._answer_timeout_s)
        except asyncio.CancelledError:
            _log.info("KME %s: a request ended by shutdown", self._kme_id)
        except EnvironmentProblem as error:  # the machine, not us: one line
            _log.warning("KME %s: %s", self._kme_id, error.detail)
        except Exception as error:  # the interface has no other 5xx than 503, and nobody may read a traceback there
            _log.exception("KME %s: %s in the key delivery interface", self._kme_id, type(error).__name__)
        self._tell(scope, 503, BUSY)
        return answered(503, _said(BUSY), {"Retry-After": "1"})

    def _tell(self, scope: Scope, status_code: int, message: str) -> None:
        if self._on_refused is not None:
            tls = scope.get("extensions", {}).get("tls", {})
            self._on_refused(tls.get("name") or tls.get("refused", ""), status_code, message)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer | None:
        caller = caller_of(scope)
        self._count_call(caller)
        if is_openapi(scope):
            return answered(200, openapi.encoded())
        other, method = target_of(scope)
        body = await body_of(scope, receive)
        if body is None:
            return None
        self._kept.confirm(scope, caller)
        name = self._kept.name_of(scope)
        async with asyncio.timeout(self._answer_timeout_s):
            if method == "status":
                query_of(scope, ())
                return answered(200, documents.encode(await self._gateway.status(caller, other)))
            if name is None:
                container = await self._take(scope, caller, other, method, body)
            else:
                take = partial(self._take, scope, caller, other, method, body)
                container = await self._kept.container(scope, caller, name, body, take)
        is_lost = is_gone(scope)
        if name is not None:
            self._kept.sent(caller, name, is_lost=is_lost)
            return answered(200, documents.encode(container))
        try:
            if is_lost:
                _log.warning("KME %s: %d keys burned, %s had hung up", self._kme_id, len(container.keys), caller)
                self._on_burned(len(container.keys))
            return answered(200, documents.encode(container))
        finally:
            container.wipe()

    async def _take(self, scope: Scope, caller: SaeId, other: SaeId, method: str, body: bytes) -> KeyContainer:
        if method == "enc_keys":
            return await self._gateway.enc_keys(caller, other, _key_request(scope, body))
        return await self._gateway.dec_keys(caller, other, _key_ids(scope, body))

    def _count_call(self, caller: SaeId) -> None:
        wait_s = self._limit.wait_s(caller) if self._limit is not None else 0.0
        if wait_s > 0:
            wait_ms = math.ceil(wait_s * 1000)
            raise KeyDeliveryError(429, "too many calls from this SAE", [{"retry_after_ms": wait_ms}], wait_ms)


def _key_request(scope: Scope, body: bytes) -> KeyRequest:
    if scope["method"] == "GET":
        _refuse_body(body)
        query = query_of(scope, ("number", "size"))
        counts = {name: whole_number(name, text) for name, text in query.items()}
        return KeyRequest(number=counts.get("number", 1), size=counts.get("size"))
    query_of(scope, ())
    check_content_type(scope, body)
    return documents.key_request_from_json(body)


def _key_ids(scope: Scope, body: bytes) -> list[KeyId]:
    if scope["method"] == "GET":
        _refuse_body(body)
        return [documents.key_id_from_text(query_of(scope, ("key_ID",)).get("key_ID", ""))]
    query_of(scope, ())
    check_content_type(scope, body)
    return documents.key_ids_from_json(body)


def _refuse_body(body: bytes) -> None:
    if body:
        raise Refused(400, "GET carries no body; use POST")


def _error_response(error: KeyDeliveryError) -> Answer:
    headers = {}
    if error.retry_after_ms is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_ms / 1000)))
    return answered(error.status_code, documents.encode(error.document), headers)


def _said(message: str) -> bytes:
    return documents.encode(ErrorDocument(message=message))


def answered(status_code: int, body: bytes, headers: dict[str, str] | None = None) -> Answer:
    return Answer(status_code, body, headers)
