"""Random requests to all doors of a live network: prints one JSON line with the counts of answers.

Run: python bench/fuzz.py [--requests 100000] [--seconds 3600] [--seed 1]

ETSI 014, SKIP (by certificate and by pre-shared key), ETSI 004 over TCP and in push mode, ETSI 020, the operators'
doors of KMEs and registrar, and the renewals of applications; by callers who may come in: requests that fit, requests
with a part that does not, requests hidden in others, and noise. Some callers may not come in. Meanwhile KMEs push
chunks to endpoints that answer with anything but what they should. ``broken`` must be 0: answers 5xx other than 503,
answers that are no JSON where they should be, 004 answers that are no frame with a known status, ambiguous requests
that are answered. A server may hang up on what is no HTTP or no frame: that is counted as ``closed``. At the end
``failures`` must be empty: each door does what it is for, no process has ended or grown much, no log has a traceback.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import tempfile
import time
from pathlib import Path

from fuzzing.after import After
from fuzzing.fuzzer import Fuzzer
from fuzzing.stage import LINK, Stage


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args()
    socket.setdefaulttimeout(12)
    with tempfile.TemporaryDirectory() as folder, Stage(Path(folder)) as stage:
        stage.kmes.feed(LINK, 20)
        time.sleep(1.0)
        Fuzzer(stage, min(1000, words.requests), words.seconds, -words.seed).run()  # what is made at first use is made
        after, begin = After(stage), time.monotonic()
        fuzzer = Fuzzer(stage, words.requests, words.seconds, words.seed)
        fuzzer.run()
        wall_s = time.monotonic() - begin
        failures = after.failures()
        row = {
            "what": "fuzz",
            "seed": words.seed,
            "requests": fuzzer.request_count,
            "wall_s": round(wall_s, 1),
            "broken": len(fuzzer.broken),
            "failures": failures,
            "grown_mb": after.grown_mb,
            "answers": {door: dict(sorted(counts.items())) for door, counts in sorted(fuzzer.counts.items())},
            "examples": fuzzer.examples,
        }
        print(json.dumps(row))
        return 1 if fuzzer.broken or failures else 0


if __name__ == "__main__":
    sys.exit(main())
