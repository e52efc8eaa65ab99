"""Key for SAEs of one site: drawn from the site's own entropy, kept in a small buffer."""

from __future__ import annotations

import uuid

from qanat.core.ids import BlockId
from qanat.core.provenance import Origin, Provenance
from qanat.km.context import LOCAL, Context
from qanat.km.store import PieceRecord, PieceState
from qanat.km.supply import Supply

LOCAL_PROVENANCE = Provenance(origin=Origin.LOCAL, links=(), authentication=None, epsilon_total=0.0, simulated=False)


def refill_local(c: Context, supply: Supply, now_ns: int, size_bytes_min: int) -> None:
    """Keep ``buffer_keys`` for SAEs that are both here; draw at least so many bytes if asked to."""
    if not any(sae.site == c.site for sae in c.network.saes.values()):
        return
    buffer_bytes = c.network.policy.buffer_keys * c.key_bytes
    held = sum(piece.remaining_bytes for piece in c.books.ready(c.site, LOCAL))
    wanted = max(buffer_bytes - held, size_bytes_min)
    if wanted < max(1, min(buffer_bytes // 2, c.key_bytes)):
        return
    name = BlockId(f"local/{uuid.UUID(bytes=c.entropy.random_bytes(16), version=4)}")
    supply.draw_local(
        PieceRecord(
            piece=name,
            parent=name,
            account=LOCAL,
            peer=c.site,
            owner=c.site,
            size_bytes=wanted,
            state=PieceState.READY,
            sources=(),
            provenance=LOCAL_PROVENANCE,
            made_ns=now_ns,
        )
    )
