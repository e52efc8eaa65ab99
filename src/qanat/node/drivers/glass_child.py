"""The glass of one link as a child process: `python -m qanat.node.drivers.glass_child`. Not for people.

SIMULATED: it stands for nature, and alone holds the simulation key at the receiver's end. Its configuration comes as
one line on standard input, then requests; it answers on standard output with the payload of recorded detections. It
ends with its standard input, so it outlives nobody.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

import msgspec

from qanat.core.errors import QanatError
from qanat.node.drivers.simulated import GlassConfig, key_from_file, requests, session_key
from qanat.node.recordings.columns import payload_from_detections
from qanat.node.recordings.form import WORD
from qanat.sim.module import SimulatedGlass


def _glass(config: GlassConfig, key: bytes, epoch: int) -> SimulatedGlass:
    own_key = session_key(key, config.link.id, epoch)
    # The detectors' own luck is fresh each time and independent of the settings.
    return SimulatedGlass(link=config.link, fibre=config.fibre, key=own_key, stream_seed=os.urandom(16))


def serve() -> None:
    """Answer until standard input ends."""
    config = msgspec.json.decode(sys.stdin.buffer.readline(), type=GlassConfig)
    key, glass = key_from_file(Path(config.key_file)), None
    for epoch in requests(iter(sys.stdin.buffer.readline, b"")):
        if epoch is not None:
            glass = _glass(config, key, epoch)
        elif glass is not None:
            payload = payload_from_detections(glass.next_block())
            sys.stdout.buffer.write(WORD.pack(len(payload)) + payload)
            sys.stdout.buffer.flush()


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(BrokenPipeError):
        try:
            serve()
        except QanatError as error:
            print(" ".join(str(error).split()), file=sys.stderr)
            return error.exit_code
    return 0


if __name__ == "__main__":
    code = main()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(code)  # a broken pipe at the interpreter's own flush is nobody's business
