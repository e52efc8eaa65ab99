"""What an HTTP request asks for, before any JSON is read: path, verb, query, body size."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote_to_bytes

from qanat.core.ids import SaeId
from qanat.km.documents import BODY_BYTES_MAX

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

SAE_ID_BYTES_MAX = 512  # the longest that a known client sends is 291 characters
VERBS: Mapping[str, tuple[str, ...]] = {
    "status": ("GET",),
    "enc_keys": ("GET", "POST"),
    "dec_keys": ("GET", "POST"),
}
_DIGITS = re.compile(r"[0-9]{1,9}")
_JSON_TYPE = re.compile(rb"(?i:application/json)(?:[ \t]*;[ \t]*(?i:charset)=\"?(?i:utf-8)\"?)?")
_PATH = re.compile(rb"/api/v1/keys/([^/]+)/([a-z_]+)")


class Refused(Exception):
    """The request cannot be handed on. Becomes an Error object; not for people."""

    def __init__(self, status_code: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.message = message
        self.headers = dict(headers or {})


def caller_of(scope: Scope) -> SaeId:
    """The SAE that calls, from the client certificate alone. No header is looked at.

    Raises:
        Refused: 401, the certificate names no SAE, has ended or is not admitted.
    """
    tls: Mapping[str, Any] = scope.get("extensions", {}).get("tls", {})
    role, name = tls.get("role", ""), tls.get("name", "")
    if tls.get("refused"):
        raise Refused(
            401, f"the certificate or key of {tls['refused']} has ended, was revoked or is not on the allow-list"
        )
    if role != "sae" or not name:
        found = f"a {role} certificate" if role else "no certificate that names an SAE"
        raise Refused(401, f"the key delivery interface is for SAEs; the connection shows {found}")
    return SaeId(name)


def is_gone(scope: Scope) -> bool:
    """Has the caller hung up? False where the server does not say."""
    connection = scope.get("extensions", {}).get("qanat.connection")
    return bool(connection is not None and connection["is_gone"]())


def is_openapi(scope: Scope) -> bool:
    """Is the description of this interface asked for?

    Raises:
        Refused: 405, with another verb than GET; 400, with a query.
    """
    if (scope.get("raw_path") or scope["path"].encode()) != b"/openapi.json":
        return False
    if scope["method"] != "GET":
        raise Refused(405, "/openapi.json is called with GET", {"Allow": "GET"})
    query_of(scope, ())
    return True


def target_of(scope: Scope) -> tuple[SaeId, str]:
    """The SAE in the path and the method, taken from the path as it was sent.

    The raw path is used so that an encoded slash in an SAE ID stays inside it.

    Raises:
        Refused: 404 for a path, 405 for a verb that 014 does not have.
    """
    other, method = _target(scope.get("raw_path") or scope["path"].encode())
    if scope["method"] not in VERBS[method]:
        allowed = ", ".join(VERBS[method])
        raise Refused(405, f"{method} is called with {allowed}", {"Allow": allowed})
    return other, method


@lru_cache(maxsize=1024)  # applications ask for the same few paths
def _target(path: bytes) -> tuple[SaeId, str]:
    match = _PATH.fullmatch(path)
    if match is None or match[2].decode() not in VERBS:
        raise Refused(
            404, "no such path; 014 has /api/v1/keys/{SAE_ID}/status, enc_keys and dec_keys; see /openapi.json"
        )
    return _sae_id(match[1]), match[2].decode()


def _sae_id(segment: bytes) -> SaeId:
    try:
        text = unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(400, "the SAE ID in the path is not URL-encoded UTF-8") from None
    if len(segment) > SAE_ID_BYTES_MAX or not text.isprintable():
        raise Refused(400, "the SAE ID in the path is too long or has unprintable characters")
    return SaeId(text)


def query_of(scope: Scope, allowed: tuple[str, ...]) -> dict[str, str]:
    """The query's parameters, each at most once.

    Raises:
        Refused: 400, another parameter, one twice, or no query at all.
    """
    asked = scope.get("query_string", b"")
    if not asked:
        return {}
    try:
        pairs = parse_qsl(
            asked.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=8,
        )
    except ValueError:
        raise Refused(400, "the query cannot be understood") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refused(400, "a parameter appears twice in the query")
    strange = sorted(set(found) - set(allowed))
    if strange:
        may = (
            f"only {' and '.join(allowed)} may appear in the query; use POST" if allowed else "no query may appear here"
        )
        raise Refused(400, may)
    return found


def whole_number(name: str, text: str) -> int:
    """A count in a query: decimal digits and nothing else.

    Raises:
        Refused: 400.
    """
    if not _DIGITS.fullmatch(text):
        raise Refused(400, f"{name} shall be a whole number of at most nine digits")
    return int(text)


def check_content_type(scope: Scope, body: bytes) -> None:
    """014 sends JSON in UTF-8. A body that says it is something else is not read as JSON; one that says nothing is.

    Raises:
        Refused: 400; 014 has no 415.

    Source: ETSI GS QKD 014 V1.1.1, clause 5.1.
    """
    values = [value for name, value in scope["headers"] if name == b"content-type"]
    if not body or not values:
        return
    if len(values) > 1 or not _JSON_TYPE.fullmatch(values[0].strip()):
        raise Refused(400, "the body shall be sent as Content-Type: application/json, in UTF-8")


async def body_of(scope: Scope, receive: Receive) -> bytes | None:
    """The whole body; None when the client has gone.

    Raises:
        Refused: 413, before reading where the length is announced.
    """
    announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    body = bytearray()
    if int(announced) <= BODY_BYTES_MAX:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > BODY_BYTES_MAX:
                break
            if not message.get("more_body", False):
                return bytes(body)
    raise Refused(413, f"the body exceeds {BODY_BYTES_MAX} bytes")
