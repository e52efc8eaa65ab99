"""Makes the recordings beside this file again: ``python examples/recorded-light/make.py [FOLDER]``.

They hold one simulated run of the link in ``link.toml``, sampled pulse by pulse (``physics.dense``): what the sender
prepared in the slots that clicked, what the receiver saw, and its first four pulse blocks as raw time tags.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from qanat.cli.check import load_network
from qanat.node.recordings.header import Kind
from qanat.node.recordings.make import Run, record

HERE = Path(__file__).parent
SEED, BLOCKS, TAG_BLOCKS = 1, 32, 4


def main(folder: Path) -> None:
    network = load_network(HERE / "link.toml")
    (link,) = network.links.values()
    fibre = network.fibres[link.fibre]
    with tempfile.TemporaryDirectory() as aside:
        whole = record(Run(link=link, fibre=fibre, blocks=BLOCKS, seed=SEED), Path(aside) / "whole")
        short = record(Run(link=link, fibre=fibre, blocks=TAG_BLOCKS, seed=SEED), Path(aside) / "short")
        for path in (whole[Kind.SETTINGS], whole[Kind.DETECTIONS], short[Kind.TIMETAGS]):
            (folder / path.name).write_bytes(path.read_bytes())
            print(f"{path.stat().st_size:>8} bytes  {path.name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
