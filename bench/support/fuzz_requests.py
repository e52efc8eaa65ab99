"""Random requests to the interfaces of a KME: some fit, most have one part that does not, a few are noise."""

from __future__ import annotations

import json
import random
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_from_bytes

from qanat.km.stream_types import StreamQos
from qanat.km.stream_wire import Service, bytes_from_qos, frame

STRANGE_NUMBERS = [0, -1, 1, 2, 7, 8, 64, 65, 256, 4096, 4104, 129, 2**31, 2**63, 2**64, 10**40, 1.5, 1e308, True]
STRANGE_TEXTS = [
    "",
    "x",
    "\0",
    "\x7f",
    "\u202e",
    "é",
    "𝕊",
    "a" * 600,
    "../..",
    "%00",
    "'\";--",
    "null",
    "NaN",
    "\ud7ff",
]
VERBS = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "FOO"]
PATHS_014 = ["/", "/openapi.json", "/api/v1/keys", "/api/v1/keys//status", "/api/v2/keys/s0/status", "/%0a", "/a%2fb"]
PATHS_SKIP = ["/", "/capabilities", "/key", "/key/", "/entropy", "/key/a/b", "/%00", "/Key"]


@dataclass
class Known:
    """Who asks, whom it may share keys with, and identifiers that it used."""

    sae: str
    other: str
    streams: list[uuid.UUID] = field(default_factory=list)


def json_value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(8 if depth < 4 else 5)
    if kind < 2:
        return rng.choice(STRANGE_NUMBERS)
    if kind < 4:
        return rng.choice(STRANGE_TEXTS)
    if kind == 4:
        return rng.choice([None, True, False, str(uuid.UUID(int=rng.getrandbits(128)))])
    if kind < 7:
        return {rng.choice(["a", "key_ID", "size", "é"]): json_value(rng, depth + 1) for _ in range(rng.randrange(4))}
    return [json_value(rng, depth + 1) for _ in range(rng.randrange(4))]


def noise(rng: random.Random, size_max: int = 200) -> bytes:
    return rng.randbytes(rng.randrange(size_max))


# --- HTTP


def http(rng: random.Random, verb: str, path: str, body: bytes) -> bytes:
    """One request; a few have a head that is wrong."""
    headers = ["Host: kme"]
    if body or rng.random() < 0.1:
        headers.append(f"Content-Length: {len(body)}")
        headers += rng.choices(
            [
                ["Content-Type: application/json"],
                ["Content-Type: text/plain"],
                ["Content-Type: a", "Content-Type: b"],
                [],
            ],
            (8, 1, 1, 1),
        )[0]
    if rng.random() < 0.02:
        headers.append(
            rng.choice(["Content-Length: -1", "Content-Length: 99999999", "Expect: 100-continue", "X" * 9000])
        )
    return "\r\n".join([f"{verb} {path} HTTP/1.1", *headers, "", ""]).encode("latin-1", "replace") + body


def request_014(rng: random.Random, known: Known) -> bytes:
    method = rng.choice(["status", "enc_keys", "enc_keys", "dec_keys"])
    sae = known.other if rng.random() < 0.7 else _name(rng)
    path = f"/api/v1/keys/{sae}/{method}" if rng.random() < 0.93 else rng.choice(PATHS_014)
    verb = rng.choices(["GET", "POST", rng.choice(VERBS)], (4, 5, 1))[0]
    if verb != "POST" or rng.random() < 0.1:
        path += _query(rng, ["number", "size", "key_ID", "x"])
        return http(rng, verb, path, noise(rng) if rng.random() < 0.05 else b"")
    return http(rng, verb, path, _body(rng, method))


def _name(rng: random.Random) -> str:
    if rng.random() < 0.2:
        return quote_from_bytes(noise(rng, 20), safe="") or "%"
    return quote(rng.choice([*STRANGE_TEXTS, "m1", "s1", "site0"]), safe="")


