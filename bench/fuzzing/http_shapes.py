"""HTTP requests that fit, that have something odd about them, and those by which one request is smuggled in another."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum, auto
from urllib.parse import quote, quote_from_bytes

from fuzzing.values import STRANGE_NUMBERS, STRANGE_TEXTS, mutated, noise, random_uuid

VERBS = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "FOO"]
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: kme\r\n\r\n"


class Shape(Enum):
    """FITTING: one answer is due, and the connection goes on. ODD: an answer, or hanging up, as the server likes.
    AMBIGUOUS: two readers may see two different requests in it, so it must be refused as a whole (RFC 9112, 6.3)."""

    FITTING = auto()
    ODD = auto()
    AMBIGUOUS = auto()


@dataclass(frozen=True)
class Asked:
    data: bytes
    shape: Shape = Shape.FITTING

    @property
    def is_head(self) -> bool:
        return self.data.startswith(b"HEAD ")


def http(rng: random.Random, verb: str, path: str, body: bytes) -> Asked:
    """One request in some shape."""
    kind = rng.random()
    if kind < 0.01:
        return Asked(_ambiguous(rng, path, body or b"12345"), Shape.AMBIGUOUS)
    if kind < 0.02:
        return Asked(mutated(rng, _whole(rng, verb, path, body)), Shape.ODD)
    if kind < 0.03:
        return Asked(_odd(rng, verb, path, body), Shape.ODD)
    if kind < 0.05 and body:
        return Asked(_chunked(rng, verb, path, body))
    is_odd = verb in ("CONNECT", "TRACE", "FOO")  # the parser knows the last one not, and after the first no HTTP
    return Asked(_whole(rng, verb, path, body), Shape.ODD if is_odd else Shape.FITTING)


def _bytes(verb: str, path: str, headers: list[str], body: bytes = b"") -> bytes:
    return "\r\n".join([f"{verb} {path} HTTP/1.1", "Host: kme", *headers, "", ""]).encode("latin-1", "replace") + body


def _whole(rng: random.Random, verb: str, path: str, body: bytes) -> bytes:
    headers = []
    if body or rng.random() < 0.1:
        headers.append(f"Content-Length: {len(body)}")
        kinds = [["Content-Type: application/json"], ["Content-Type: text/plain"], ["Content-Type: a"] * 2, []]
        headers += rng.choices(kinds, (20, 1, 1, 1))[0]
    if rng.random() < 0.05:
        headers += rng.choice([["X-Forwarded-For: 10.0.0.1", "X-Client-Cert: m1"], ["Cookie: a=b"], ["Accept: text/x"]])
    return _bytes(verb, path, headers, body)


def _chunked(rng: random.Random, verb: str, path: str, body: bytes) -> bytes:
    """The body in chunks as they may be, an extension and a trailer included."""
    size = rng.randrange(1, len(body) + 1)
    parts = [body[at : at + size] for at in range(0, len(body), max(size, len(body) // 50 + 1))]
    parts = parts if b"".join(parts) == body else [body]
    extension = rng.choice([b"", b"", b";a=b"])
    chunks = b"".join(f"{len(part):x}".encode() + extension + b"\r\n" + part + b"\r\n" for part in parts)
    end = rng.choice([b"0\r\n\r\n", b"0\r\nX-Trailer: 1\r\n\r\n"])
    return _bytes(verb, path, ["Transfer-Encoding: chunked", "Content-Type: application/json"], chunks + end)


def _odd(rng: random.Random, verb: str, path: str, body: bytes) -> bytes:
    """A head that is wrong, too long, or of another age."""
    size = f"Content-Length: {len(body)}"
    heads = [
        ["Content-Length: 99999999"],
        [size, "Expect: 100-continue"],
        [size, "X" * 9000],
        [size, "X: " + "y" * 20_000],
        [size, *(f"X-{index}: 1" for index in range(900))],
        [size, "Host: other"],
        [size, "Upgrade: websocket", "Connection: Upgrade"],
        [size, "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAAA"],
        [size, "Connection: close"],
        [size, "X: a\0b"],
        [size, "X: a\r b"],
        [size, "Content-Encoding: gzip"],
    ]
    if rng.random() < 0.05:
        heads = [[f"Content-Length: {len(body) + 3}"]]  # three that never come
    data = _bytes(verb, path, rng.choice(heads), body)
    whole = b"HTTP/1.1"
    if rng.random() < 0.3:
        version = rng.choice([b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/9.9", b"HTTP/1.1 x", b"", b"ICY"])
        data = data.replace(whole, version, 1)
    if rng.random() < 0.1:
        data = rng.choice(
            [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00" + noise(rng), noise(rng) + b"\n"]
        )
    return data


def _ambiguous(rng: random.Random, path: str, body: bytes) -> bytes:
    """What one reader takes for the end of the body is in its middle for another; behind it hides a request."""
    size, zero = f"Content-Length: {len(body)}", b"0\r\n\r\n"
    chunked = "Transfer-Encoding: chunked"
    shapes: list[tuple[list[str], bytes]] = [
        ([f"Content-Length: {len(zero)}", chunked], zero),
        ([chunked, size], zero),
        ([size, f"Content-Length: {len(body) + len(HIDDEN)}"], body),
        ([f"Content-Length: {len(body)}, {len(body) + 1}"], body),
        ([f"Content-Length: +{len(body)}"], body),
        ([f"Content-Length: 0x{len(body):x}"], body),
        ([f"Content-Length: {len(body)} 7"], body),
        (["Content-Length: -1"], body),
        (["Content-Length:"], body),
        (["Content-Length: 18446744073709551620"], body),
        (["Transfer-Encoding: xchunked"], zero),
        (["Transfer-Encoding: chunked, identity"], zero),
        (["Transfer-Encoding: identity"], zero),
        (["Transfer-Encoding : chunked"], zero),
        (["Transfer-Encoding: \x0bchunked"], zero),
        ([chunked, "Transfer-Encoding: x"], zero),
        ([chunked], b"-1\r\n" + body + b"\r\n" + zero),
        ([chunked], b"0x5\r\n12345\r\n" + zero),
        ([chunked], b"FFFFFFFFFFFFFFFFF\r\n12345\r\n" + zero),
        ([chunked], b"5\r\n123456\r\n" + zero),
        ([chunked], b"5\r\n12345" + zero),
        ([chunked], b"\r\n12345\r\n" + zero),
        ([chunked], b"5;a=\0\r\n12345\r\n" + zero),
    ]
    headers, framed = rng.choice(shapes)
    return _bytes("POST", path, ["Content-Type: application/json", *headers], framed) + HIDDEN


# --- parts of a path


def strange_name(rng: random.Random, names: list[str]) -> str:
    """An SAE ID in a path, one that is known or one that cannot be."""
    if rng.random() < 0.2:
        return quote_from_bytes(noise(rng, 20), safe="") or "%"
    return quote(rng.choice([*STRANGE_TEXTS, *names]), safe="")


def query(rng: random.Random, names: list[str]) -> str:
    values = [*(str(number) for number in STRANGE_NUMBERS), "1", "2", "256", str(random_uuid(rng))]
    parts = [
        f"{rng.choice(names)}={quote(rng.choice(STRANGE_TEXTS)) if rng.random() < 0.2 else rng.choice(values)}"
        for _ in range(rng.choices([0, 1, 2, 12], (4, 4, 2, 1))[0])
    ]
    return "?" + "&".join(parts) if parts else ""


def strange_path(rng: random.Random, paths: list[str]) -> str:
    """One of these, or nearly."""
    path = rng.choice(paths)
    kind = rng.random()
    if kind < 0.5:
        return path
    changes = [
        "/" + path, path + "/", path + "//", path + "%00", path + "%2e%2e", path.replace("/", "%2f"), path.upper(),
        f"https://kme{path}", "*", path + "/../x", path + ";a=b", path + "#x", path + "?", "/" + "a" * 9000,
        path + "\\", path + "é", quote_from_bytes(noise(rng, 30)) or "/",
    ]  # fmt: skip
    return rng.choice(changes)
