"""ETSI GS QKD 020 V1.1.1: the door at which another operator's key management system hands over keys, and takes them.

Each partner has a port of its own whose TLS trusts that partner's CA only, so that one operator cannot speak for
another, and neither an application nor a KME of our own network gets in. Errors are those of RFC 9457. A request is
accepted (202) after it is durable; what became of it goes to the configured callback URL by itself.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from qanat.core.errors import EnvironmentProblem
from qanat.km.interwork import documents as doc
from qanat.km.interwork.documents import AckContainer, InterworkError, Transfer, VoidBody
from qanat.node.api.answers import Answer
from qanat.node.api.request import Refused, body_of, query_of

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

ANSWER_TIMEOUT_S = 8.0
_VERBS = {"/kmapi/versions": "GET", doc.PREFIX: "POST", f"{doc.PREFIX}/ack": "POST", f"{doc.PREFIX}/void": "POST"}

_log = logging.getLogger(__name__)


class BorderGateway(Protocol):
    """The KME behind the door; each call returns when its effect is durable. Raises: InterworkError."""

    async def take_transfer(self, partner: str, transfer: Transfer) -> None: ...

    async def take_void(self, partner: str, void: VoidBody) -> None: ...

    async def take_acks(self, partner: str, containers: list[AckContainer]) -> None: ...


def create_border_app(gateway: BorderGateway, *, kme_id: str, partner: str) -> BorderDoor:
    """The door of one partner."""
    return BorderDoor(gateway, kme_id, partner)


class BorderDoor:
    """Never raises: whatever happens, the partner gets a problem document."""

    def __init__(self, gateway: BorderGateway, kme_id: str, partner: str) -> None:
        self._gateway, self._kme_id, self._partner = gateway, kme_id, partner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        response = await self._response(scope, receive)
        if response is not None:
            await response(scope, receive, send)

    async def _response(self, scope: Scope, receive: Receive) -> Answer | None:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await self._answer(scope, receive)
        except InterworkError as error:
            return _problem(error)
        except Refused as refused:
            return _problem(InterworkError(refused.status_code, "refused", refused.message), refused.headers)
        except (TimeoutError, asyncio.CancelledError, EnvironmentProblem) as error:
            _log.warning("KME %s: a partner's request was not answered: %s", self._kme_id, type(error).__name__)
        except Exception as error:
            _log.exception("KME %s: %s in the interworking interface", self._kme_id, type(error).__name__)
        return _problem(InterworkError(503, "unavailable", "the KME cannot answer now"), {"Retry-After": "2"})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer | None:
        tls = scope.get("extensions", {}).get("tls", {})
        if (tls.get("role"), tls.get("name")) != ("kme", self._partner):
            raise InterworkError(
                401, "unauthorized", "the certificate is not that of the partner that this port serves"
            )
        path = (scope.get("raw_path") or scope["path"].encode()).decode("ascii", "replace")
        if path not in _VERBS:
            raise Refused(404, f"no such path; 020 has {', '.join(_VERBS)}")
        if scope["method"] != _VERBS[path]:
            raise Refused(405, f"{path} is called with {_VERBS[path]}", {"Allow": _VERBS[path]})
        query_of(scope, ())
        body = await body_of(scope, receive)
        if body is None:
            return None
        return await self._done(path, body)

    async def _done(self, path: str, body: bytes) -> Answer:
        if path == "/kmapi/versions":
            return Answer(200, doc.VERSIONS)
        if path.endswith("/ack"):
            await self._gateway.take_acks(self._partner, doc.acks_from_json(body))
            return Answer(200, b"")
        if path.endswith("/void"):
            await self._gateway.take_void(self._partner, doc.void_from_json(body))
            return Answer(202, b"")
        transfer = doc.transfer_from_json(body)
        try:
            await self._gateway.take_transfer(self._partner, transfer)
        finally:
            transfer.wipe()
        return Answer(202, b"")


def _problem(error: InterworkError, headers: dict[str, str] | None = None) -> Answer:
    return Answer(error.status_code, error.problem, headers, b"application/problem+json")