def _query(rng: random.Random, names: list[str]) -> str:
    values = [*(str(number) for number in STRANGE_NUMBERS), "1", "2", "256", str(uuid.UUID(int=rng.getrandbits(128)))]
    parts = [
        f"{rng.choice(names)}={quote(rng.choice(STRANGE_TEXTS)) if rng.random() < 0.2 else rng.choice(values)}"
        for _ in range(rng.choices([0, 1, 2, 12], (4, 4, 2, 1))[0])
    ]
    return "?" + "&".join(parts) if parts else ""


def _body(rng: random.Random, method: str) -> bytes:
    kind = rng.random()
    if kind < 0.06:
        return noise(rng)
    if kind < 0.08:
        return b"[" * 70_000 if rng.random() < 0.2 else b'{"a":' * rng.randrange(1, 5000) + b"1"
    if method == "dec_keys":
        ids = [{"key_ID": str(uuid.UUID(int=rng.getrandbits(128)))} for _ in range(rng.choice([0, 1, 1, 3, 129]))]
        members: Any = {"key_IDs": ids}
    else:
        members = {"number": rng.randrange(1, 4), "size": rng.choice([64, 256, 1024])}
        members |= {} if rng.random() < 0.7 else {"extension_optional": [{"qanat_max_age": 60}]}
    if rng.random() < 0.6:
        names = ["number", "size", "key_IDs", "additional_slave_SAE_IDs", "extension_mandatory", "extension_optional"]
        members[rng.choice(names)] = json_value(rng)
    data = json.dumps(json_value(rng) if rng.random() < 0.05 else members).encode()
    if rng.random() < 0.1:
        at = rng.randrange(len(data))
        data = data[:at] + noise(rng, 4) + data[at + 1 :]
    return data


def request_skip(rng: random.Random, known: Known) -> bytes:
    del known
    path = rng.choice(PATHS_SKIP) if rng.random() < 0.7 else f"/key/{uuid.UUID(int=rng.getrandbits(128)).hex}"
    path += _query(rng, ["remoteSystemID", "size", "minentropy", "x"])
    verb = "GET" if rng.random() < 0.9 else rng.choice(VERBS)
    return http(rng, verb, path, noise(rng) if rng.random() < 0.05 else b"")


# --- ETSI 004


def request_004(rng: random.Random, known: Known) -> bytes:
    """A frame; its streams do not wait, so that noise is answered at once."""
    kind = rng.random()
    if kind < 0.1:
        return noise(rng, 64) + bytes(16)
    if kind < 0.4:
        data = _open(rng, known)
    elif kind < 0.8:
        data = frame(Service.GET_KEY, _stream(rng, known).bytes + rng.randbytes(4) + rng.choice([0, 1024]).to_bytes(4))
    else:
        data = frame(Service.CLOSE, _stream(rng, known).bytes)
    if rng.random() < 0.3:
        at = rng.randrange(len(data))
        data = data[:at] + rng.randbytes(1) + data[at + 1 :]
    return data


def _stream(rng: random.Random, known: Known) -> uuid.UUID:
    is_known = known.streams and rng.random() < 0.6
    return rng.choice(known.streams) if is_known else uuid.UUID(int=rng.getrandbits(128))


def _open(rng: random.Random, known: Known) -> bytes:
    stream = _stream(rng, known)
    known.streams = [*known.streams[-8:], stream]
    numbers = [rng.choice([0, 8, 32, 512, 2**32 - 1]) for _ in range(3)]
    qos = StreamQos(chunk_bytes=numbers[0], bps_max=numbers[1], bps_min=numbers[2] if rng.random() < 0.3 else 0)
    uris = [f"qkd://{known.sae}@kme", f"qkd://{known.other}@kme"]
    if rng.random() < 0.2:
        uris[rng.randrange(2)] = rng.choice(["", "qkd://", "http://[", "x" * 300, "qkd://nobody@x"])
    return frame(
        Service.OPEN_CONNECT, b"".join(uri.encode() + b"\0" for uri in uris) + bytes_from_qos(qos) + stream.bytes
    )
