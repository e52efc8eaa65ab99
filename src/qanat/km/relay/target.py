"""The target of a relay whose block came whole: stored, then confirmed."""

from __future__ import annotations

from qanat.core.secret import SecretBits
from qanat.crypto.one_time_pad import seal_hop
from qanat.km.context import Context, relay_account
from qanat.km.messages import HopHeader, RelayDone, RelayFailed
from qanat.km.relay.trails import (
    CONFIRM_BYTES,
    MASK_BYTES,
    NOTHING,
    TAG_KEY_BYTES,
    digest_of,
    provenance_of_path,
    signed_words,
    sources_of,
)
from qanat.km.store import PieceRecord, PieceState


class Target:
    """Takes blocks in; their origin owns them, and gives them out first."""

    def __init__(self, context: Context) -> None:
        self._c = context

    def arrive(self, header: HopHeader, payload: SecretBits, now_ns: int) -> None:
        """A block came to its end."""
        books, account = self._c.books, relay_account(header.origin)
        if books.has_seen(header.relay):
            return  # given up by its origin before it came
        size_bytes = header.size_bytes - CONFIRM_BYTES
        if books.booked_bits(account) + 8 * size_bytes > self._c.network.policy.store_bits_max:
            self._c.channel.post(header.origin, RelayFailed(header.relay, "the target's store is full"))
            return
        keys = payload.take(0, size_bytes)
        tag_key = payload.take(size_bytes, TAG_KEY_BYTES)
        mask = payload.take(size_bytes + TAG_KEY_BYTES, MASK_BYTES)
        books.add(self._record(header, size_bytes, now_ns), keys)
        point = self._c.entropy.random_bytes(MASK_BYTES)
        said = RelayDone(header.relay, header.trail, point, digest_of(keys, point, mask), b"")
        tag = seal_hop(NOTHING, NOTHING, tag_key, signed_words(said))
        for secret in (keys, tag_key, mask):
            secret.wipe()
        self._c.channel.post(header.origin, RelayDone(said.relay, said.trail, said.point, said.digest, tag))

    def _record(self, header: HopHeader, size_bytes: int, now_ns: int) -> PieceRecord:
        return PieceRecord(
            piece=header.relay,
            parent=header.relay,
            account=relay_account(header.origin),
            peer=header.origin,
            owner=header.origin,
            size_bytes=size_bytes,
            state=PieceState.READY,
            sources=sources_of((header.trail,)),
            provenance=provenance_of_path(self._c.network, header.origin, header.trail),
            made_ns=now_ns,
        )
