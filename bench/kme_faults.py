"""Two live KMEs under load while one of them is killed: prints one JSON line per row.

Run: python bench/kme_faults.py [--kills 1000] [--rounds 100] [--minutes 10]

- race: 64 connections ask for one key_ID at once; exactly one may get it.
- kill -9: applications in both directions while a KME is killed at random points and started again; afterwards every
  key that a master was given is fetched by its slave. Counted: keys given twice to one SAE, keys that differ, keys
  that a slave could not fetch although no answer of its own was lost ("burned" are those whose answer was lost).
- deadline: 16 connections in both directions for so long, a KME killed and started again 20 times; the slowest answer.
- search: all files of the state directory, logs and audit included, and core files, for the keys of the rows above, as
  bytes, hex and base64.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from ssl import SSLSocket

import numpy as np
from support.kmes import LiveKmes
from support.load import connected, context_of, post, read_answer
from support.traffic import DEADLINE_S, Application, Memory, exchange, fetch

from qanat.core.ids import LinkId, SiteId

LINK = LinkId("site0-site1")
SITES = ("site0", "site1")
RACERS = 64
LATE_S = 20.0  # twice the longest time after which a KME sends again what was not acknowledged, and some


def race(kmes: LiveKmes, rounds: int) -> dict[str, object]:
    master = Application(kmes, "m0", "site0", Memory())
    context = context_of(kmes.credentials("s0"))
    lines = [connected(kmes.port("site1"), context) for _ in range(RACERS)]
    wins: list[int] = []
    for _ in range(rounds):
        answer = master.ask("/api/v1/keys/s0/enc_keys", {"number": 1})
        assert answer is not None
        key_id = answer[1]["keys"][0]["key_ID"]  # type: ignore[index]
        request = post("/api/v1/keys/m0/dec_keys", json.dumps({"key_IDs": [{"key_ID": key_id}]}).encode())
        barrier, codes = threading.Barrier(RACERS), [0] * RACERS

        in_threads(partial(racer, lines, request, barrier, codes), RACERS)
        wins.append(codes.count(200))
    return {"rounds": rounds, "exactly_one": wins.count(1), "none": wins.count(0), "several": sum(w > 1 for w in wins)}


def racer(lines: list[SSLSocket], request: bytes, barrier: threading.Barrier, codes: list[int], index: int) -> None:
    barrier.wait()
    lines[index].sendall(request)
    codes[index] = read_answer(lines[index])[0]


def in_threads(work: Callable[[int], None], count: int) -> None:
    threads = [threading.Thread(target=work, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def under_load(
    kmes: LiveKmes,
    memory: Memory,
    connections: int,
    chaos: Callable[[], None],
    patience_s: float = 2 * DEADLINE_S,
) -> None:
    """Applications in both directions until ``chaos`` returns."""
    done = threading.Event()

    def pair(index: int) -> None:
        names = (f"m{index // 2}", f"s{index // 2}")
        ends = [Application(kmes, name, site, memory, patience_s) for name, site in zip(names, SITES, strict=True)]
        master, slave = ends if index % 2 == 0 else ends[::-1]
        while not done.is_set():
            exchange(master, slave, memory)

    def run(index: int) -> None:
        if index < connections:
            pair(index)
            return
        try:
            chaos()
        finally:
            done.set()

    in_threads(run, connections + 1)


def killing(kmes: LiveKmes, kills: int, pause_s: float, rng: random.Random) -> Callable[[], None]:
    def chaos() -> None:
        for number in range(kills):
            if number % 20 == 0:
                kmes.feed(LINK, 10)
            time.sleep(rng.uniform(0.0, pause_s))
            site = SiteId(rng.choice(SITES))
            kmes.kill(site)
            kmes.start(site)
        time.sleep(2.0)

    return chaos


def fetched_late(kmes: LiveKmes, memory: Memory) -> list[str]:
    """Slaves fetch what they have not, for as long as a message between KMEs may be on its way.

    Returns:
        The key IDs that they cannot get and never lost an answer for.
    """
    ends = {
        name: Application(kmes, name, site, memory)
        for index in range(kmes.pairs)
        for name, site in ((f"m{index}", "site0"), (f"s{index}", "site1"))
    }
    missing = [key_id for key_id in memory.sent if key_id not in memory.got]
    end = time.monotonic() + LATE_S
    while missing and time.monotonic() < end:
        time.sleep(1.0)
        missing = [key_id for key_id in missing if not fetched(ends, memory, key_id)]
    return [key_id for key_id in missing if not memory.unanswered_dec[key_id]]


def fetched(ends: dict[str, Application], memory: Memory, key_id: str) -> bool:
    pair, _digest = memory.sent[key_id]
    master, slave = pair.split("/")
    return fetch(ends[slave], master, key_id, pair, memory)


def kill_row(kmes: LiveKmes, memory: Memory, kills: int, seed: int) -> dict[str, object]:
    begin = time.monotonic()
    under_load(kmes, memory, 8, killing(kmes, kills, 0.3, random.Random(seed)))
    lost = fetched_late(kmes, memory)
    return {
        "kills": kills,
        "seed": seed,
        "wall_s": round(time.monotonic() - begin, 1),
        "keys_at_masters": len(memory.sent),
        "keys_at_slaves": len(memory.got),
        "twice": memory.twice,
        "different": memory.different,
        "lost": len(lost),
        "burned_at_slaves": sum(key not in memory.got for key in memory.unanswered_dec),
        "enc_unanswered": memory.unanswered_enc,
        "codes": dict(memory.codes),
    }


def deadline_row(kmes: LiveKmes, minutes: float, kills: int, seed: int) -> dict[str, object]:
    memory, rng = Memory(), random.Random(seed)

    def chaos() -> None:
        for _ in range(kills):
            kmes.feed(LINK, max(2, int(6 * minutes)))
            time.sleep(60 * minutes / kills)
            site = SiteId(rng.choice(SITES))
            kmes.kill(site)
            kmes.start(site)

    begin = time.monotonic()
    under_load(kmes, memory, 16, chaos)
    return {
        "minutes": round((time.monotonic() - begin) / 60, 2),
        "kills": kills,
        "slowest_s": round(memory.slowest_s, 3),
        "keys": len(memory.sent),
        "twice": memory.twice,
        "different": memory.different,
        "codes": dict(memory.codes),
    }


def search_row(kmes: LiveKmes, keys: list[bytes]) -> dict[str, object]:
    """Every file under the bench's folder, at every byte: 16 bytes of each key, as bytes, hex and base64."""
    needles: set[bytes] = set()
    for key in keys:
        needles |= {key[:16], key[:16].hex().encode(), base64.b64encode(key)[:20]}
    files = [path for path in kmes.folder.rglob("*") if path.is_file()]
    cores = [path.name for path in (*files, *Path.cwd().glob("core*")) if path.name.startswith("core")]
    hits = sum(found(path.read_bytes(), needles) for path in files)
    planted = found(b"x" * 7 + min(needles) + b"y" * 9, needles)  # the search itself is seen to find
    return {"keys": len(keys), "files": len(files), "hits": hits, "cores": len(cores), "planted_found": planted}


