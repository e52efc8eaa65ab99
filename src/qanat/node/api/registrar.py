"""The registrar's HTTPS doors: operators enrol and revoke applications, applications renew their own certificates."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote_to_bytes

import msgspec

from qanat.node.api import admin_openapi
from qanat.node.api.admin import Nothing, OperatorDoor, body_as, check_verb
from qanat.node.api.answers import Answer
from qanat.node.api.door import Door, answered
from qanat.node.api.limits import CallLimit
from qanat.node.api.request import Refused, body_of, caller_of, query_of

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

RENEWAL_PATH = "/renew/v1/certificate"
_CERTIFICATE = re.compile(r"/certificates/([^/]{1,200})/(enroll|revoke)")


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A certificate request (PKCS #10) in PEM, and for how many days."""

    csr: str
    days: int = 30


class RegistrarDesk(Protocol):
    """Who has the CA. Each method raises ``KeyDeliveryError`` for what the caller should read."""

    async def listed(self, operator: str) -> list[dict[str, Any]]: ...

    async def enrol(self, operator: str, name: str, request: Request) -> dict[str, Any]: ...

    async def revoke(self, operator: str, name: str) -> dict[str, Any]: ...

    async def renew(self, name: str, shown: bytes, request: Request) -> dict[str, Any]: ...


class RegistrarDoor(OperatorDoor):
    """For operators."""

    def __init__(
        self,
        desk: RegistrarDesk,
        limit: CallLimit | None = None,
        on_refused: Callable[[str, int, str], None] | None = None,
    ) -> None:
        super().__init__("registrar", limit, on_refused)
        self._desk = desk

    def _description(self) -> bytes:
        return admin_openapi.encoded("registrar")

    async def _done(self, scope: Scope, operator: str, path: str, body: bytes) -> Any:
        if path == "/certificates":
            check_verb(scope, path, "GET")
            return await self._desk.listed(operator)
        found = _CERTIFICATE.fullmatch(path)
        check_verb(scope, path, "POST", is_known=found is not None)
        assert found is not None
        name = unquote_to_bytes(found[1]).decode("utf-8", "replace")
        if found[2] == "enroll":
            return await self._desk.enrol(operator, name, body_as(Request, scope, body))
        body_as(Nothing, scope, body)
        return await self._desk.revoke(operator, name)


class RenewalDoor(Door):
    """For applications. Whose certificate it will be, the one that they show says, and nothing in the request."""

    what = "door for renewals"

    def __init__(
        self, desk: RegistrarDesk, limit: CallLimit, on_refused: Callable[[str, int, str], None] | None = None
    ) -> None:
        super().__init__("registrar", limit, on_refused)
        self._desk = desk

    async def _answer(self, scope: Scope, receive: Receive) -> Answer | None:
        name = caller_of(scope)
        if (scope.get("raw_path") or scope["path"].encode()) != RENEWAL_PATH.encode():
            raise Refused(404, f"no such path; this door has {RENEWAL_PATH}")
        if scope["method"] != "POST":
            raise Refused(405, f"{RENEWAL_PATH} is called with POST", {"Allow": "POST"})
        query_of(scope, ())
        body = await body_of(scope, receive)
        if body is None:
            return None
        request = body_as(Request, scope, body)
        self._count_call(name)
        shown = scope["extensions"]["tls"]["certificate"]()
        async with asyncio.timeout(self._answer_timeout_s):
            return answered(200, msgspec.json.encode(await self._desk.renew(name, shown, request)))
