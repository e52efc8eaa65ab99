"""What a key that was made of several pieces rests on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from qanat.core.provenance import Origin, Provenance, joined
from qanat.km.books import Piece
from qanat.km.store import Source


def rests_on(pieces: Iterable[Piece]) -> tuple[tuple[Source, ...], Provenance]:
    """All sources of some pieces, and their joined provenance; each block counts once."""
    parents = {piece.record.parent: piece.record for piece in pieces}
    records = [parents[name] for name in sorted(parents)]
    sources = {source: None for record in records for source in record.sources}
    nodes = {node: None for record in records for node in record.provenance.trusted_nodes}
    ways = {(p.trusted_nodes, p.trust, p.share_paths, p.threshold) for p in (record.provenance for record in records)}
    whole = joined(tuple(record.provenance for record in records), tuple(nodes))
    if len(ways) == 1:  # all came the same way: what is true of each, also that it came in shares, is true of the whole
        first = records[0].provenance
        whole = replace(whole, trust=first.trust, share_paths=first.share_paths, threshold=first.threshold)
    ordered = sorted(sources, key=lambda source: (source.link, source.block))
    return tuple(ordered), replace(whole, links=tuple(dict.fromkeys(whole.links)))


def covers(whole: Provenance, part: Provenance) -> bool:
    """The whole claims nothing better than this part of it has."""
    order = list(Origin)
    return (
        order.index(whole.origin) >= order.index(part.origin)
        and set(part.links) <= set(whole.links)
        and set(part.trusted_nodes) <= set(whole.trusted_nodes)
        and set(part.algorithms) <= set(whole.algorithms)
        and whole.epsilon_total >= part.epsilon_total
        and whole.simulated >= part.simulated
        and (whole.threshold == 1 or (whole.threshold, whole.share_paths) == (part.threshold, part.share_paths))
    )
