"""A link or a relaying KME in the middle of a long way dies: how soon keys flow around it. One JSON line per fault.

Run: python bench/reroute.py [--hops 6] [--rounds 5] [--faults cut,...]

The network is live, by the real supervisor: hub, one KME per site over TLS, QKD modules with simulated light. Two
applications at the ends fetch a key 20 times a second (``qanat.sae``), while a fault hits the middle of the way:

- ``cut``: the link's fibre is cut;
- ``module killed``, ``module frozen``: kill -9 and SIGSTOP of the process that is the link's receiver;
- ``kme killed``, ``kme frozen``: the same of the KME in the middle.

Each with a full buffer of 64 keys, as it is in service, and with an empty one, at worst: a third application takes all
keys that come until one comes by the other way.
What a round gives, in seconds from the fault: ``route_s`` to the command that sets a route without what died;
``key_s`` to the first key of an application that came by the other way (keys on stock go first: with a full buffer it
tells how long they last); ``refill_s`` until three quarters of the buffer are there again. Then what the applications
saw: the longest time from a refusal to the next key, the slowest answer, keys given twice or different at both ends.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from support.detour import SETTLE_S, Detour, waited
from support.ends import Load, Taker

FAULT_S_MAX = 30.0  # a fault that nobody noticed by then is reported as such


@dataclass(frozen=True)
class Fault:
    """What is done, what must be avoided afterwards, and how it is undone."""

    begin: Callable[[Detour], object]
    end: Callable[[Detour], object]
    is_of_kme: bool = False

    def is_around(self, detour: Detour, links: tuple[str, ...] | list[str]) -> bool:
        if not self.is_of_kme:
            return bool(links) and detour.link not in links
        dead = {link.id for link in detour.network.links_at(detour.site)}
        return bool(links) and not dead & set(links)


def _signal(process: str, number: signal.Signals) -> Callable[[Detour], None]:
    return lambda detour: detour.signal(getattr(detour, process), number)


def _fibre(verb: str) -> Callable[[Detour], object]:
    return lambda detour: detour.ask(verb, fibre=detour.network.links[detour.link].fibre)


def _nothing(_detour: Detour) -> None:
    """The supervisor starts it again."""


FAULTS = {
    "cut": Fault(_fibre("cut"), _fibre("mend")),
    "module killed": Fault(_signal("link_process", signal.SIGKILL), _nothing),
    "module frozen": Fault(_signal("link_process", signal.SIGSTOP), _signal("link_process", signal.SIGCONT)),
    "kme killed": Fault(_signal("kme_process", signal.SIGKILL), _nothing, is_of_kme=True),
    "kme frozen": Fault(_signal("kme_process", signal.SIGSTOP), _signal("kme_process", signal.SIGCONT), is_of_kme=True),
}


def one_round(detour: Detour, load: Load, fault: Fault, *, is_empty: bool) -> dict[str, float | None]:
    full = detour.network.policy.buffer_keys * 3 // 4
    waited(detour.is_straight, SETTLE_S, f"the straight way; {detour.pair()}")
    waited(lambda: load.is_steady(detour.link), SETTLE_S, "the straight way alone: keys of the last round are on stock")
    waited(lambda: detour.pair()["stored_keys"] >= full, SETTLE_S, "a full buffer")
    with Taker(detour, load.record) if is_empty else nullcontext() as taker:
        begin_s, begin_ns = time.monotonic(), time.time_ns()
        fault.begin(detour)
        key_s = _until(begin_s, lambda: first_around(detour, load, taker, fault, begin_s))
    refill_s = _until(begin_s, lambda: time.monotonic() - begin_s if detour.pair()["stored_keys"] >= full else None)
    fault.end(detour)
    routes = [at_ns for at_ns, links, _ in detour.routes(begin_ns) if fault.is_around(detour, links)]
    time.sleep(1.0)  # what the end of the fault does to the applications counts, too
    seen = [r for r in load.requests if r.begun_s >= begin_s]
    return {
        "route_s": (routes[0] - begin_ns) / 1e9 if routes else None,
        "key_s": key_s,
        "refill_s": refill_s,
        "refused_s": load.refused_s(begin_s),
        "slowest_answer_s": max((r.ended_s - r.begun_s for r in seen), default=None),
        "refusals": sum(r.links is None for r in seen),
        "requests": len(seen),
    }


def _until(begin_s: float, found: Callable[[], float | None]) -> float | None:
    """What is found, or None when patience ran out."""
    value = found()
    while value is None and time.monotonic() < begin_s + FAULT_S_MAX:
        time.sleep(0.02)
        value = found()
    return value


def first_around(detour: Detour, load: Load, taker: Taker | None, fault: Fault, begin_s: float) -> float | None:
    """When the first key came that went around what died."""
    times = [load.first(begin_s, lambda r: r.links is not None and fault.is_around(detour, r.links))]
    if taker is not None:
        times.append(taker.first(begin_s, lambda links: fault.is_around(detour, links)))
    return min((found for found in times if found is not None), default=None)


def spread(values: list[float | None]) -> dict[str, float | None]:
    """None where something did not happen in time."""
    ordered = sorted(FAULT_S_MAX if value is None else value for value in values)
    shown = [None if value == FAULT_S_MAX else round(value, 3) for value in ordered]
    return {"median": shown[len(shown) // 2], "max": shown[-1]}


def row(detour: Detour, name: str, rounds: int, *, is_empty: bool) -> dict[str, object]:
    with Load(detour) as load:
        found = [one_round(detour, load, FAULTS[name], is_empty=is_empty) for _ in range(rounds)]
    times = ("route_s", "key_s", "refill_s", "refused_s", "slowest_answer_s")
    got = [request for request in load.requests if request.links is not None]
    return {
        "what": name,
        "buffer": "empty" if is_empty else "full",
        "rounds": rounds,
        **{what: spread([each[what] for each in found]) for what in times},
        "refusals": sum(int(each["refusals"] or 0) for each in found),
        "requests": sum(int(each["requests"] or 0) for each in found),
        "keys": len(got),
        "hops_least": min(len(request.links or ()) for request in got),
        "nodes_least": min(len(request.nodes) for request in got),
        "twice": load.record.doubled,
        "different": load.record.different,
        "load_average": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hops", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--faults", default=",".join(FAULTS))
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Detour(Path(folder), words.hops).running() as detour:
        for name in words.faults.split(","):
            for is_empty in (False, True):
                found = row(detour, name, words.rounds, is_empty=is_empty)
                print(json.dumps({"hops": words.hops, **found}), flush=True)


if __name__ == "__main__":
    main()
