"""Memory of two live KMEs under steady load: prints one JSON line a minute and one at the end.

Run: python bench/soak.py [--minutes 60] [--per-s 100]

Applications in both directions take so many keys a second at both ends, over connections kept alive; QKD modules hand
in a block as often as the keys need one, and connections are made anew now and then. Growth is counted from a tenth of
the time on, when buffers and caches have filled: each KME's own memory (anonymous pages), last against first, and
the slope of a straight line through all minutes over the same time.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from support.kmes import BLOCK_BYTES, LiveKmes
from support.routes import RouteHub
from support.traffic import Application, Memory, exchange

from qanat.core.ids import LinkId, SiteId
from qanat.node.processes.config import hub_socket

LINK = LinkId("site0-site1")
SITES = (SiteId("site0"), SiteId("site1"))
THREADS = 4
KEY_BYTES = 32


class Pace:
    """So many a second for all threads together."""

    def __init__(self, per_s: float) -> None:
        self._step_s, self._next_s = 1 / per_s, time.monotonic()
        self._lock = threading.Lock()

    def wait(self) -> None:
        with self._lock:
            self._next_s = max(self._next_s + self._step_s, time.monotonic() - 1)
            pause_s = self._next_s - time.monotonic()
        if pause_s > 0:
            time.sleep(pause_s)


def work(kmes: LiveKmes, index: int, pace: Pace, memory: Memory, stop: threading.Event) -> None:
    """One pair, its keys taken at one end or the other in turn."""
    here, there = Application(kmes, f"m{index}", "site0", memory), Application(kmes, f"s{index}", "site1", memory)
    count = 0
    while not stop.is_set():
        pace.wait()
        exchange(*((here, there) if count % 2 else (there, here)), memory)
        count += 1
        if count % 1000 == 0:
            here.close()
            there.close()
    here.close()
    there.close()


def supplied(kmes: LiveKmes, per_s: float, stop: threading.Event) -> None:
    period_s = BLOCK_BYTES / KEY_BYTES / per_s / 1.1
    while not stop.wait(period_s):
        kmes.feed(LINK, 1)


def growth(sizes: list[float]) -> dict[str, float]:
    """Shares of the first size: of the last, and of a straight line over the whole time."""
    slope = float(np.polyfit(range(len(sizes)), sizes, 1)[0]) * (len(sizes) - 1)
    return {"last": round(sizes[-1] / sizes[0] - 1, 4), "line": round(slope / sizes[0], 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--per-s", type=float, default=100.0)
    asked = parser.parse_args()
    memory, stop = Memory(), threading.Event()
    samples: dict[SiteId, list[float]] = {site: [] for site in SITES}
    with tempfile.TemporaryDirectory() as folder, LiveKmes(Path(folder)) as kmes:
        # A KME keeps what it has to tell until somebody listens: some thousand reports, if nobody ever does.
        RouteHub(kmes.sockets[hub_socket()], kmes.network)
        kmes.feed(LINK, 20)
        pace = Pace(asked.per_s)
        threads = [
            threading.Thread(target=work, args=(kmes, index, pace, memory, stop), daemon=True)
            for index in range(THREADS)
        ]
        threads.append(threading.Thread(target=supplied, args=(kmes, asked.per_s, stop), daemon=True))
        for thread in threads:
            thread.start()
        begin, parts = time.monotonic(), 60
        for part in range(1, parts + 1):
            time.sleep(max(0.0, begin + asked.minutes * 60 * part / parts - time.monotonic()))
            for site in SITES:
                samples[site].append(round(kmes.own_mb(site), 2))
            row = {"what": "soak", "minute": round(asked.minutes * part / parts, 2), "keys": len(memory.sent)}
            print(json.dumps(row | {"own_mb": {site: samples[site][-1] for site in SITES}}), flush=True)
            memory.keys.clear()  # only the search of the disk wants them
        stop.set()
        for thread in threads:
            thread.join(10)
        first = parts // 10
        found = {site: growth(samples[site][first:]) for site in SITES}
        row = {"what": "soak, growth", "minutes": asked.minutes, "keys": len(memory.sent), "fetched": len(memory.got)}
        bad = {"twice": memory.twice, "different": memory.different, "codes": dict(memory.codes)}
        print(json.dumps(row | bad | {"growth": found}), flush=True)


if __name__ == "__main__":
    main()
