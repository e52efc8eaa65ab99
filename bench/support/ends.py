"""Applications at the ends of a long way: one pair that asks at a pace, and one that takes whatever comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from qanat.core.errors import QanatError
from qanat.core.ids import SaeId
from qanat.node.demo.applications import Pair, Record
from qanat.node.pki import sae_credentials
from qanat.sae.client import KeyDeliveryClient
from support.detour import SETTLE_S, Detour, waited

PAUSE_S = 0.05
FIRST, LAST = SaeId("first"), SaeId("last")


@dataclass
class Request:
    """One key asked for, at both ends."""

    begun_s: float
    ended_s: float
    links: tuple[str, ...] | None  # None: refused
    nodes: tuple[str, ...] = ()


@dataclass
class Load:
    """The two applications, in a thread."""

    detour: Detour
    record: Record = field(default_factory=Record)
    requests: list[Request] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Load:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        pair = Pair(self.detour.network, self.detour.state, (FIRST, LAST), self.record)
        while not self._over.is_set():
            begun_s = time.monotonic()
            try:
                provenance = pair.exchange().slave.provenance
                assert provenance is not None
                found = Request(begun_s, time.monotonic(), provenance.links, provenance.trusted_nodes)
            except QanatError:
                found = Request(begun_s, time.monotonic(), None)
            self.requests.append(found)
            self._over.wait(max(0.0, begun_s + PAUSE_S - time.monotonic()))

    def first(self, since_s: float, is_it: Callable[[Request], bool]) -> float | None:
        """Seconds from then to the end of the first such request."""
        return next((r.ended_s - since_s for r in self.requests if r.begun_s >= since_s and is_it(r)), None)

    def is_steady(self, link: str) -> bool:
        """Twice a buffer of keys came over the link: none that came around it is left."""
        newest = self.requests[-2 * self.detour.network.policy.buffer_keys :]
        return all(request.links is not None and link in request.links for request in newest)

    def refused_s(self, since_s: float) -> float:
        """Longest time from a refusal to the next key."""
        longest_s, refused_s = 0.0, None
        for request in self.requests:
            if request.begun_s < since_s:
                continue
            if request.links is None:
                refused_s = request.begun_s if refused_s is None else refused_s
            elif refused_s is not None:
                longest_s, refused_s = max(longest_s, request.ended_s - refused_s), None
        if refused_s is not None:
            longest_s = max(longest_s, self.requests[-1].ended_s - refused_s)
        return longest_s


class Taker:
    """Takes all keys that there are at the first end, while it lasts: the buffer is empty, whatever is relayed."""

    def __init__(self, detour: Detour, record: Record) -> None:
        self._detour, self._record = detour, record
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.took: list[tuple[float, tuple[str, ...]]] = []  # when, links

    def __enter__(self) -> Taker:
        self._thread.start()
        waited(lambda: bool(self.took), SETTLE_S, "the buffer is empty")
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        files = sae_credentials(self._detour.state, FIRST)
        url = f"https://127.0.0.1:{self._detour.supervisor.ports.key_delivery[self._detour.ends[0]]}"
        with KeyDeliveryClient(url, certfile=files.certfile, keyfile=files.keyfile, cafile=files.cafile) as client:
            while not self._over.is_set():
                with suppress(QanatError):
                    for key in client.enc_keys(LAST, client.status(LAST).stored_key_count):
                        self._record.note("master", key)
                        assert key.provenance is not None
                        self.took.append((time.monotonic(), key.provenance.links))
                self._over.wait(0.02)

    def first(self, since_s: float, is_it: Callable[[tuple[str, ...]], bool]) -> float | None:
        return next((at_s - since_s for at_s, links in self.took if at_s >= since_s and is_it(links)), None)
