"""A live network with a way around its middle, by the real supervisor: hub, one KME per site, QKD modules.

    site0 - site1 - ... - siteM - ... - siteN      the straight way, N hops, siteM in the middle
                        \\- spare -/                around siteM, as many hops

The link into siteM has QKD modules in processes of their own (``apart.py``).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from qanat.core.ids import LinkId, SiteId
from qanat.core.netfile import network_from_toml
from qanat.node.admin_client import ask
from qanat.node.statedir import StateDir
from qanat.node.supervisor import Child, running
from qanat.node.warm import warm_kernels
from support.apart import SupervisorApart

SETTLE_S = 180.0  # a link may have to earn its trust back
SPARE = SiteId("spare")


def detour_text(hops: int) -> str:
    """The network file; applications ``first`` and ``last`` at the ends of the straight way."""
    names = [f"site{index}" for index in range(hops + 1)]
    middle = len(names) // 2
    before, after = names[middle - 1], names[middle + 1]
    lines = ['name = "detour"', "simulation = true"]
    for index, name in enumerate([*names, SPARE]):
        lines.append(f'[[sites]]\nid = "{name}"\nlatitude_deg = 50\nlongitude_deg = {8 + index / 100}')
    for a, b in [*pairwise(names), (before, SPARE), (SPARE, after)]:
        length_km = 12 if SPARE in (a, b) else 9
        lines.append(f'[[fibres]]\nid = "duct-{a}-{b}"\nbetween = ["{a}", "{b}"]\nlength_km = {length_km}')
        lines.append(f'[[links]]\nid = "{a}-{b}"\nfrom = "{a}"\nto = "{b}"\nfibre = "duct-{a}-{b}"\nclock_hz = 1e9')
    lines.append(f'[[saes]]\nid = "first"\nsite = "{names[0]}"\n[[saes]]\nid = "last"\nsite = "{names[-1]}"')
    lines.append('[[demands]]\nbetween = ["first", "last"]\nrate_bits_per_s = 2560')
    lines.append(f"[policy]\nbuffer_keys = 64\nmax_trusted_nodes = {hops - 1}")
    return "\n".join(lines)


def middle_of(hops: int) -> tuple[LinkId, SiteId]:
    """The link that can die alone, and the site that it leads to."""
    middle = (hops + 1) // 2
    return LinkId(f"site{middle - 1}-site{middle}"), SiteId(f"site{middle}")


class Detour:
    """The running network, and what may be done to it."""

    def __init__(self, folder: Path, hops: int) -> None:
        self.network = network_from_toml(detour_text(hops))
        self.link, self.site = middle_of(hops)
        self.ends = (SiteId("site0"), SiteId(f"site{hops}"))
        self.state = StateDir(folder / "state")
        self.said: list[str] = []
        self.supervisor = SupervisorApart(self.network, self.state, self.link, self.said.append)

    @contextlib.contextmanager
    def running(self) -> Iterator[Detour]:
        warm_kernels(lambda text: print(text, file=sys.stderr))
        over = threading.Event()

        def watch() -> None:
            while not over.is_set():
                self.supervisor.watch(0.05)

        with running(self.supervisor):
            thread = threading.Thread(target=watch)
            thread.start()
            try:
                yield self
            finally:
                over.set()
                thread.join()

    def child(self, name: str) -> Child:
        return next(child for child in self.supervisor.children if child.name == name)

    def pid(self, name: str) -> int:
        popen = self.child(name).popen
        assert popen is not None
        return popen.pid

    @property
    def link_process(self) -> str:
        """The receiving module of the link that can die alone."""
        return "receivers-apart"

    @property
    def kme_process(self) -> str:
        """The KME in the middle of the straight way."""
        return f"kme-{self.site}"

    def signal(self, name: str, number: signal.Signals) -> None:
        os.kill(self.pid(name), number)

    def ask(self, verb: str, **arguments: Any) -> Any:
        return ask(self.state, verb, **arguments)

    def pair(self) -> dict[str, Any]:
        """What the hub shows of the ends: route, trusted nodes, keys on stock."""
        pairs = self.ask("snapshot")["pairs"]
        return next(dict(pair) for pair in pairs if (pair["source"], pair["target"]) == self.ends)

    def is_straight(self) -> bool:
        """Key is on stock and its route is the straight one again."""
        pair = self.pair()
        return self.link in pair["links"] and pair["stored_keys"] > 0

    def routes(self, since_ns: int) -> list[tuple[int, list[str], str]]:
        """Routes commanded to the first end since then: when, links, reason."""
        found = []
        with (self.state.logs / "journal.jsonl").open() as lines:
            for line in lines:
                entry = json.loads(line)
                if entry["kind"] == "command" and entry["at_ns"] >= since_ns:
                    found += [
                        (entry["at_ns"], command["links"], entry["text"])
                        for command in entry["record"]
                        if command["action"] == "set_route" and command["source"] == self.ends[0]
                    ]
        return found


def waited(is_true: Callable[[], bool], patience_s: float, what: str) -> None:
    end_s = time.monotonic() + patience_s
    while not is_true():
        if time.monotonic() > end_s:
            raise SystemExit(f"not within {patience_s:g} s: {what}")
        time.sleep(0.1)