def found(data: bytes, needles: set[bytes]) -> int:
    """How many needles begin somewhere: by their first eight bytes at once, and then the whole."""
    heads = np.unique(np.frombuffer(b"".join(needle[:8] for needle in needles), dtype="<u8"))
    sizes = {len(needle) for needle in needles}
    count = 0
    for shift in range(min(8, len(data))):
        usable = (len(data) - shift) // 8 * 8
        words = np.frombuffer(data, dtype="<u8", offset=shift, count=usable // 8)
        for index in np.flatnonzero(np.isin(words, heads)):
            start = shift + 8 * int(index)
            count += any(data[start : start + size] in needles for size in sizes)
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, LiveKmes(Path(folder)) as kmes:
        kmes.feed(LINK, 10)
        time.sleep(1.0)
        print(json.dumps({"what": "race", **race(kmes, words.rounds)}), flush=True)
        memory = Memory()
        print(json.dumps({"what": "kill -9", **kill_row(kmes, memory, words.kills, words.seed)}), flush=True)
        kills = max(2, round(2 * words.minutes))
        print(json.dumps({"what": "deadline", **deadline_row(kmes, words.minutes, kills, words.seed)}), flush=True)
        print(json.dumps({"what": "search", **search_row(kmes, memory.keys[:10_000])}), flush=True)


if __name__ == "__main__":
    main()
