"""The way out of an old store: destroy every key in it, tell the peers, go on under a new name.

Which keys of an old copy were delivered since nobody can tell, so none of them is. ``Recovery`` is the state
of one KME in this matter; ``discard_keys`` is what an operator asks for, on a store that no KME uses.
"""

from __future__ import annotations

from qanat.core.ids import BlockId, SiteId
from qanat.km.books import Books
from qanat.km.context import Context
from qanat.km.documents import KeyDeliveryError
from qanat.km.events import KeysDiscarded, StoreRestored
from qanat.km.ledger import Fate
from qanat.km.messages import Lost
from qanat.km.store import Snapshot, Store

RESTORED = ("kme", "restored")
RECOVERED = ("kme", "recovered")
REASON = "the key store of this site was an old copy"


def discard_keys(site: SiteId, store: Store) -> int:
    """Destroy every undelivered key of a store, and all that its channel remembers.

    The next start begins a new stream, so peers do not compare it with the old one, and sends ``Lost`` first.

    Returns:
        Bits destroyed.
    """
    snapshot = store.load()
    with store.transaction():
        books = Books(site, store, snapshot, left_over_bytes=0, ttl_ns=0)
        size_bits = 8 * sum(books.drop(piece, Fate.DESTROYED) for piece in list(books.pieces.values()))
        for peer, messages in snapshot.outbox.items():
            store.delete_messages(peer, max(messages))
        for peer in snapshot.inbox:
            store.put_inbox(peer, b"", 0)
        for kind, name in snapshot.facts:
            if kind in ("channel", "acked", "early", "stream", "copies") or (kind, name) == RESTORED:
                store.put_fact(kind, name, None)
        store.put_fact(*RECOVERED, size_bits.to_bytes(8))
    return size_bits


class Recovery:
    """Whether a KME may use its store."""

    def __init__(self, context: Context, snapshot: Snapshot) -> None:
        self._c = context
        reason = snapshot.facts.get(RESTORED)
        self._c.channel.restored = None if reason is None else reason.decode()
        self._is_known = reason is not None
        self._to_tell = snapshot.facts.get(RECOVERED)

    @property
    def is_stopped(self) -> bool:
        """Nothing is delivered, relayed or sent: the store is an old copy."""
        return self._c.channel.restored is not None

    def check(self) -> None:
        """Raises: KeyDeliveryError."""
        if self.is_stopped:
            raise KeyDeliveryError(503, "this KME's key store is an old copy; its operator must recover it")

    def note(self, peer: SiteId) -> None:
        """A frame of this peer was read: keep what it showed, so that a restart does not forget it."""
        reason = self._c.channel.restored
        if reason is not None and not self._is_known:
            self._is_known = True
            self._c.store.put_fact(*RESTORED, reason.encode())
            self._c.events.append(StoreRestored(peer=peer, reason=reason))

    def tell_peers(self) -> None:
        """After ``discard_keys``: every peer hears, before anything else, that what it shares with us is gone."""
        if self._to_tell is None or self.is_stopped:
            return
        for peer in self._c.network.sites:
            if peer != self._c.site:
                self._c.channel.post(peer, Lost(REASON))
        self._c.store.put_fact(*RECOVERED, None)
        size_bits = int.from_bytes(self._to_tell)
        self._c.events.append(KeysDiscarded(peer=self._c.site, size_bits=size_bits, reason=REASON))
        self._to_tell = None

    def on_lost(self, peer: SiteId, message: Lost) -> list[BlockId]:
        """Give up what we share with a peer that lost its store.

        Keys granted to slaves here stay: their masters have them from before.

        Returns:
            The blocks and relays concerned.
        """
        shared = [piece for piece in self._c.books.pieces.values() if piece.record.peer == peer]
        size_bytes = sum(piece.remaining_bytes for piece in shared)
        for piece in shared:
            self._c.books.drop_rest(piece, Fate.DESTROYED)
        self._c.events.append(KeysDiscarded(peer=peer, size_bits=8 * size_bytes, reason=message.reason[:200]))
        return list(dict.fromkeys(piece.record.parent for piece in shared))
