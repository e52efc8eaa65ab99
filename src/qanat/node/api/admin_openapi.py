"""The doors for operators as an OpenAPI 3.1 document: the KME's and the registrar's. Served at ``/openapi.json``."""

from __future__ import annotations

import functools
from typing import Any

import msgspec

from qanat.km.documents import BODY_BYTES_MAX

Json = dict[str, Any]
_REFUSALS = {
    400: "The body does not fit, or what it names does not exist",
    401: "The certificate names no operator, has ended or was revoked",
    404: "No such path",
    405: "This path has another verb",
    409: "It cannot be done now; the message says why",
    413: f"The body is larger than {BODY_BYTES_MAX} bytes",
    429: "Too many calls from this operator",
    503: "It cannot be done or written down now",
}
_ERROR = {
    "type": "object",
    "required": ["message"],
    "properties": {
        "message": {"type": "string"},
        "details": {"type": "array", "items": {"type": "object"}, "description": "exit_code of the command"},
    },
}
_TEXT, _COUNT, _ANY = {"type": "string"}, {"type": "integer"}, {"type": "object"}


def _object(required: tuple[str, ...] = (), **properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(required)}


_STATE = _object(("site", "is_sealed", "missing", "report"), site=_TEXT, is_sealed={"type": "boolean"}, missing=_COUNT)
_CERTIFICATES = {"type": "array", "items": _object(sae=_TEXT, serial=_TEXT, ends=_TEXT, revoked={"type": "boolean"})}


def _operation(summary: str, answer: Json, body: Json | None = None) -> Json:
    answers: Json = {"200": {"description": "OK", "content": {"application/json": {"schema": answer}}}}
    for code, description in _REFUSALS.items():
        error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
        answers[str(code)] = {"description": description, "content": error}
    made: Json = {"summary": summary, "responses": answers}
    if body is not None:
        made["requestBody"] = {"required": bool(body["required"]), "content": {"application/json": {"schema": body}}}
    return made


def _named(name: str, operation: Json) -> Json:
    parameter = {"name": name, "in": "path", "required": True, "schema": _TEXT}
    return {"parameters": [parameter], "post": operation}


_KME_PATHS = {
    "/admin/v1/kme": {"get": _operation("This KME: sealed or not, what it holds, in numbers", _STATE)},
    "/admin/v1/kme/unseal": {"post": _operation("One share for a sealed KME", _ANY, _object(("share",), share=_TEXT))},
    "/admin/v1/kme/rotate": {"post": _operation("A new key encryption key", _ANY)},
    "/admin/v1/network": {"get": _operation("The network as `qanat status --json` shows it", _ANY)},
    "/admin/v1/network/{verb}": _named(
        "verb",
        _operation(
            "What else `qanat` asks the hub: link_blocks, link_block, sae, cut, mend, attack_start, ...", {}, _object()
        ),
    ),
}
_REGISTRAR_PATHS = {
    "/admin/v1/certificates": {
        "get": _operation("All certificates of applications that have not ended", _CERTIFICATES)
    },
    "/admin/v1/certificates/{sae}/enroll": _named(
        "sae",
        _operation(
            "A certificate for the key in a request; the first and every further one",
            _object(("certificate", "days"), certificate=_TEXT, days=_COUNT),
            _object(("csr",), csr={"type": "string", "description": "PEM"}, days={**_COUNT, "minimum": 1}),
        ),
    ),
    "/admin/v1/certificates/{sae}/revoke": _named(
        "sae",
        _operation(
            "Take all its certificates back", _object(revoked=_COUNT, psks_removed={"type": "array", "items": _TEXT})
        ),
    ),
}


@functools.cache
def encoded(door: str = "kme") -> bytes:
    """The document of the KME's door, or of the registrar's."""
    return msgspec.json.format(msgspec.json.encode(document(door)), indent=2) + b"\n"


def document(door: str = "kme") -> Json:
    """A new copy.

    Example:
        >>> sorted(document("registrar")["paths"])[0]
        '/admin/v1/certificates'
    """
    paths = _KME_PATHS if door == "kme" else _REGISTRAR_PATHS
    described = {"get": _operation("This document", _ANY)}
    certificate = {"type": "mutualTLS", "description": "An operator's client certificate"}
    return {
        "openapi": "3.1.0",
        "info": {"title": f"qanat for operators: {door}", "version": "1"},
        "servers": [{"url": "/"}],
        "security": [{"certificate": []}],
        "paths": paths | {"/openapi.json": described},
        "components": {"schemas": {"Error": _ERROR}, "securitySchemes": {"certificate": certificate}},
    }
