"""Do the chains of one site fit together? What each says of the others when its turns begin (``chains.py``)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from qanat.core.ids import SiteId
from qanat.node.audit.chains import Head, head_from
from qanat.node.audit.entry import Entry, entry_of
from qanat.node.audit.files import files_in, lines_of

# What an instance may write between the end of one of its turns and the ``started`` entry of its next.
OPENING_KINDS = frozenset({"void", "broken", "recovered", "restored", "checkpoint"})


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of one instance, as its ``started`` entry tells it.

    Attributes:
        n: Of that entry.
        number: Rises over all instances of the site.
        follows: The other chains, as they stood in the store.
    """

    n: int
    number: int
    follows: dict[SiteId, Head]


@dataclass(slots=True)
class Chain:
    """What one chain says of turns. Void entries never were: their group was not committed."""

    turns: list[Turn] = field(default_factory=list)
    void: list[tuple[int, int]] = field(default_factory=list)

    def is_void(self, n: int) -> bool:
        return any(first <= n <= last for first, last in self.void)


def entries_in(folder: Path) -> Iterator[Entry]:
    """Those that can be read; ``verify`` names the others."""
    for line in lines_of(files_in(folder)):
        try:
            yield entry_of(line)
        except msgspec.DecodeError:
            return


def chain_in(folder: Path) -> Chain:
    chain = Chain()
    for entry in entries_in(folder):
        if entry.kind == "void":
            chain.void.append((_number(entry, "from_n"), _number(entry, "to_n")))
        elif entry.kind == "started" and "turn" in entry.facts:
            follows = entry.facts.get("follows", [])
            heads = dict(head_from(text) for text in follows) if isinstance(follows, list) else {}
            chain.turns.append(Turn(entry.n, _number(entry, "turn"), heads))
    chain.turns = [turn for turn in chain.turns if not chain.is_void(turn.n)]
    return chain


def _number(entry: Entry, name: str) -> int:
    value = entry.facts.get(name)
    return value if isinstance(value, int) else -1


def heads_named(chains: dict[SiteId, Chain]) -> dict[SiteId, list[Head]]:
    """Per chain, the heads that the others name: each must be in it."""
    named: dict[SiteId, list[Head]] = {}
    for chain in chains.values():
        for turn in chain.turns:
            for name, head in turn.follows.items():
                named.setdefault(name, []).append(head)
    return named


def problems_between(folders: dict[SiteId, Path], chains: dict[SiteId, Chain]) -> dict[SiteId, list[str]]:
    """Per chain, what does not fit. That it holds the heads named elsewhere is for ``verify``."""
    problems: dict[SiteId, list[str]] = {name: [] for name in chains}
    seen: dict[int, SiteId] = {}
    for name, chain in chains.items():
        numbers = [turn.number for turn in chain.turns]
        if numbers != sorted(set(numbers)):
            problems[name].append("its turns do not rise")
        for turn in chain.turns:
            other = seen.setdefault(turn.number, name)
            if other != name:
                problems[name].append(f"turn {turn.number} is also one of {other}")
            for missing in turn.follows.keys() - chains.keys():
                problems[name].append(
                    f"entry {turn.n} names the chain of {missing}, which is not here; give its folder with --chain"
                )
    for name, ends in _ends(chains).items():
        problems[name] += _between_turns(folders[name], chains[name], ends)
    return problems


def _ends(chains: dict[SiteId, Chain]) -> dict[SiteId, dict[int, tuple[SiteId, int]]]:
    """Per chain, the counts of entries at which another one's turn found it: (whose, the turn's number), the first."""
    ends: dict[SiteId, dict[int, tuple[SiteId, int]]] = {}
    for name, chain in chains.items():
        for turn in chain.turns:
            for other, (count, _) in turn.follows.items():
                if other in chains:
                    known = ends.setdefault(other, {}).get(count)
                    if known is None or turn.number < known[1]:
                        ends[other][count] = (name, turn.number)
    return ends


def _between_turns(folder: Path, chain: Chain, ends: dict[int, tuple[SiteId, int]]) -> list[str]:
    """After an end only a later turn of the same chain may go on.

    Lines at the very end of a chain may be of a group that was never committed, and whose instance is not back yet:
    then no turn comes after them, and the store remembers none.
    """
    found: list[str] = []
    last = chain.turns[-1].n if chain.turns else -1
    begins = {turn.n: turn.number for turn in chain.turns}
    open_end: tuple[SiteId, int] | None = None
    for entry in entries_in(folder):
        open_end = ends.get(entry.n, open_end)
        if open_end is None or chain.is_void(entry.n) or entry.kind in OPENING_KINDS:
            continue
        whose, number = open_end
        if begins.get(entry.n, -1) > number:
            open_end = None
        elif entry.n <= last:
            found.append(f"entry {entry.n} was written after {whose} had begun turn {number}")
            open_end = None
    return found


def uncommitted_tail(count: int, remembered: Head | None) -> str | None:
    """A note, when a chain is longer than the store remembers and its instance is not back to declare that void."""
    if remembered is None or count <= remembered[0]:
        return None
    return f"its last {count - remembered[0]} entries were never committed: nothing of them left"
