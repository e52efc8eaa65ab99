"""ETSI GS QKD 014 as an OpenAPI 3.1 document, made from the types that the server reads and writes.

Shapes come from ``km/documents.py``; what a type cannot say (limits, status codes, headers) is said here, with the
constants by which the KME judges. Served at ``/openapi.json``; a copy is docs/reference/openapi.json.
"""

from __future__ import annotations

import functools
from typing import Any

import msgspec

from qanat.core.secret import SecretBits
from qanat.km.callers import ADDITIONAL_SLAVES_MAX
from qanat.km.delivery import KEY_BITS_MAX, KEY_BITS_MIN
from qanat.km.documents import (
    BODY_BYTES_MAX,
    EXTENSIONS_MAX,
    ErrorDocument,
    KeyContainer,
    KeyIds,
    KeyRequestBody,
    Status,
)
from qanat.km.fetching import KEYS_PER_REQUEST_MAX
from qanat.node.api.request import SAE_ID_BYTES_MAX

PATH = "/openapi.json"
Json = dict[str, Any]

_TYPES = (Status, KeyRequestBody, KeyIds, KeyContainer, ErrorDocument)
_NAMES = {"KeyRequestBody": "KeyRequest", "ErrorDocument": "Error"}  # 014's names for ours
_REFUSALS = {
    400: "The request does not fit ETSI GS QKD 014, or no such key is here for this SAE",
    401: "The certificate names no SAE of this KME, or these two SAEs may not share keys",
    404: "No such path",
    405: "This method has another verb",
    413: f"The body is larger than {BODY_BYTES_MAX} bytes",
    429: "Too many calls from this SAE",
    503: "Not enough keys now, a quota is used up, or the KME cannot answer",
}
_RETRY_AFTER = {"description": "Seconds to wait", "schema": {"type": "integer", "minimum": 1}}
_ALLOW = {"description": "The verbs of this method", "schema": {"type": "string"}}
_NUMBER = {"minimum": 1, "maximum": KEYS_PER_REQUEST_MAX}
_SIZE = {"minimum": KEY_BITS_MIN, "maximum": KEY_BITS_MAX, "multipleOf": 8}


@functools.cache
def encoded() -> bytes:
    """The document as it is served."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=2) + b"\n"


def document() -> Json:
    """The OpenAPI document, a new copy.

    Source: ETSI GS QKD 014 V1.1.1, clauses 5 and 6; OpenAPI Specification 3.1.0.

    Example:
        >>> sorted(document()["paths"]["/api/v1/keys/{master_SAE_ID}/dec_keys"])
        ['get', 'parameters', 'post']
    """
    keys = "/api/v1/keys"
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Key delivery by ETSI GS QKD 014 V1.1.1",
            "version": "1.1.1",
            "description": "Keys are for SAEs that show a certificate of the network's CA. Sizes are in bits.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"certificate": []}],
        "paths": {
            f"{keys}/{{slave_SAE_ID}}/status": _status(),
            f"{keys}/{{slave_SAE_ID}}/enc_keys": _enc_keys(),
            f"{keys}/{{master_SAE_ID}}/dec_keys": _dec_keys(),
            PATH: {"get": _operation("get_openapi", "This document", "OpenAPI")},
        },
        "components": {
            "schemas": {**_schemas(), "OpenAPI": {"type": "object", "required": ["openapi", "paths"]}},
            "securitySchemes": {"certificate": {"type": "mutualTLS", "description": "The SAE's client certificate"}},
        },
    }


def _status() -> Json:
    get = _operation("get_status", "What keys are there for the pair of the caller and this slave", "Status")
    return {"parameters": [_sae("slave")], "get": get}


def _enc_keys() -> Json:
    get = _operation("get_key_simple", "Get key: new keys for the caller, who is the master", "KeyContainer")
    get["parameters"] = [
        _query("number", {"type": "integer", "default": 1, **_NUMBER}, "How many keys"),
        _query("size", {"type": "integer", **_SIZE}, "Of each key, in bits; the KME's default size if left out"),
    ]
    post = _operation("get_key", "Get key, with several slaves and extensions", "KeyContainer")
    post["requestBody"] = _body("KeyRequest", is_required=False)
    return {"parameters": [_sae("slave")], "get": get, "post": post}


def _dec_keys() -> Json:
    get = _operation("get_key_with_key_id", "Get key with key IDs: one key for a slave", "KeyContainer")
    key_id = _query("key_ID", {"type": "string", "format": "uuid"}, "Of the key that the master got")
    get["parameters"] = [{**key_id, "required": True}]
    post = _operation("get_key_with_key_ids", "Get key with key IDs: all of them or none", "KeyContainer")
    post["requestBody"] = _body("KeyIds", is_required=True)
    return {"parameters": [_sae("master")], "get": get, "post": post}


def _operation(name: str, summary: str, answer: str) -> Json:
    answers = {"200": {"description": "OK", "content": _json(answer)}}
    for code, description in _REFUSALS.items():
        answers[str(code)] = {"description": description, "content": _json("Error"), **_headers(code)}
    return {"operationId": name, "summary": summary, "responses": answers}


def _headers(code: int) -> Json:
    named = {429: {"Retry-After": _RETRY_AFTER}, 503: {"Retry-After": _RETRY_AFTER}, 405: {"Allow": _ALLOW}}
    return {"headers": named[code]} if code in named else {}


def _json(schema: str) -> Json:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _body(schema: str, *, is_required: bool) -> Json:
    return {"required": is_required, "content": _json(schema)}


def _sae(role: str) -> Json:
    schema = {"type": "string", "minLength": 1, "maxLength": SAE_ID_BYTES_MAX}
    description = f"URL-encoded; at most {SAE_ID_BYTES_MAX} bytes so encoded"
    return {"name": f"{role}_SAE_ID", "in": "path", "required": True, "schema": schema, "description": description}


def _query(name: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": "query", "schema": schema, "description": description}


# --- schemas


def _schemas() -> Json:
    _, found = msgspec.json.schema_components(
        _TYPES, schema_hook=secret_schema, ref_template="#/components/schemas/{name}"
    )
    schemas: Json = {_NAMES.get(name, name): schema for name, schema in found.items()}
    for schema in schemas.values():
        schema.pop("title", None)
    for (name, member), limits in _LIMITS.items():
        schemas[name]["properties"][member] |= limits
    del schemas["KeyRequest"]["properties"]["size"]["default"]  # the KME's, not a number
    return schemas


_LIMITS: dict[tuple[str, str], Json] = {
    ("KeyRequest", "number"): _NUMBER,
    ("KeyRequest", "size"): _SIZE,
    ("KeyRequest", "additional_slave_SAE_IDs"): {"maxItems": ADDITIONAL_SLAVES_MAX, "uniqueItems": True},
    ("KeyRequest", "extension_mandatory"): {"maxItems": EXTENSIONS_MAX},
    ("KeyRequest", "extension_optional"): {"maxItems": EXTENSIONS_MAX},
    ("KeyIds", "key_IDs"): {"minItems": 1, "maxItems": KEYS_PER_REQUEST_MAX, "uniqueItems": True},
    ("KeyIdEntry", "key_ID"): {"format": "uuid"},
}


def secret_schema(kind: type) -> Json:
    """How keys are written, which JSON has no type for."""
    if kind is SecretBits:
        return {"type": "string", "contentEncoding": "base64"}
    raise NotImplementedError(kind)
