"""Applications of the tiny network that fetch keys from its live KMEs and compare what they got."""

from __future__ import annotations

import threading
import time

from live_network import TINY, Live, until

from qanat.cli.check import load_network
from qanat.core.errors import QanatError
from qanat.core.ids import KeyId, SaeId
from qanat.node.demo.applications import Pair, Record

ALICE, BOB = SaeId("alice"), SaeId("bob")


def pair_of(live: Live, record: Record, saes: tuple[SaeId, SaeId] = (ALICE, BOB)) -> Pair:
    return Pair(load_network(TINY), live.state, saes, record)


class Load:
    """Alice and Bob fetch keys without rest, in a thread; refusals are normal, doubles are not."""

    def __init__(self, live: Live) -> None:
        self.live, self.record = live, Record()
        self.waiting: list[KeyId] = []  # Alice holds it, Bob has not been given it yet
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        pair = pair_of(self.live, self.record)
        while not self._stop.is_set():
            try:
                sent = pair._clients[0].enc_keys(BOB)[0]
            except QanatError:
                continue
            self.record.note("master", sent)
            try:
                pair.take(sent.key_id)
            except QanatError:
                self.waiting.append(sent.key_id)
                time.sleep(0.1)  # Bob's KME is away; some keys that wait for him are enough

    def wait_for(self, count: int) -> None:
        """Until so many more keys are at both."""
        wanted = len(self.record.as_slave) + count
        until(lambda: len(self.record.as_slave) >= wanted, patience_s=60, pause_s=0.02)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
