"""Key relay through live KMEs: keys per second over several hops, and the latency of a request served from the buffer.

Run: python bench/relay.py [--seconds 4] [--hops N]

One process per site, with mutual TLS between them and encrypted durable stores (SQLite, synchronous=FULL); the real
controller plans the routes. This process plays the QKD modules and the application. Rows, for one path of three hops
and for shares, two of three, over three paths of two hops; or with ``--hops`` for one path of so many:

    most      keys per second when the application takes all it can get, long after the first buffer is empty
    paced     200 requests a second of one key each: latency, and how many were not served
    ends      keys fetched at both ends by ``qanat.sae``: how many are equal, and the nodes that their provenance names

CPU is of all KMEs together, per key that reached the application.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from support.kmes import LiveKmes
from support.load import Seen, connected, context_of, post, read_answer
from support.routes import RouteHub

from qanat.core.ids import SaeId
from qanat.node.processes.config import hub_socket
from qanat.sae.client import KeyDeliveryClient

PACE_PER_S = 200
BATCH = 32


def network_text(ways: list[list[str]], policy: str) -> str:
    """Paths of sites between the same two ends."""
    lines = ['name = "bench"', "simulation = true"]
    for index, name in enumerate(dict.fromkeys(site for way in ways for site in way)):
        lines.append(f'[[sites]]\nid = "{name}"\nlatitude_deg = 52.5\nlongitude_deg = {13 + index / 20}')
    for way in ways:
        for a, b in pairwise(way):
            lines.append(f'[[fibres]]\nid = "f-{a}-{b}"\nbetween = ["{a}", "{b}"]\nlength_km = 40')
            lines.append(f'[[links]]\nid = "{a}-{b}"\nfrom = "{a}"\nto = "{b}"\nfibre = "f-{a}-{b}"')
    first, last = ways[0][0], ways[0][-1]
    lines.append(f'[[saes]]\nid = "master"\nsite = "{first}"\n[[saes]]\nid = "slave"\nsite = "{last}"')
    lines.append('[[demands]]\nbetween = ["master", "slave"]\nrate_bits_per_s = 51200')
    lines.append(f"[policy]\nbuffer_keys = 512\nstore_bits_max = 1000000000\n{policy}")
    return "\n".join(lines)


def straight(hops: int) -> dict[str, str]:
    """One path of so many hops, by its name."""
    between = [f"node{index}" for index in range(1, hops)]
    policy = f"max_trusted_nodes = {max(4, len(between))}"
    return {f"one path, {hops} hop{'s' * (hops > 1)}": network_text([["one", *between, "four"]], policy)}


SHAPES = straight(3) | {
    "2 of 3 shares, 2 hops each": network_text(
        [["one", name, "four"] for name in ("north", "middle", "south")], "relay_paths = 3\nrelay_threshold = 2"
    ),
}


def cpu_s(kmes: LiveKmes) -> float:
    return sum(kmes.cpu_s(site) for site in kmes.popens)


def printed(what: str, shape: str, seen: Seen, key_count: int, used_s: float) -> None:
    row = {"what": what, "shape": shape, "keys_per_s": round(key_count / seen.wall_s, 1), **seen.row}
    print(json.dumps(row | {"cpu_us_per_key": round(1e6 * used_s / max(1, key_count))}), flush=True)


def asked(kmes: LiveKmes, number: int, per_s: float | None, seconds: float) -> Seen:
    """One connection; requests at a pace, or back to back with a short rest after a refusal."""
    line = connected(kmes.port("one"), context_of(kmes.credentials("master")))
    request = post("/api/v1/keys/slave/enc_keys", json.dumps({"number": number}).encode())
    seen, begin = Seen(), time.perf_counter()
    while (now := time.perf_counter()) < begin + seconds:
        due = begin + len(seen.latencies) / per_s if per_s else now
        if now < due:
            time.sleep(due - now)
        started = time.perf_counter()
        line.sendall(request)
        code, _ = read_answer(line)
        seen.add(code, time.perf_counter() - started)
        if code != 200 and per_s is None:
            time.sleep(0.005)
    seen.wall_s = time.perf_counter() - begin
    line.close()
    return seen


def client_of(kmes: LiveKmes, sae: str, site: str) -> KeyDeliveryClient:
    files = kmes.credentials(sae)
    url = f"https://127.0.0.1:{kmes.port(site)}"
    return KeyDeliveryClient(url, certfile=files.certfile, keyfile=files.keyfile, cafile=files.cafile)


def ends(kmes: LiveKmes, shape: str) -> dict[str, object]:
    """Keys fetched at both ends, compared there."""
    with client_of(kmes, "master", "one") as master, client_of(kmes, "slave", "four") as slave:
        sent = master.enc_keys(SaeId("slave"), BATCH)
        got = slave.dec_keys(SaeId("master"), [key.key_id for key in sent])
    named = {key.provenance.trusted_nodes if key.provenance else () for key in got}
    return {
        "what": "ends",
        "shape": shape,
        "keys": len(sent),
        "equal": sum(a.key_id == b.key_id and a.bits == b.bits for a, b in zip(sent, got, strict=True)),
        "nodes_least": min(len(nodes) for nodes in named),
        "nodes": sorted({node for nodes in named for node in nodes}),
    }


def measure(shape: str, text: str, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        kmes = LiveKmes(Path(folder), text=text)
        hub = RouteHub(kmes.sockets[hub_socket()], kmes.network)
        with kmes:
            for link in kmes.network.links:
                kmes.feed(link, 40)
            time.sleep(4.0)  # the buffer fills
            asked(kmes, BATCH, None, 1.0)  # and is emptied: from here on, what comes in is what goes out
            for what, number, pace in (("most", BATCH, None), ("paced", 1, PACE_PER_S)):
                before = cpu_s(kmes)
                seen = asked(kmes, number, pace, seconds)
                printed(what, shape, seen, number * seen.codes.get(200, 0), cpu_s(kmes) - before)
                time.sleep(2.0)
            print(json.dumps(ends(kmes, shape)), flush=True)
        hub.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--hops", type=int, help="of one path, instead of the usual rows")
    words = parser.parse_args()
    for shape, text in (straight(words.hops) if words.hops else SHAPES).items():
        measure(shape, text, words.seconds)


if __name__ == "__main__":
    main()
