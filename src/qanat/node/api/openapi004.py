"""The push mode of ETSI GS QKD 004 as an OpenAPI 3.1 document, made from the types that the server reads and writes.

Served at ``/openapi.json`` of that interface; a copy is docs/reference/openapi-push.json. What the KME sends to an
application is in it as a webhook. Paths, verbs, members and status codes are those of AIT's documents; what they leave
to HTTP, and the sentence beside a status, are said here.
"""

from __future__ import annotations

import functools
from typing import Any

import msgspec

from qanat.km import push_documents as push
from qanat.km.documents import BODY_BYTES_MAX
from qanat.km.stream_types import CHUNK_BYTES_MAX, CHUNK_BYTES_MIN
from qanat.node.api.openapi import PATH, secret_schema

Json = dict[str, Any]

_TYPES = (push.OpenConnect, push.GetKey, push.Close, push.Opened, push.Done, push.Refusal, push.KeyMaterial)
_REFUSALS = {
    400: "The request does not fit, or its status says why this stream refuses it (3, 4, 5, 7)",
    401: "The certificate names no SAE of this KME",
    404: "No such path",
    405: "This call has another verb",
    413: f"The body is larger than {BODY_BYTES_MAX} bytes",
    429: "Too many calls from this SAE",
    503: "Nothing that was sent is wrong: key, time or room are wanting here (status 2, 4, 6)",
}
_STATUSES = """0 successful; 1 connected, the peer is not; 2 no key for this index; 3 the peer is not connected yet;
4 no QKD connection, and anything that no other number says; 5 the stream's name is in use; 6 time-out;
7 quality not met, an offer is beside it; 8 too little room for metadata"""
_RETRY_AFTER = {"description": "Seconds to wait", "schema": {"type": "integer", "minimum": 1}}
_ALLOW = {"description": "The verb of this call", "schema": {"type": "string"}}


@functools.cache
def encoded() -> bytes:
    """The document as it is served."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=2) + b"\n"


def document() -> Json:
    """The OpenAPI document, a new copy.

    Example:
        >>> sorted(document()["paths"])[0], sorted(document()["webhooks"])
        ('/api/v1/kms/etsi004/close', ['key-material'])
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Key streams of ETSI GS QKD 004 in push mode",
            "version": "1.0.1",
            "description": "After AIT's etsi-gs-qkd-004-push-mode-API-specification. Both ends show certificates.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"certificate": []}],
        "paths": {
            f"{push.PREFIX}/open-connect": {"post": _call("post_open_connect", "OpenConnect", (201, "Opened"))},
            f"{push.PREFIX}/get-key": {"get": _call("get_key", "GetKey", (205, "Done"))},
            f"{push.PREFIX}/close": {"put": _call("put_close", "Close", (204, ""))},
            PATH: {"get": _described()},
        },
        "webhooks": {"key-material": {"post": _key_material()}},
        "components": {
            "schemas": {**_schemas(), "OpenAPI": {"type": "object", "required": ["openapi", "paths"]}},
            "securitySchemes": {"certificate": {"type": "mutualTLS", "description": "The SAE's client certificate"}},
        },
    }


def _call(name: str, asked: str, answer: tuple[int, str]) -> Json:
    code, schema = answer
    told = {"description": "Done"} | ({"content": _json(schema)} if schema else {})
    return {
        "operationId": name,
        "requestBody": {"required": True, "content": _json(asked)},
        "responses": {str(code): told, **_refused(_REFUSALS)},
    }


def _described() -> Json:
    found = {"200": {"description": "This document", "content": _json("OpenAPI")}}
    return {"operationId": "get_openapi", "responses": found | _refused(_REFUSALS)}


def _refused(codes: dict[int, str]) -> Json:
    headers = {429: {"Retry-After": _RETRY_AFTER}, 503: {"Retry-After": _RETRY_AFTER}, 405: {"Allow": _ALLOW}}
    return {
        str(code): {"description": words, "content": _json("Refusal")}
        | ({"headers": headers[code]} if code in headers else {})
        for code, words in codes.items()
    }


def _key_material() -> Json:
    return {
        "operationId": "post_key_material",
        "summary": f"One chunk, sent to {push.KEY_MATERIAL} below the push_url of the SAE; again until it is confirmed",
        "requestBody": {"required": True, "content": _json("KeyMaterial")},
        "responses": {"201": {"description": "The application has the chunk", "content": _json("Done")}},
    }


def _json(schema: str) -> Json:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _schemas() -> Json:
    _, found = msgspec.json.schema_components(
        _TYPES, schema_hook=secret_schema, ref_template="#/components/schemas/{name}"
    )
    for schema in found.values():
        schema.pop("title", None)
    found["StreamStatus"]["description"] = " ".join(_STATUSES.split())
    sizes = {"minimum": CHUNK_BYTES_MIN, "maximum": CHUNK_BYTES_MAX}
    found["GrantedQos"]["properties"]["key_chunk_size"] |= sizes
    found["ChunkMetadata"]["properties"]["buffer"] = {
        "type": "object",
        "required": ["key_stream_id"],
        "properties": {"key_stream_id": {"type": "string", "format": "uuid"}, "provenance": {"type": "object"}},
    }
    return found
