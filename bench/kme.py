"""Key delivery of two live KMEs: prints one JSON line per row.

Run: python bench/kme.py [--seconds 5]

Two processes, one per site, with mutual TLS, encrypted durable stores (SQLite, synchronous=FULL) and each other as live
peers; this process plays the QKD modules and the applications. Rows: enc_keys with connections kept alive, batches of
128 keys, a new TLS connection per request, and in the same run the ceiling: a bare aiohttp server with client
certificates that stores a counter by group commit in SQLite and knows no keys (``bench/support/ceiling.py``).
CPU per request is told of each process: the master's KME, its peer, and this one. All share the machine's cores.
"""

from __future__ import annotations

import argparse
import json
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from support.kmes import LiveKmes
from support.load import Seen, context_of, keep_alive, post, reconnecting

from qanat.core.ids import LinkId, SiteId

HERE = Path(__file__).parent
LINK, MASTER, PEER = LinkId("site0-site1"), SiteId("site0"), SiteId("site1")
BATCH = 128


def cpu_s(kmes: LiveKmes) -> dict[str, float]:
    """Of each process, so far."""
    return {
        "server_cpu_us": kmes.cpu_s(MASTER),
        "peer_cpu_us": kmes.cpu_s(PEER),
        "client_cpu_us": time.process_time(),
    }


def contexts(kmes: LiveKmes, count: int) -> list[ssl.SSLContext]:
    return [context_of(kmes.credentials(f"m{index}")) for index in range(count)]


def asked(count: int, number: int) -> list[bytes]:
    body = json.dumps({"number": number}).encode()
    return [post(f"/api/v1/keys/s{index}/enc_keys", body) for index in range(count)]


def measured(kmes: LiveKmes, what: str, connections: int, number: int, seconds: float, *, is_fresh: bool) -> Seen:
    """One row, after topping the store up."""
    kmes.feed(LINK, 60)
    time.sleep(1.0)  # the two ends agree on what they were given
    before = cpu_s(kmes)
    run = reconnecting if is_fresh else keep_alive
    seen = run(kmes.port(MASTER), contexts(kmes, connections), asked(connections, number), seconds)
    cpu = {name: round(1e6 * (now - before[name]) / len(seen.latencies), 1) for name, now in cpu_s(kmes).items()}
    keys = {"keys_per_s": round(number * seen.codes.get(200, 0) / seen.wall_s)}
    print(json.dumps({"what": what, "connections": connections, **seen.row, **cpu, **keys}), flush=True)
    return seen


def ceiling(kmes: LiveKmes, folder: Path, connections: int, seconds: float) -> Seen:
    """The bare server with the same certificates."""
    files = kmes.state.node(MASTER)
    server = subprocess.Popen(
        [sys.executable, str(HERE / "support" / "ceiling.py"), str(files), str(kmes.state.sae_ca), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    port = int(server.stdout.readline())
    try:
        return keep_alive(port, contexts(kmes, connections), asked(connections, 1), seconds)
    finally:
        server.kill()
        server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder, LiveKmes(Path(folder)) as kmes:
        time.sleep(2.0)
        print(json.dumps({"what": "memory at rest", "pss_mb": round(kmes.pss_mb(MASTER), 1)}), flush=True)
        for connections in (1, 8):
            bare = ceiling(kmes, Path(folder), connections, seconds)
            print(json.dumps({"what": "ceiling", "connections": connections, **bare.row}), flush=True)
            seen = measured(kmes, "enc_keys", connections, 1, seconds, is_fresh=False)
            ratio = {"what": "over the ceiling", "connections": connections, "ratio": round(seen.per_s / bare.per_s, 3)}
            print(json.dumps(ratio), flush=True)
        measured(kmes, "enc_keys, 128 keys each", 8, BATCH, seconds / 2, is_fresh=False)
        for connections in (1, 8):
            measured(kmes, "enc_keys, new connection each", connections, 1, seconds, is_fresh=True)
        print(json.dumps({"what": "memory after", "pss_mb": round(kmes.pss_mb(MASTER), 1)}), flush=True)


if __name__ == "__main__":
    main()
