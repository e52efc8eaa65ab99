"""Strange numbers, texts, JSON values, and JSON that is no JSON."""

from __future__ import annotations

import json
import random
import uuid
from typing import Any

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
# In place of a value: what Python or JavaScript may write and JSON does not have, or has too much of.
STRANGE_JSON = [b"NaN", b"-Infinity", b"1e400", b"9" * 5000, b"01", b'"\\ud800"', b'"\xff"', b'"\\u0000"', b"'x'", b""]


def random_uuid(rng: random.Random) -> uuid.UUID:
    return uuid.UUID(int=rng.getrandbits(128))


def json_value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(8 if depth < 4 else 5)
    if kind < 2:
        return rng.choice(STRANGE_NUMBERS)
    if kind < 4:
        return rng.choice(STRANGE_TEXTS)
    if kind == 4:
        return rng.choice([None, True, False, str(random_uuid(rng))])
    if kind < 7:
        return {rng.choice(["a", "key_ID", "size", "é"]): json_value(rng, depth + 1) for _ in range(rng.randrange(4))}
    return [json_value(rng, depth + 1) for _ in range(rng.randrange(4))]


def noise(rng: random.Random, size_max: int = 200) -> bytes:
    return rng.randbytes(rng.randrange(size_max))


def json_body(rng: random.Random, members: dict[str, Any], names: list[str]) -> bytes:
    """These members; mostly with something wrong.

    Args:
        names: Of members that the door knows; one of them may get a strange value.
    """
    kind = rng.random()
    if kind < 0.05:
        return noise(rng)
    if kind < 0.07:
        return b"[" * 70_000 if rng.random() < 0.2 else b'{"a":' * rng.randrange(1, 5000) + b"1"
    if kind < 0.12:
        return b"{" + _duplicated(rng, members, rng.choice(names)) + b"}"
    if rng.random() < 0.45:
        members = members | {rng.choice(names): json_value(rng)}
    if rng.random() < 0.1:
        members = {name: value for name, value in members.items() if rng.random() < 0.7}
    data = json.dumps(json_value(rng) if rng.random() < 0.05 else members, ensure_ascii=rng.random() < 0.5).encode()
    if rng.random() < 0.1:
        data = mutated(rng, data)
    return data + (rng.choice([b"\0", b"{}", b" ", b"]", b"\xef\xbb\xbf"]) if rng.random() < 0.05 else b"")


def _duplicated(rng: random.Random, members: dict[str, Any], name: str) -> bytes:
    """The inside of an object that has a member twice, or a value that is none."""
    pairs = [json.dumps(key).encode() + b":" + json.dumps(value).encode() for key, value in members.items()]
    value = rng.choice(STRANGE_JSON) if rng.random() < 0.6 else json.dumps(json_value(rng)).encode()
    pairs.insert(rng.randrange(len(pairs) + 1), json.dumps(name).encode() + b":" + value)
    return b",".join(pairs)


def mutated(rng: random.Random, data: bytes) -> bytes:
    """A byte or a few are others, more, or gone."""
    at = rng.randrange(len(data))
    return data[:at] + noise(rng, 4) + data[at + rng.randrange(2) :]
