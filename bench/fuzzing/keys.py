"""Random requests to the doors that give keys: ETSI 014, SKIP, and ETSI 020 between operators."""

from __future__ import annotations

import base64
import random
import uuid
from dataclasses import dataclass, field
from typing import Any

from fuzzing.http_shapes import VERBS, Asked, http, query, strange_name, strange_path
from fuzzing.values import json_body, noise, random_uuid

PATHS_014 = ["/", "/openapi.json", "/api/v1/keys", "/api/v1/keys//status", "/api/v2/keys/s0/status", "/%0a", "/a%2fb"]
PATHS_SKIP = ["/", "/capabilities", "/key", "/key/", "/entropy", "/key/a/b", "/%00", "/Key"]
PATHS_020 = ["/kmapi/versions", "/kmapi/v1/ext_keys", "/kmapi/v1/ext_keys/ack", "/kmapi/v1/ext_keys/void", "/kmapi"]
NAMES_014 = ["number", "size", "key_IDs", "additional_slave_SAE_IDs", "extension_mandatory", "extension_optional"]
NAMES_020 = ["keys", "key_ids", "initiator_sae_id", "target_sae_ids", "ack_callback_url", "extension_mandatory", "acks"]

STREAMS = 4  # of each thread; more, and the KME has its fill of them and says no to each


@dataclass
class Known:
    """Who asks, whom it may share keys with, where a partner wants acknowledgements, and the only streams it opens."""

    sae: str
    other: str
    streams: list[uuid.UUID] = field(default_factory=list)
    callback_url: str = ""


def request_014(rng: random.Random, known: Known) -> Asked:
    method = rng.choice(["status", "enc_keys", "enc_keys", "dec_keys"])
    sae = known.other if rng.random() < 0.7 else strange_name(rng, ["m1", "s1", "site0"])
    path = f"/api/v1/keys/{sae}/{method}" if rng.random() < 0.93 else strange_path(rng, PATHS_014)
    verb = rng.choices(["GET", "POST", rng.choice(VERBS)], (4, 5, 1))[0]
    if verb != "POST" or rng.random() < 0.1:
        path += query(rng, ["number", "size", "key_ID", "x"])
        return http(rng, verb, path, noise(rng) if rng.random() < 0.05 else b"")
    return http(rng, verb, path, json_body(rng, _members_014(rng, method), NAMES_014))


def _members_014(rng: random.Random, method: str) -> dict[str, Any]:
    if method == "dec_keys":
        return {"key_IDs": [{"key_ID": str(random_uuid(rng))} for _ in range(rng.choice([0, 1, 1, 3, 129]))]}
    members: dict[str, Any] = {"number": rng.randrange(1, 4), "size": rng.choice([64, 256, 1024])}
    return members | ({} if rng.random() < 0.7 else {"extension_optional": [{"qanat_max_age": 60}]})


def request_skip(rng: random.Random, known: Known) -> Asked:
    del known
    path = strange_path(rng, PATHS_SKIP) if rng.random() < 0.7 else f"/key/{random_uuid(rng).hex}"
    path += query(rng, ["remoteSystemID", "size", "minentropy", "x"])
    verb = "GET" if rng.random() < 0.9 else rng.choice(VERBS)
    return http(rng, verb, path, noise(rng) if rng.random() < 0.05 else b"")


def request_020(rng: random.Random, known: Known) -> Asked:
    """``known.sae`` is of the partner, ``known.other`` is ours."""
    path = rng.choice(PATHS_020[:4]) if rng.random() < 0.9 else strange_path(rng, PATHS_020)
    if path.endswith("versions") or rng.random() < 0.05:
        return http(rng, "GET" if rng.random() < 0.8 else rng.choice(VERBS), path + query(rng, ["x"])[:60], b"")
    pair: dict[str, Any] = {"initiator_sae_id": known.sae, "target_sae_ids": [known.other]}
    ids = [str(random_uuid(rng)) for _ in range(rng.choices([1, 2, 129], (20, 10, 1))[0])]
    url = known.callback_url if rng.random() < 0.9 else rng.choice(["https://127.0.0.1:9/", "file:///etc/passwd", ""])
    if path.endswith("ack"):
        status = rng.choice(["relayed", "voided", "failed", "key not present", "ok"])
        ack = {"key_ids": [{"key_id": ids[0]}], "ack_status": status, "initiator_sae_id": known.sae}
        body = json_body(rng, ack | {"target_sae_id": known.other}, NAMES_020)
        return http(rng, "POST", path, b"[" + body + b"]" if rng.random() < 0.9 else body)
    if path.endswith("void"):
        members = pair | {"key_ids": [{"key_id": one} for one in ids], "ack_callback_url": url}
        return http(rng, "POST", path, json_body(rng, members, NAMES_020))
    keys = [{"key_id": one, "value": base64.b64encode(rng.randbytes(rng.choice([32, 32, 1]))).decode()} for one in ids]
    return http(rng, "POST", path, json_body(rng, pair | {"keys": keys, "ack_callback_url": url}, NAMES_020))
