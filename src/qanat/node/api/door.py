"""What every HTTPS door of ours does with a request: whatever happens, the caller gets JSON, and a refusal is told.

A door overrides ``_answer``; it raises ``Refused`` or ``KeyDeliveryError`` for what the caller should read.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import SaeId
from qanat.km import documents
from qanat.km.documents import ErrorDocument, KeyDeliveryError
from qanat.node.api.answers import Answer
from qanat.node.api.limits import CallLimit
from qanat.node.api.request import Refused

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

ANSWER_TIMEOUT_S = 8.0  # the clients we know give up after ten
BUSY = "the KME cannot answer now"

_log = logging.getLogger(__name__)


class Door:
    """One endpoint, an ASGI application. It never raises.

    Args:
        name: Named in logs.
        limit: Of calls per caller; None sets none.
        on_refused: Called with caller (empty when unknown), status and message of every answer that is not 200.
    """

    what, caller = "interface", "SAE"

    def __init__(
        self, name: str, limit: CallLimit | None, on_refused: Callable[[str, int, str], None] | None = None
    ) -> None:
        self._kme_id, self._limit, self._on_refused = name, limit, on_refused
        self._answer_timeout_s = ANSWER_TIMEOUT_S

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # the server starts no lifespan and speaks no WebSocket
        response = await self._response(scope, receive)
        if response is not None:
            response.headers.update(self._headers())
            await response(scope, receive, send)

    def _headers(self) -> dict[str, str]:
        """Of every answer."""
        return {}

    async def _answer(self, scope: Scope, receive: Receive) -> Answer | None:
        """None when the client has gone before its request was whole."""
        raise NotImplementedError

    async def _response(self, scope: Scope, receive: Receive) -> Answer | None:
        try:
            return await self._answer(scope, receive)
        except Refused as refused:
            self._tell(scope, refused.status_code, refused.message)
            return answered(refused.status_code, said(refused.message), refused.headers)
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
            _log.exception("KME %s: %s in the %s", self._kme_id, type(error).__name__, self.what)
        self._tell(scope, 503, BUSY)
        return answered(503, said(BUSY), {"Retry-After": "1"})

    def _tell(self, scope: Scope, status_code: int, message: str) -> None:
        if self._on_refused is not None:
            tls = scope.get("extensions", {}).get("tls", {})
            self._on_refused(tls.get("name") or tls.get("refused", ""), status_code, message)

    def _count_call(self, caller: SaeId) -> None:
        wait_s = self._limit.wait_s(caller) if self._limit is not None else 0.0
        if wait_s > 0:
            wait_ms = math.ceil(wait_s * 1000)
            raise KeyDeliveryError(
                429, f"too many calls from this {self.caller}", [{"retry_after_ms": wait_ms}], wait_ms
            )


def _error_response(error: KeyDeliveryError) -> Answer:
    headers = {}
    if error.retry_after_ms is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_ms / 1000)))
    return answered(error.status_code, documents.encode(error.document), headers)


def said(message: str) -> bytes:
    """An Error object of ETSI GS QKD 014."""
    return documents.encode(ErrorDocument(message=message))


def answered(status_code: int, body: bytes, headers: dict[str, str] | None = None) -> Answer:
    return Answer(status_code, body, headers)
