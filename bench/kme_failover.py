"""Two KMEs of one site on PostgreSQL, and a live peer: the one that serves is killed, frozen or loses its database.

Run: python bench/kme_failover.py [--kills 20] [--freezes 3] [--restarts 3]

Applications ask in both directions over mutual TLS meanwhile. One row for each kind of fault, as JSON:

- ``next_key_s``: from the fault to the next key of a client (``qanat.sae``) that knows both addresses;
- ``any_key_s``: to the next key of any application at that site;
- keys given twice to one SAE, keys that differ at both ends, keys that a slave could not fetch although no answer of
  its own was lost, and those whose answer was lost (burned);
- ``unanswered``: requests without an answer, most of them connections that nobody took;
- ``answered_by_the_woken``: keys that a frozen instance gave out after it woke up and another one served.

The KME and its standby share a machine here, and its two cores with the database, the peer and the load.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from kme_faults import LINK, fetched_late, under_load
from support.kmes import LiveKmes, network_text
from support.load import connected, context_of, post, read_answer
from support.traffic import Memory, digest_of

from qanat.core.errors import QanatError
from qanat.core.ids import KeyId, SaeId, SiteId
from qanat.sae.client import KeyDeliveryClient
from qanat.sae.errors import KeysNotFound

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "node"))

from postgres_server import PostgresServer

SITE, FIRST, SECOND = SiteId("site0"), SiteId("site0"), SiteId("site0@2")
MASTER, SLAVE = SaeId("m7"), SaeId("s7")
CONNECTIONS = 8
PATIENCE_S = 1.0  # of every application for one answer: a frozen KME gives none
GIVEN_UP_S = 20.0


class Watcher:
    """An application with the client of ``qanat.sae``, which asks for one key after the other."""

    def __init__(self, kmes: LiveKmes) -> None:
        self._kmes = kmes
        self._client = self._client_of(MASTER, kmes.ports_of("site0"))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.given: dict[KeyId, str] = {}
        self.newest_s = 0.0
        self._thread.start()

    def _client_of(self, sae: SaeId, ports: list[int]) -> KeyDeliveryClient:
        files = self._kmes.credentials(sae)
        return KeyDeliveryClient(
            [f"https://127.0.0.1:{port}" for port in ports],
            certfile=files.certfile,
            keyfile=files.keyfile,
            cafile=files.cafile,
            timeout_s=PATIENCE_S,
        )

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                key = self._client.enc_keys(SLAVE)[0]
            except QanatError:
                time.sleep(0.01)
                continue
            self.given[key.key_id] = digest_of(key.bits.reveal())
            self.newest_s = time.monotonic()
            time.sleep(0.01)

    def next_s(self, since_s: float) -> float:
        """From then to the next key."""
        while self.newest_s <= since_s:
            if time.monotonic() > since_s + GIVEN_UP_S:
                raise SystemExit(f"no key within {GIVEN_UP_S:g} s")
            time.sleep(0.001)
        return self.newest_s - since_s

    def end(self) -> dict[str, int]:
        """Stop asking; the other end fetches every key and compares."""
        self._over.set()
        self._thread.join()
        lost = different = 0
        with self._client_of(SLAVE, self._kmes.ports_of("site1")) as slave:
            for key_id, digest in self.given.items():
                try:
                    different += digest_of(slave.key_of(MASTER, key_id).bits.reveal()) != digest
                except KeysNotFound:
                    lost += 1
        self._client.close()
        return {"keys": len(self.given), "lost": lost, "different": different, "burned_max": self._client.burned_max}


class Faults:
    """What is done to the instance that serves, and how long it then takes."""

    def __init__(self, kmes: LiveKmes, postgresql: PostgresServer, watcher: Watcher, memory: Memory) -> None:
        self._kmes, self._postgresql, self._watcher, self._memory = kmes, postgresql, watcher, memory
        self.next_key_s: list[float] = []
        self.any_key_s: list[float] = []
        self.answered_by_the_woken = 0

    def kill(self) -> None:
        active = self._kmes.serving(SITE)
        begin_s = time.monotonic()
        self._kmes.kill(active)
        self._measure(begin_s)
        self._kmes.start(active)

    def freeze(self) -> None:
        active = self._kmes.serving(SITE)
        popen, port = self._kmes.popens[active], self._kmes.ports.key_delivery[active]
        context = context_of(self._kmes.credentials("m6"))
        lines = [connected(port, context, 3) for _ in range(4)]
        begin_s = time.monotonic()
        os.kill(popen.pid, signal.SIGSTOP)
        for line in lines:
            line.sendall(post("/api/v1/keys/s6/enc_keys", b'{"number":1}'))
        self._measure(begin_s)
        os.kill(popen.pid, signal.SIGCONT)
        self.answered_by_the_woken += sum(is_key(line) for line in lines)

    def restart_database(self) -> None:
        """Counted from the moment at which the server takes connections again."""
        self._postgresql.stop("immediate")
        self._postgresql.start()
        self._measure(time.monotonic())

    def _measure(self, begin_s: float) -> None:
        any_key = threading.Thread(target=lambda: self.any_key_s.append(self._any_s(begin_s)))
        any_key.start()
        self.next_key_s.append(self._watcher.next_s(begin_s))
        any_key.join()

    def _any_s(self, begin_s: float) -> float:
        before = self._given()
        while self._given() == before and time.monotonic() < begin_s + GIVEN_UP_S:
            time.sleep(0.001)
        return time.monotonic() - begin_s

    def _given(self) -> int:
        with self._memory.lock:
            return sum(len(seen) for name, seen in self._memory.seen_by.items() if name.startswith("m"))

    def until_both_are_there(self) -> None:
        end_s = time.monotonic() + GIVEN_UP_S
        while {self._kmes.health(FIRST), self._kmes.health(SECOND)} != {"serving", "standby"}:
            if time.monotonic() > end_s:
                raise SystemExit("the instances do not come back")
            time.sleep(0.02)


def is_key(line: ssl.SSLSocket) -> bool:
    try:
        return read_answer(line)[0] == 200
    except OSError:
        return False


def row(kmes: LiveKmes, postgresql: PostgresServer, count: int, fault: Callable[[Faults], None]) -> dict[str, object]:
    memory, watcher = Memory(), Watcher(kmes)
    faults = Faults(kmes, postgresql, watcher, memory)

    def chaos() -> None:
        for number in range(count):
            faults.until_both_are_there()
            if number % 5 == 0:
                kmes.feed(LINK, 4)
            time.sleep(0.5)
            fault(faults)
        faults.until_both_are_there()
        time.sleep(0.5)

    under_load(kmes, memory, CONNECTIONS, chaos, PATIENCE_S)
    if len(faults.next_key_s) != count:
        raise SystemExit(f"{len(faults.next_key_s)} of {count} faults were measured")
    lost = len(fetched_late(kmes, memory))
    client = watcher.end()
    return {
        "faults": count,
        "next_key_s": spread(faults.next_key_s),
        "any_key_s": spread(faults.any_key_s),
        "keys_at_masters": len(memory.sent) + client["keys"],
        "keys_at_slaves": len(memory.got) + client["keys"] - client["lost"],
        "twice": memory.twice,
        "different": memory.different + client["different"],
        "lost": lost + client["lost"],
        "burned_at_slaves": sum(key not in memory.got for key in memory.unanswered_dec),
        "unanswered": memory.unanswered_enc + sum(memory.unanswered_dec.values()),
        "burned_max_at_the_client": client["burned_max"],
        "answered_by_the_woken": faults.answered_by_the_woken,
        "codes": dict(memory.codes),
    }


def spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "min": round(ordered[0], 3),
        "median": round(ordered[len(ordered) // 2], 3),
        "max": round(ordered[-1], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--freezes", type=int, default=3)
    parser.add_argument("--restarts", type=int, default=3)
    words = parser.parse_args()
    postgresql = PostgresServer()
    database = postgresql.new_database()
    table = f'[postgresql]\nsocket = "{database.socket}"\ndatabase = "{database.database}"\nuser = "{database.user}"\n'
    plans = (
        ("kill -9", words.kills, Faults.kill),
        ("freeze", words.freezes, Faults.freeze),
        ("database restarted", words.restarts, Faults.restart_database),
    )
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            LiveKmes(Path(folder), text=network_text(2, 8, kme_count=2), databases={SITE: table}) as kmes,
        ):
            kmes.feed(LINK, 10)
            time.sleep(1.0)
            for what, count, fault in plans:
                if count:
                    print(json.dumps({"what": what, **row(kmes, postgresql, count, fault)}), flush=True)
    finally:
        postgresql.remove()


if __name__ == "__main__":
    main()
