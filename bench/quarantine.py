"""From the command that condemns a link's light to its effect at both ends: prints one JSON line.

Run: python bench/quarantine.py [--rounds 20]

Two live KMEs over TLS, with keys on stock in both directions and one key in each direction given to a master and not
fetched yet. The command goes to one end only, in turn; the other hears of it from its peer. In effect means: no key
is on stock at either end, a master gets 503, and neither slave gets the key that was granted before. Then the link is
resumed and makes new key, and none of it was seen before.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from support.kmes import LiveKmes
from support.routes import RouteHub
from support.traffic import Application, Memory

from qanat.core.alarms import Action
from qanat.core.ids import LinkId, SiteId
from qanat.node.processes.config import hub_socket

LINK = LinkId("site0-site1")
SITES = (SiteId("site0"), SiteId("site1"))
TIMEOUT_S = 10.0


@dataclass
class Watch:
    """An application at each end, and the keys that each was given as a master."""

    kmes: LiveKmes
    hub: RouteHub
    memory: Memory = field(default_factory=Memory)

    def __post_init__(self) -> None:
        self.ends = [
            Application(self.kmes, name, site, self.memory) for name, site in zip(("m0", "s0"), SITES, strict=True)
        ]

    def asked(self, end: int, path: str, body: dict[str, object] | None = None) -> tuple[int, dict[str, object]]:
        other = self.ends[1 - end].name
        answer = self.ends[end].ask(f"/api/v1/keys/{other}/{path}", body)
        assert answer is not None
        return answer

    def stock(self) -> list[int]:
        return [int(str(self.asked(end, "status")[1]["stored_key_count"])) for end in (0, 1)]

    def until(self, is_empty: bool) -> float:
        """Seconds until both ends have stock, or neither."""
        begin = time.monotonic()
        while any((count == 0) is not is_empty for count in self.stock()):
            if time.monotonic() - begin > TIMEOUT_S:
                raise SystemExit(f"after {TIMEOUT_S} s the ends have {self.stock()} keys")
            time.sleep(0.002)
        return time.monotonic() - begin

    def granted(self) -> list[str]:
        """One key to each master; gives the key IDs."""
        found = []
        for end in (0, 1):
            _, answer = self.asked(end, "enc_keys", {"number": 1})
            (key,) = answer["keys"]  # type: ignore[misc]
            name = self.ends[end].name
            self.memory.note("master", name, name, key)
            found.append(str(key["key_ID"]))
        return found


def one_round(watch: Watch, number: int) -> tuple[float, int]:
    """Seconds until the quarantine was in effect at both ends, and how many keys got out afterwards."""
    watch.kmes.feed(LINK, 2)
    watch.until(is_empty=False)
    key_ids = watch.granted()
    watch.hub.tell(SITES[number % 2], Action.QUARANTINE, LINK, 0)
    latency_s = watch.until(is_empty=True)
    escaped = 0
    for end, key_id in enumerate(key_ids):
        escaped += watch.asked(end, "enc_keys", {"number": 1})[0] == 200
        escaped += watch.asked(1 - end, "dec_keys", {"key_IDs": [{"key_ID": key_id}]})[0] == 200
    for site in SITES:
        watch.hub.tell(site, Action.RESUME_LINK, LINK, watch.kmes.next_start_ns)
    time.sleep(0.2)
    return latency_s, escaped


def measured(folder: Path, rounds: int) -> dict[str, object]:
    kmes = LiveKmes(folder, pairs=1)
    hub = RouteHub(kmes.sockets[hub_socket()], kmes.network)
    with kmes:
        time.sleep(1.0)  # both have said hello
        watch = Watch(kmes, hub)
        found = [one_round(watch, number) for number in range(rounds)]
        watch.kmes.feed(LINK, 2)
        watch.until(is_empty=False)
        watch.granted()
    hub.close()
    latencies = sorted(latency for latency, _ in found)
    return {
        "what": "quarantine",
        "rounds": rounds,
        "median_s": round(latencies[len(latencies) // 2], 4),
        "max_s": round(latencies[-1], 4),
        "escaped": sum(escaped for _, escaped in found),
        "twice": watch.memory.twice,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measured(Path(folder), parser.parse_args().rounds)), flush=True)


if __name__ == "__main__":
    main()
