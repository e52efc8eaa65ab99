"""ETSI GS QKD 004 in push mode as an ASGI application: REST calls that open, start and close streams.

After AIT's ``etsi-gs-qkd-004-push-mode-API-specification``, its document for the QKD server, 1.0.1. The chunks
themselves go the other way, see ``processes/pushers.py``. Streams are those of the TCP interface (``etsi004.py``): one
end may use this one and the other that. Who calls is what the certificate says; ``source`` must name the same SAE.

Answers follow the document where HTTP lets them: 201, 205 and 204 for success, 400 for what the caller did wrong. What
is wanting here is 503, as at every door of a KME, where the document has 500. What belongs to HTTP alone (401, 404,
405, 413, 429) keeps its code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

import msgspec

from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import KeyId, SaeId
from qanat.km import push_documents as push
from qanat.km.documents import ErrorDocument
from qanat.km.stream_types import StreamOpened, StreamQos, StreamRefused, StreamStatus
from qanat.node.api import openapi004
from qanat.node.api.answers import Answer
from qanat.node.api.app import KeyDelivery, KeyGateway
from qanat.node.api.door import ANSWER_TIMEOUT_S, answered
from qanat.node.api.etsi004 import sae_from_uri
from qanat.node.api.limits import CallLimit, call_limit
from qanat.node.api.request import Refused, body_of, caller_of, check_content_type, is_openapi, query_of

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

RETRY_LATER = {"Retry-After": "1"}
VERBS = {"open-connect": "POST", "get-key": "GET", "close": "PUT"}
_SECTION = (push.PREFIX + "/").encode()


class PushGateway(KeyGateway, Protocol):
    """The KME behind the interface; what it returns is durable."""

    def check_seal(self) -> None: ...

    async def open_stream(self, caller: SaeId, other: SaeId, qos: StreamQos, stream: KeyId | None) -> StreamOpened: ...

    async def start_push(self, caller: SaeId, stream: KeyId, index: int) -> None: ...

    async def close_stream(self, caller: SaeId, stream: KeyId) -> None: ...


class Pushes(Protocol):
    """Who carries the chunks out. Both raise StreamRefused."""

    def check(self, sae: SaeId, stream: KeyId) -> None: ...

    def start(self, sae: SaeId, stream: KeyId) -> None: ...


def create_push_app(
    gateway: PushGateway,
    pushes: Pushes,
    *,
    kme_id: str,
    calls_per_s: float | None = None,
    answer_timeout_s: float = ANSWER_TIMEOUT_S,
    on_refused: Callable[[str, int, str], None] | None = None,
) -> StreamPush:
    """The push mode of one KME; arguments as in ``create_app``."""
    return StreamPush(gateway, pushes, kme_id, call_limit(calls_per_s), answer_timeout_s, on_refused)


class StreamPush(KeyDelivery):
    """The three calls; limits are those of the 014 interface, error objects are 004's."""

    def __init__(
        self,
        gateway: PushGateway,
        pushes: Pushes,
        kme_id: str,
        limit: CallLimit | None,
        answer_timeout_s: float,
        on_refused: Callable[[str, int, str], None] | None,
    ) -> None:
        super().__init__(gateway, kme_id, limit, answer_timeout_s, None, on_refused)
        self._streams, self._pushes = gateway, pushes
        self._calls: dict[str, Callable[[SaeId, bytes], Awaitable[Answer]]] = {
            "open-connect": self._open,
            "get-key": self._get_key,
            "close": self._close,
        }

    async def _response(self, scope: Scope, receive: Receive) -> Answer | None:
        answer = await super()._response(scope, receive)
        return answer if answer is None or answer.status_code < 400 else _as_004(answer)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer | None:
        caller = caller_of(scope)
        self._count_call(caller)
        if is_openapi(scope):
            return answered(200, openapi004.encoded())
        call = _call_of(scope)
        body = await body_of(scope, receive)
        if body is None:
            return None
        check_content_type(scope, body)
        self._streams.check_seal()
        try:
            async with asyncio.timeout(self._answer_timeout_s):
                return await self._calls[call](caller, body)
        except StreamRefused as refused:
            answer = _refusal(refused)
            self._tell(scope, answer.status_code, refused.detail)
            return answer
        except EnvironmentProblem as error:  # a full disk: nothing happened
            raise Refused(503, error.detail, RETRY_LATER) from None

    async def _open(self, caller: SaeId, body: bytes) -> Answer:
        asked = push.read(body, push.OpenConnect)
        if sae_from_uri(asked.source) != caller:
            reason = "source names another SAE than the certificate"
            raise StreamRefused(StreamStatus.NO_QKD_CONNECTION, reason)
        other = sae_from_uri(asked.destination)
        opened = await self._streams.open_stream(caller, other, asked.qos.wanted(), asked.key_stream_id)
        document = push.Opened(
            source=asked.source,
            destination=asked.destination,
            key_stream_id=opened.stream,
            qos=push.granted(opened.qos),
            status=opened.status,
        )
        return answered(201, push.encode(document))

    async def _get_key(self, caller: SaeId, body: bytes) -> Answer:
        """RFC 9110 would have 205 without content; the document gives it an object, which harms no framing."""
        asked = push.read(body, push.GetKey)
        self._pushes.check(caller, asked.key_stream_id)
        await self._streams.start_push(caller, asked.key_stream_id, asked.index or 0)
        self._pushes.start(caller, asked.key_stream_id)
        return answered(205, push.encode(push.Done(status=StreamStatus.OK)))

    async def _close(self, caller: SaeId, body: bytes) -> Answer:
        """No content, whatever the document says: after 204 an HTTP client reads none (RFC 9112, 6.3)."""
        await self._streams.close_stream(caller, push.read(body, push.Close).key_stream_id)
        return answered(204, b"")


def _call_of(scope: Scope) -> str:
    """Raises: Refused."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    call = path[len(_SECTION) :].decode("ascii", "replace") if path.startswith(_SECTION) else ""
    if call not in VERBS:
        raise Refused(404, f"no such path; {push.PREFIX} has {', '.join(VERBS)}; see /openapi.json")
    if scope["method"] != VERBS[call]:
        raise Refused(405, f"{call} is called with {VERBS[call]}", {"Allow": VERBS[call]})
    query_of(scope, ())
    return call


def _refusal(refused: StreamRefused) -> Answer:
    qos = msgspec.UNSET if refused.qos is None else push.granted(refused.qos)
    document = push.Refusal(status=refused.status, message=refused.detail, qos=qos)
    code, headers = (503, RETRY_LATER) if refused.is_ours else (400, {})
    return answered(code, push.encode(document), headers)


def _as_004(answer: Answer) -> Answer:
    """An Error object of 014 as this interface says it."""
    said = msgspec.json.decode(answer.body, type=dict)
    if "status" in said:
        return answer
    message = msgspec.convert(said, ErrorDocument).message
    document = push.Refusal(status=StreamStatus.NO_QKD_CONNECTION, message=message)
    return answered(answer.status_code, push.encode(document), answer.headers)
