"""Random requests to the two doors of ETSI 004: frames over TCP, and the REST calls of push mode."""

from __future__ import annotations

import random
import uuid
from typing import Any

from fuzzing.http_shapes import VERBS, Asked, http, query, strange_path
from fuzzing.keys import Known
from fuzzing.values import json_body, json_value, noise, random_uuid
from qanat.km.push_documents import PREFIX
from qanat.km.stream_types import StreamQos
from qanat.km.stream_wire import Service, bytes_from_qos, frame

CALLS = {"open-connect": "POST", "get-key": "GET", "close": "PUT"}
PATHS_PUSH = [*(f"{PREFIX}/{call}" for call in CALLS), "/openapi.json", PREFIX, f"{PREFIX}/key-material"]
NAMES_PUSH = ["source", "destination", "qos", "key_stream_id", "index", "metadata"]


def request_004(rng: random.Random, known: Known) -> Asked:
    """A frame; its streams do not wait, so that noise is answered at once."""
    kind = rng.random()
    if kind < 0.1:
        return Asked(noise(rng, 64) + bytes(16))
    if kind < 0.4:
        data = _open(rng, known)
    elif kind < 0.8:
        data = frame(Service.GET_KEY, _stream(rng, known).bytes + rng.randbytes(4) + rng.choice([0, 1024]).to_bytes(4))
    else:
        data = frame(Service.CLOSE, _stream(rng, known).bytes)
    if rng.random() < 0.3:
        at = rng.randrange(len(data))
        data = data[:at] + rng.randbytes(1) + data[at + 1 :]
    return Asked(data)


def _stream(rng: random.Random, known: Known) -> uuid.UUID:
    return rng.choice(known.streams) if rng.random() < 0.8 else random_uuid(rng)


def _open(rng: random.Random, known: Known) -> bytes:
    stream = rng.choice(known.streams)
    numbers = [rng.choice([0, 8, 32, 512, 2**32 - 1]) for _ in range(3)]
    qos = StreamQos(chunk_bytes=numbers[0], bps_max=numbers[1], bps_min=numbers[2] if rng.random() < 0.3 else 0)
    uris = [f"qkd://{known.sae}@kme", f"qkd://{known.other}@kme"]
    if rng.random() < 0.2:
        uris[rng.randrange(2)] = rng.choice(["", "qkd://", "http://[", "x" * 300, "qkd://nobody@x"])
    return frame(
        Service.OPEN_CONNECT, b"".join(uri.encode() + b"\0" for uri in uris) + bytes_from_qos(qos) + stream.bytes
    )


def request_push(rng: random.Random, known: Known) -> Asked:
    call = rng.choices(list(CALLS), (4, 4, 2))[0]
    verb = CALLS[call] if rng.random() < 0.95 else rng.choice(VERBS)
    path = f"{PREFIX}/{call}" if rng.random() < 0.95 else strange_path(rng, PATHS_PUSH)
    path += query(rng, ["key_stream_id", "x"]) if rng.random() < 0.03 else ""
    members: dict[str, Any] = {"key_stream_id": str(_stream(rng, known))}
    if call == "open-connect":
        members = _opening(rng, known)
    elif call == "get-key" and rng.random() < 0.5:
        members["index"] = rng.choice([0, 1, 5, 2**31, 2**32 - 1])
    return http(rng, verb, path, json_body(rng, members, NAMES_PUSH))


def _opening(rng: random.Random, known: Known) -> dict[str, Any]:
    qos: dict[str, Any] = {"timeout": rng.choice([1, 1, 20])}  # so long a call waits for the other end
    if rng.random() < 0.5:
        qos |= {"key_chunk_size": rng.choice([8, 32, 512, 2**32 - 1]), "max_bps": rng.choice([0, 1000, 2**32 - 1])}
    if rng.random() < 0.1:
        qos[rng.choice(["ttl", "jitter", "priority", "min_bps", "metadata_mimetype"])] = json_value(rng)
    uris = {"source": f"http://{known.sae}", "destination": f"http://{known.other}"}
    if rng.random() < 0.1:
        uris[rng.choice(list(uris))] = rng.choice(["", "x", "http://[", "http://" + "x" * 1100, "qkd://nobody@x", "\0"])
    members = uris | {"qos": qos}
    if rng.random() < 0.99:  # else the KME chooses, and nobody closes it
        members["key_stream_id"] = str(rng.choice(known.streams))
    return members
