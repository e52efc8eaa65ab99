"""Many threads that ask random things at all doors, and two that keep keys and pushed streams flowing meanwhile."""

from __future__ import annotations

import collections
import random
import threading
import time

from fuzzing.doors import WEIGHTS, doors_of
from fuzzing.http_shapes import Asked
from fuzzing.stage import LINK, Stage
from fuzzing.streams_kept import StreamsKept

THREADS = 24  # most of them wait: an unknown key may be on its way for half a second
FEED_S = 60.0
Counts = collections.Counter[str]


class Fuzzer:
    """Shares the numbers between threads."""

    def __init__(self, stage: Stage, requests: int, seconds: float, seed: int) -> None:
        self._stage, self._left, self._end = stage, requests, time.monotonic() + seconds
        self._lock, self._seed, self._over = threading.Lock(), seed, threading.Event()
        self.counts: dict[str, Counts] = collections.defaultdict(collections.Counter)
        self.examples: dict[str, str] = {}

    def run(self) -> None:
        kept = StreamsKept(self._stage, self._over)
        helpers = [threading.Thread(target=work) for work in (self._feed, kept.run)]
        threads = [threading.Thread(target=self._work, args=(index,)) for index in range(THREADS)]
        for thread in [*helpers, *threads]:
            thread.start()
        for thread in threads:
            thread.join()
        self._over.set()
        for thread in helpers:
            thread.join()
        self.counts["push, kept"] = kept.counts
        for name, endpoint in self._stage.endpoints.items():
            self.counts[f"answers of endpoint {name}"] = endpoint.counts

    @property
    def broken(self) -> list[str]:
        return [f"{door} {name}" for door, found in self.counts.items() for name in found if name.startswith("broken")]

    @property
    def request_count(self) -> int:
        return sum(sum(self.counts[door].values()) for door in WEIGHTS)

    def _work(self, index: int) -> None:
        rng, doors = random.Random(f"{self._seed}/{index}"), doors_of(self._stage, index)
        while self._take():
            name = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            try:
                found, asked = doors[name].ask(rng)
            except Exception as error:  # noqa: BLE001 - a fault of ours, or an answer that we cannot read
                found, asked = f"broken: {type(error).__name__}: {error}", Asked(b"")
            self._note(name, found, asked)

    def _take(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left >= 0 and time.monotonic() < self._end

    def _note(self, door: str, found: str, asked: Asked) -> None:
        with self._lock:
            self.counts[door][found] += 1
            if found.startswith(("broken", "unfinished")):
                self.examples.setdefault(f"{door} {found}", repr(asked.data[:600]))

    def _feed(self) -> None:
        while not self._over.wait(FEED_S):
            self._stage.kmes.feed(LINK, 1)
