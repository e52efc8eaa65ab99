"""One 1 GHz link, photons to stored key, as three operating-system processes: prints one JSON object.

Run: python bench/link.py [--seconds 20] [--lengths 10 25 50]

`qanat module --role tx` and `--role rx` on the loopback address, the light simulated by the receiver's own child
process as fast as the machine allows, and at each end a stand-in KME on a Unix socket that stores nothing but confirms
(its CPU is this process's and not counted). "link seconds" are those of the key blocks; wall time runs from the first
session's begin to the last key block, so that neither start nor compiling counts; CPU time is all that the three
processes spent, start included and given apart.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from qanat.node.messages import KQ1, KeyBlockStored, NewKeyBlock
from qanat.node.wire import frames, write_frame

NETWORK = """
name = "bench"
simulation = true
[[sites]]
id = "a"
latitude_deg = 52.5
longitude_deg = 13.4
[[sites]]
id = "b"
latitude_deg = 52.5001
longitude_deg = 13.4001
[[fibres]]
id = "duct"
between = ["a", "b"]
length_km = {length_km}
attenuation_db_per_km = 0.2
[[links]]
id = "a-b"
from = "a"
to = "b"
fibre = "duct"
clock_hz = 1e9
"""


class Kme:
    """Confirms key blocks at once and keeps only their sizes."""

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for frame in frames(reader):
            message = KQ1.decode(frame)
            if isinstance(message, NewKeyBlock):
                self.sizes[message.block] = 8 * len(message.bits)
                write_frame(writer, KQ1.encode(KeyBlockStored(message.block)))
        writer.close()


async def end_process(folder: Path, *words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "qanat", "module", str(folder / "network.toml"), "--link", "a-b", "--json", *words,
        stdout=asyncio.subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip


async def told(process: asyncio.subprocess.Process) -> list[dict[str, Any]]:
    """All that a process says, each with the time at which it came."""
    events = []
    assert process.stdout is not None
    async for line in process.stdout:
        events.append(json.loads(line) | {"came_s": time.monotonic()})
    await process.wait()
    return events


async def measured(length_km: float, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "network.toml").write_text(NETWORK.format(length_km=length_km))
        for words in (("tx.secret", "rx.secret"), ("--light", "light.key")):
            subprocess.run(
                [sys.executable, "-m", "qanat", "secret", *words], cwd=folder, check=True, capture_output=True
            )
        kmes = {"tx": Kme(), "rx": Kme()}
        for end, kme in kmes.items():
            await asyncio.start_unix_server(kme.serve, str(folder / end))
        light = f"sim://{folder}/light.key"

        def options(end: str) -> tuple[str, ...]:
            return ("--role", end, "--secret", str(folder / f"{end}.secret"), "--kme-socket", str(folder / end))

        tx = await end_process(folder, *options("tx"), "--light", light, "--listen", "0")
        assert tx.stdout is not None
        ready = json.loads(await tx.stdout.readline())
        where = ("--connect", ready["listening"], "--duration", f"{seconds + 2:g}s")
        rx = await end_process(folder, *options("rx"), "--light", light + "?rate-max=0", *where)
        told_tx, told_rx = await asyncio.gather(told(tx), told(rx))
    return {"length_km": length_km} | summary(told_tx, told_rx, kmes)


def summary(told_tx: list[dict[str, Any]], told_rx: list[dict[str, Any]], kmes: dict[str, Kme]) -> dict[str, Any]:
    began_s = next(event["came_s"] for event in told_rx if event["event"] == "note" and "begins" in event["text"])
    blocks = [event for event in told_rx if event["event"] == "block"]
    ends = [events[-1] for events in (told_tx, told_rx)]
    if not blocks:
        return {"problem": ends[1]["sentence"]}
    wall_s = blocks[-1]["came_s"] - began_s
    link_s = (blocks[-1]["end_ns"] - blocks[0]["start_ns"]) / 1e9
    cpu_s = sum(end["cpu_s"] for end in ends)
    secret_bits = sum(block["secret_bits"] for block in blocks)
    return {
        "wall_s": round(wall_s, 2),
        "link_s": round(link_s, 2),
        "link_s_per_wall_s": round(link_s / wall_s, 3),
        "cpu_s_tx": ends[0]["cpu_s"],
        "cpu_s_rx_and_glass": ends[1]["cpu_s"],
        "link_s_per_cpu_s": round(link_s / cpu_s, 3),
        "key_blocks": ends[1]["key_blocks"],
        "aborted": ends[1]["aborted"],
        "sifted_bits_per_link_s": round(sum(block["sifted_bits"] for block in blocks) / link_s),
        "secret_bits_per_link_s": round(secret_bits / link_s),
        "secret_bits_per_wall_s": round(secret_bits / wall_s),
        "stored_alike_at_both_ends": kmes["tx"].sizes == kmes["rx"].sizes and bool(kmes["tx"].sizes),
        "exit_codes": [end["exit_code"] for end in ends],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="wall time per length")
    parser.add_argument("--lengths", type=float, nargs="+", default=[10.0, 25.0, 50.0], help="km of bare fibre")
    given = parser.parse_args()
    result: dict[str, Any] = {"bench": "link", "cores": os.cpu_count(), "load_before": os.getloadavg()[0]}
    result["rows"] = [asyncio.run(measured(length_km, given.seconds)) for length_km in given.lengths]
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
