"""SKIP (draft-cisco-skip-02) as an ASGI application: how Cisco's and others' IKEv2 ask a key provider for a PPK.

Keys come from the same store by the same two calls as in ETSI GS QKD 014: a key that one interface took is gone for
the others. The draft's key provider "MUST zeroize its copy after delivery": the gateway's call returns after the
store has erased it, and the answer's own copy is wiped here. Where the draft has 500 for a key that cannot be made,
this server answers 503 with ``Retry-After``: no key yet is not a fault. Errors are JSON like those of 014.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from qanat.core.ids import SaeId
from qanat.core.ports import Entropy
from qanat.core.secret import SecretBits
from qanat.core.topology import Network
from qanat.km import skip_documents as skip
from qanat.km.documents import KeyContainer, KeyDeliveryError, KeyRequest
from qanat.node.api.answers import Answer
from qanat.node.api.app import ANSWER_TIMEOUT_S, KeyDelivery, KeyGateway, answered
from qanat.node.api.limits import CallLimit, call_limit
from qanat.node.api.request import Refused, body_of, caller_of, is_gone, query_of, whole_number

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

PATHS = "SKIP has /capabilities, /key, /key/{keyId} and /entropy"
_KEY = re.compile(rb"/key/([^/]+)")

_log = logging.getLogger(__name__)


def create_skip_app(
    gateway: KeyGateway,
    *,
    kme_id: str,
    network: Network,
    entropy: Entropy,
    calls_per_s: float | None = None,
    answer_timeout_s: float = ANSWER_TIMEOUT_S,
    on_burned: Callable[[int], None] | None = None,
    on_refused: Callable[[str, int, str], None] | None = None,
) -> SkipDelivery:
    """The SKIP interface of one KME; arguments as in ``create_app``."""
    return SkipDelivery(
        gateway, kme_id, network, entropy, call_limit(calls_per_s), answer_timeout_s, on_burned, on_refused
    )


class SkipDelivery(KeyDelivery):
    """The one endpoint; errors and time limits are those of the 014 interface."""

    def __init__(
        self,
        gateway: KeyGateway,
        kme_id: str,
        network: Network,
        entropy: Entropy,
        limit: CallLimit | None,
        answer_timeout_s: float,
        on_burned: Callable[[int], None] | None,
        on_refused: Callable[[str, int, str], None] | None,
    ) -> None:
        super().__init__(gateway, kme_id, limit, answer_timeout_s, on_burned, on_refused)
        self._network, self._entropy = network, entropy

    async def _answer(self, scope: Scope, receive: Receive) -> Answer | None:
        caller = caller_of(scope)
        self._count_call(caller)
        path = scope.get("raw_path") or scope["path"].encode()
        if path not in (b"/capabilities", b"/key", b"/entropy") and not _KEY.fullmatch(path):
            raise Refused(404, f"no such path; {PATHS}")
        if scope["method"] != "GET":
            raise Refused(405, "SKIP is called with GET", {"Allow": "GET"})
        body = await body_of(scope, receive)
        if body is None:
            return None
        if body:
            raise Refused(400, "GET carries no body")
        self._check_caller(caller)
        if path == b"/capabilities":
            query_of(scope, ())
            return answered(200, skip.encode(skip.capabilities(self._network, caller)))
        if path == b"/entropy":
            return self._random(scope)
        return self._delivered(scope, caller, await self._container(scope, caller, path))

    def _check_caller(self, caller: SaeId) -> None:
        """The gateway looks too; capabilities and entropy ask no gateway."""
        if caller not in self._network.saes:
            raise KeyDeliveryError(401, "the calling SAE is not registered at this KME")

    async def _container(self, scope: Scope, caller: SaeId, path: bytes) -> KeyContainer:
        async with asyncio.timeout(self._answer_timeout_s):
            if path == b"/key":
                query = query_of(scope, ("remoteSystemID", "size"))
                size = whole_number("size", query.get("size", str(skip.KEY_BITS_DEFAULT)))
                partner = self._partner(caller, query)
                return await self._gateway.enc_keys(caller, partner, KeyRequest(number=1, size=size))
            partner = self._partner(caller, query_of(scope, ("remoteSystemID",)))
            text = unquote_to_bytes(path[len(b"/key/") :]).decode("ascii", "replace")
            return await self._gateway.dec_keys(caller, partner, [skip.key_id_from_hex(text)])

    def _partner(self, caller: SaeId, query: dict[str, str]) -> SaeId:
        if "remoteSystemID" not in query:
            raise Refused(400, "remoteSystemID is missing in the query")
        return skip.partner_of(self._network, caller, query["remoteSystemID"])

    def _delivered(self, scope: Scope, caller: SaeId, container: KeyContainer) -> Answer:
        try:
            if is_gone(scope):
                _log.warning("KME %s: a key burned, %s had hung up", self._kme_id, caller)
                if self._on_burned is not None:
                    self._on_burned(len(container.keys))
            return answered(200, skip.encode(skip.first_key(container)))
        finally:
            container.wipe()

    def _random(self, scope: Scope) -> Answer:
        query = query_of(scope, ("minentropy",))
        size_bits = whole_number("minentropy", query.get("minentropy", str(skip.ENTROPY_BITS_DEFAULT)))
        if not 1 <= size_bits <= skip.ENTROPY_BITS_MAX:
            raise Refused(400, f"minentropy shall be between 1 and {skip.ENTROPY_BITS_MAX} bits")
        bits = SecretBits(self._entropy.random_bytes(-(-size_bits // 8)))
        try:
            return answered(200, skip.encode(skip.RandomString(random=bits, minentropy=8 * bits.size_bytes)))
        finally:
            bits.wipe()
