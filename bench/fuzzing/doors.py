"""The doors of a stage as one thread of the fuzzer uses them: who calls, by which connection, with which requests."""

from __future__ import annotations

import contextlib
import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from support.load import connected, context_of, get

from fuzzing.answers import Closed, Line, answer_004, answer_ambiguous, judged, read_http
from fuzzing.http_shapes import Asked, Shape
from fuzzing.keys import STREAMS, Known, request_014, request_020, request_skip
from fuzzing.offices import request_kme, request_registrar, request_renewal
from fuzzing.psk_line import PskLine
from fuzzing.stage import PARTNER, SITES, VAULT, Stage
from fuzzing.streams import request_004, request_push
from fuzzing.values import random_uuid
from qanat.node.pki import Credentials

PATIENCE_S = 12  # the servers end a request after ten


class Door(Protocol):
    def ask(self, rng: random.Random) -> tuple[str, Asked]:
        """What came of one request."""


@dataclass
class KnownDoor:
    """A caller who may come in, on a connection that is kept while both ends know what comes next."""

    connect: Callable[[], Line]
    make: Callable[[random.Random, Known], Asked]
    known: Known
    is_http: bool = True
    line: Line | None = None

    def ask(self, rng: random.Random) -> tuple[str, Asked]:
        asked = self.make(rng, self.known)
        try:
            if self.line is None:
                self.line = self.connect()
            _send(rng, self.line, asked)
            found = self._answer(self.line, asked)
        except (Closed, ConnectionError, ssl.SSLError):
            found = "closed"
        except TimeoutError:
            found = "unfinished"  # our request announced more than it had
        if found in ("closed", "unfinished") or asked.shape is not Shape.FITTING:
            self._drop()
        if asked.shape is Shape.FITTING and self.is_http and found in ("closed", "unfinished"):
            found = f"broken: {found}, although the request was whole"
        return found, asked

    def _answer(self, line: Line, asked: Asked) -> str:
        if not self.is_http:
            return answer_004(line)
        if asked.shape is Shape.AMBIGUOUS:
            return answer_ambiguous(line)
        head, body, rest = read_http(line, is_head=asked.is_head)
        if b"connection: close" in head.lower():
            self._drop()
        elif rest and asked.shape is Shape.FITTING:
            return f"broken: {len(rest)} bytes after the answer"
        return judged(head, body, is_head=asked.is_head)

    def _drop(self) -> None:
        if self.line is not None:
            with contextlib.suppress(OSError):
                self.line.close()
            self.line = None


def _send(rng: random.Random, line: Line, asked: Asked) -> None:
    """Whole, or rarely in pieces."""
    at = rng.randrange(len(asked.data) + 1) if rng.random() < 0.03 else 0
    for part in (asked.data[:at], asked.data[at:]):
        if part:
            line.sendall(part)


@dataclass
class Strangers:
    """Callers who have no business at a door: certificates of other kinds, no certificate, no TLS, keys nobody has."""

    stage: Stage
    ports: dict[str, int]
    psk_port: int

    def ask(self, rng: random.Random) -> tuple[str, Asked]:
        name, port = rng.choice(list(self.ports.items()))
        asked = Asked(get("/openapi.json") if name != "020" else get("/kmapi/versions"))
        try:
            with contextlib.closing(self._connected(rng, name, port)) as line:
                line.sendall(asked.data)
                head, body, _ = read_http(line, is_head=False)
        except (Closed, OSError, ssl.SSLError):
            return "refused", asked
        found = judged(head, body, is_head=False)
        return (found if found.startswith(("401", "broken")) else f"broken: {found} for a stranger at {name}"), asked

    def _connected(self, rng: random.Random, name: str, port: int) -> Line:
        kind = rng.random()
        if kind < 0.1:
            identity = rng.choice([b"router-m0", b"nobody", b"x" * 128, b"\xff"])
            return PskLine(self.psk_port, identity, rng.randbytes(32), PATIENCE_S)
        if kind < 0.3:
            bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            bare.check_hostname, bare.verify_mode = False, ssl.CERT_NONE
            return connected(port, bare, PATIENCE_S)
        return connected(port, _context(rng.choice(self.stage.strangers(name))), PATIENCE_S)


_contexts: dict[str, ssl.SSLContext] = {}


def _context(files: Credentials) -> ssl.SSLContext:
    """One of each certificate: sessions are not resumed, and loading takes as long as a handshake."""
    name = str(files.certfile)
    if name not in _contexts:
        _contexts[name] = context_of(files)
    return _contexts[name]


WEIGHTS = {
    "014": 6, "skip": 3, "004": 2, "push": 5, "020": 3, "admin": 4, "registrar": 2, "renewal": 2, "skip-psk": 3,
    "strangers": 1,
}  # fmt: skip


def doors_of(stage: Stage, index: int) -> dict[str, Door]:
    """Of the thread of this number. Odd ones are the slaves' at the second site."""
    sae, site, other = ("s0", SITES[1], "m0") if index % 2 else ("m0", SITES[0], "s0")
    ports, places = stage.ports, stage.places
    shared = random.Random(index // 2)  # with the thread at the other end
    known, own = Known(sae, other, [random_uuid(shared) for _ in range(STREAMS)]), stage.kmes.credentials(sae)
    renews = stage.kmes.credentials(("m1", "m2", "s1", "s2")[index % 4])

    def by(files: Credentials, port: int) -> Callable[[], Line]:
        return lambda: connected(port, _context(files), PATIENCE_S)

    callback_url = stage.kmes.network.partners[PARTNER].callback_url
    psk_port, secret = ports.skip_psk[site], stage.psks[sae]
    doors: dict[str, Door] = {
        "014": KnownDoor(by(own, ports.key_delivery[site]), request_014, known),
        "skip": KnownDoor(by(own, ports.skip[site]), request_skip, known),
        "004": KnownDoor(by(own, ports.streams[site]), request_004, known, is_http=False),
        "push": KnownDoor(by(own, ports.push[site]), request_push, known),
        "020": KnownDoor(
            by(stage.partner, places["border"]), request_020, Known(VAULT, "m0", callback_url=callback_url)
        ),
        "admin": KnownDoor(by(stage.operator(index), places[site]), request_kme, known),
        "registrar": KnownDoor(by(stage.operator(index), places["operators"]), request_registrar, known),
        "renewal": KnownDoor(by(renews, places["applications"]), request_renewal, known),
        "skip-psk": KnownDoor(
            lambda: PskLine(psk_port, f"router-{sae}".encode(), secret, PATIENCE_S), request_skip, known
        ),
    }
    at = {"014": ports.key_delivery[site], "skip": ports.skip[site], "push": ports.push[site], "020": places["border"]}
    at |= {"admin": places[site], "registrar": places["operators"], "renewal": places["applications"]}
    return doors | {"strangers": Strangers(stage, at, psk_port)}
