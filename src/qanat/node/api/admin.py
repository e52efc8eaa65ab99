"""The HTTPS door of one KME for operators. Only certificates of the operators' CA get in, and only with role admin.

Every call that could have an effect is in the KME's audit before it has one. Errors are the Error objects of the key
delivery interface; ``details`` then holds the exit code with which `qanat` ends.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

import msgspec

from qanat.core.ids import SaeId
from qanat.km.documents import KeyDeliveryError, object_from_json
from qanat.node.api import admin_openapi
from qanat.node.api.answers import Answer
from qanat.node.api.door import Door, answered
from qanat.node.api.limits import CallLimit
from qanat.node.api.request import Refused, body_of, check_content_type, is_openapi, query_of

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

PREFIX = "/admin/v1"
CALLS_PER_S = 20.0  # of one operator: a screen that asks every second, and a person beside it
# What a command's exit code is in HTTP: misuse, the answer no, and an environment that does not allow it.
STATUS_OF_EXIT = {2: 400, 1: 409, 3: 503}
_VERB = re.compile(r"/network/([a-z_]{1,32})")

BodyT = TypeVar("BodyT")


class Share(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One share of a sealed KME's key."""

    share: str

    def __repr__(self) -> str:
        return "<Share>"


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An empty object, or no body."""


# Of the hub's messages: they have no larger numbers.
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Arguments = dict[str, str | Int64 | float | bool | None]


class AdminDesk(Protocol):
    """The KME behind the door. Each method raises ``KeyDeliveryError`` for what the operator should read."""

    async def note(self, operator: str, what: str, facts: Mapping[str, str]) -> None:
        """Write into the audit; durable when it returns."""

    async def state(self) -> dict[str, Any]: ...

    async def unseal(self, share: str) -> dict[str, Any]: ...

    async def rotate(self) -> dict[str, Any]: ...

    async def network(self, verb: str, arguments: Arguments) -> Any: ...


def operator_of(scope: Scope) -> str:
    """The operator who calls, from the client certificate alone.

    Raises:
        Refused: 401, it names none, has ended or was revoked.
    """
    tls: Mapping[str, Any] = scope.get("extensions", {}).get("tls", {})
    role, name = tls.get("role", ""), tls.get("name", "")
    if tls.get("refused"):
        raise Refused(401, f"the certificate of {tls['refused']} has ended or was revoked")
    if role != "admin" or not name:
        found = f"a {role} certificate" if role else "no certificate that names an operator"
        raise Refused(401, f"this door is for operators; the connection shows {found}")
    return str(name)


def path_of(scope: Scope) -> str:
    """The path as it was sent, below ``PREFIX``.

    Raises:
        Refused: 404.
    """
    raw = bytes(scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    if not raw.startswith(PREFIX + "/"):
        raise Refused(404, f"no such path; this door has {PREFIX}/..., see /openapi.json")
    return raw.removeprefix(PREFIX)


def body_as(kind: type[BodyT], scope: Scope, body: bytes) -> BodyT:
    """Raises: Refused, 400."""
    check_content_type(scope, body)
    try:
        return msgspec.convert(object_from_json(body or b"{}"), kind)
    except msgspec.ValidationError as error:
        # msgspec's sentence names the place and the expected type, never the value.
        raise Refused(400, f"the body cannot be read: {error}") from None


class OperatorDoor(Door):
    """What all doors for operators do before they look at the path."""

    what, caller = "door for operators", "operator"

    async def _answer(self, scope: Scope, receive: Receive) -> Answer | None:
        operator = operator_of(scope)
        self._count_call(SaeId(operator))
        if is_openapi(scope):
            return answered(200, self._description())
        path = path_of(scope)
        query_of(scope, ())
        body = await body_of(scope, receive)
        if body is None:
            return None
        if scope["method"] == "GET" and body:
            raise Refused(400, "GET carries no body; use POST")
        async with asyncio.timeout(self._answer_timeout_s):
            return answered(200, msgspec.json.encode(await self._done(scope, operator, path, body)))

    def _description(self) -> bytes:
        raise NotImplementedError

    async def _done(self, scope: Scope, operator: str, path: str, body: bytes) -> Any:
        raise NotImplementedError


class KmeAdminDoor(OperatorDoor):
    """Status, seal, and what the network's hub can be asked."""

    def __init__(
        self,
        desk: AdminDesk,
        name: str,
        limit: CallLimit | None = None,
        on_refused: Callable[[str, int, str], None] | None = None,
    ) -> None:
        super().__init__(name, limit, on_refused)
        self._desk = desk

    def _description(self) -> bytes:
        return admin_openapi.encoded()

    async def _done(self, scope: Scope, operator: str, path: str, body: bytes) -> Any:
        if path == "/kme":
            check_verb(scope, path, "GET")
            await self._desk.note(operator, "state", {})
            return await self._desk.state()
        if path == "/network":
            check_verb(scope, path, "GET")
            return await self._network(operator, "snapshot", {})
        check_verb(scope, path, "POST", is_known=_is_known(path))
        if path == "/kme/unseal":
            share = body_as(Share, scope, body).share
            return await self._tried(operator, "unseal", {}, lambda: self._desk.unseal(share))
        if path == "/kme/rotate":
            body_as(Nothing, scope, body)
            return await self._tried(operator, "rotate", {}, self._desk.rotate)
        found = _VERB.fullmatch(path)
        assert found is not None
        return await self._network(operator, found[1], body_as(Arguments, scope, body))

    async def _network(self, operator: str, verb: str, arguments: Arguments) -> Any:
        facts = {key[:40]: str(value)[:80] for key, value in list(arguments.items())[:8]}
        return await self._tried(operator, verb, facts, lambda: self._desk.network(verb, arguments))

    async def _tried(self, operator: str, what: str, facts: dict[str, str], do: Callable[[], Any]) -> Any:
        """Written down before it is done; and again when it was refused."""
        await self._desk.note(operator, what, facts)
        try:
            return await do()
        except KeyDeliveryError as error:
            await self._desk.note(operator, what, facts | {"refused": error.message[:200]})
            raise


def _is_known(path: str) -> bool:
    return path in ("/kme/unseal", "/kme/rotate") or _VERB.fullmatch(path) is not None


def check_verb(scope: Scope, path: str, verb: str, *, is_known: bool = True) -> None:
    """Raises: Refused, 404 or 405."""
    if not is_known:
        raise Refused(404, f"no such path as {PREFIX}{path[:80]}; see /openapi.json")
    if scope["method"] != verb:
        raise Refused(405, f"{PREFIX}{path} is called with {verb}", {"Allow": verb})


def refusal(message: str, exit_code: int) -> KeyDeliveryError:
    """What a command would print, as an answer."""
    return KeyDeliveryError(STATUS_OF_EXIT.get(exit_code, 503), message, [{"exit_code": exit_code}])
