"""Multicast: one key for SAEs of several sites, or for several SAEs of another site.

The bits are key of the pair with one slave site, the lead: that site reads them in its own pieces. To every
other slave site the same bits go under a one-time pad with a one-time tag, both cut from that pair's key. Each
site stores a copy per key that rests on everything the whole batch rests on, so its provenance is the join and
an alarm on any part takes back every copy that was not fetched.

    origin  --Copies (ranges)------->  lead site
    origin  --Copies (pad and tag)-->  every other slave site
    any of them  --Gone-->  origin  --Gone-->  all others
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from qanat.core.errors import RemoteProtocolError
from qanat.core.ids import BlockId, SaeId, SiteId
from qanat.core.secret import SecretBits
from qanat.crypto.one_time_pad import seal_hop
from qanat.km import pads as pads_
from qanat.km.arrivals import PREFIX, Arrivals
from qanat.km.books import Cut, Piece
from qanat.km.context import Context
from qanat.km.documents import Key
from qanat.km.extensions import extension_from_provenance
from qanat.km.ledger import Fate
from qanat.km.messages import REASON_EXPIRED, REASON_QUARANTINED, Copies, CopiesHeader, Gone, Range, encoded
from qanat.km.rests import rests_on
from qanat.km.store import Source


class Batch(msgspec.Struct, array_like=True, frozen=True):
    """What the origin remembers of a batch, so that a wipe reaches every slave site.

    Attributes:
        sites: Slave sites other than the origin's own.
        parents: Blocks and relays that the batch was cut from.
    """

    sites: tuple[SiteId, ...]
    sources: tuple[Source, ...]
    parents: tuple[BlockId, ...]
    made_ns: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A multicast that can be met now: nothing is changed yet."""

    lead: SiteId
    cuts: list[Cut]
    pads: dict[SiteId, pads_.Pads]
    used: list[Piece]


class CopyBook:
    """Batches that this site originated."""

    def __init__(self, context: Context, arrivals: Arrivals, facts: dict[tuple[str, str], bytes]) -> None:
        self._c, self._arrivals = context, arrivals
        self._batches: dict[BlockId, Batch] = {
            BlockId(name): msgspec.msgpack.decode(value, type=Batch)
            for (kind, name), value in facts.items()
            if kind == "copies"
        }

    # --- at the master's site

    def give(
        self, plan: Plan, size_bytes: int, master: SaeId, sites: dict[SiteId, list[SaeId]], now_ns: int
    ) -> list[Key]:
        """Spend what was planned, tell every site, and return the master's keys."""
        name = BlockId(f"{PREFIX}{uuid.UUID(bytes=self._c.entropy.random_bytes(16), version=4)}")
        sources, provenance = rests_on(plan.used)
        keys = [
            Key(
                # Random, so that it tells neither how many keys there were nor which piece one came from.
                key_id=uuid.UUID(bytes=self._c.entropy.random_bytes(16), version=4),
                key=self._c.books.take(piece, offset, size_bytes),
                key_extension=extension_from_provenance(provenance),
            )
            for piece, offset in plan.cuts
        ]
        header = CopiesHeader(
            name, tuple(key.key_id for key in keys), size_bytes, master, (), sources, provenance, (), None
        )
        self._tell_lead(plan, msgspec.structs.replace(header, slaves=tuple(sites[plan.lead])))
        for site, pads in plan.pads.items():
            self._send_copy(site, pads, msgspec.structs.replace(header, slaves=tuple(sites[site])), keys)
        here = tuple(sites.get(self._c.site, ()))
        if here:
            told = msgspec.structs.replace(header, slaves=here)
            self._arrivals.keep(told, self._c.site, [key.key for key in keys], now_ns)
        self._note(name, plan, sources, now_ns)
        return keys

    def _tell_lead(self, plan: Plan, header: CopiesHeader) -> None:
        size_bytes = header.size_bytes
        ranges = tuple(Range(piece.record.piece, offset, size_bytes) for piece, offset in plan.cuts)
        for piece, offset in plan.cuts:
            self._c.books.advance(piece, offset, size_bytes, Fate.DELIVERED)
        self._c.channel.post(plan.lead, Copies(encoded(msgspec.structs.replace(header, ranges=ranges)), b""))

    def _send_copy(self, site: SiteId, pads: pads_.Pads, header: CopiesHeader, keys: Sequence[Key]) -> None:
        data = encoded(msgspec.structs.replace(header, ranges=pads.pads, tag_key=pads.tag_key))
        payload = SecretBits(b"".join(key.key.reveal() for key in keys))  # one pad and one tag for all keys
        secrets = pads_.read(self._c.books, pads)
        sealed = seal_hop(payload, secrets.pad, secrets.tag_key, data)
        secrets.wipe()
        payload.wipe()
        pads_.spend(self._c.books, pads)
        self._c.channel.post(site, Copies(data, sealed))

    def _note(self, name: BlockId, plan: Plan, sources: tuple[Source, ...], now_ns: int) -> None:
        parents = tuple(dict.fromkeys(piece.record.parent for piece in plan.used))
        self._batches[name] = Batch((plan.lead, *plan.pads), sources, parents, now_ns)
        self._c.store.put_fact("copies", name, msgspec.msgpack.encode(self._batches[name]))

    # --- taking back

    def on_gone(self, peer: SiteId, message: Gone) -> bool:
        """At the origin: a slave site, or the block below, took something back. Returns whether nobody else need look.

        Raises:
            RemoteProtocolError: the peer has no part in that batch.
        """
        if message.reason == REASON_EXPIRED and message.parent in self._batches:
            return True  # one site's copy came to its end; the others' do by their own clocks
        if message.reason == REASON_QUARANTINED:
            for name, batch in list(self._batches.items()):
                if message.parent in batch.parents:
                    self._take_back(name)
        found = self._batches.get(message.parent)
        if found is None:
            # Ours but forgotten, its time being over: nothing of it is left here.
            return message.parent.startswith(PREFIX) and not self._c.books.of_parent(message.parent)
        if peer not in found.sites:
            raise RemoteProtocolError(f"{peer} takes back a multicast key that it never had")
        self._take_back(message.parent)
        return True

    def condemned(self) -> None:
        """An alarm was accepted: batches of ours that rest on condemned light are taken back everywhere."""
        for name, batch in list(self._batches.items()):
            if self._c.links.condemned_link(batch.sources) is not None:
                self._take_back(name)

    def _take_back(self, name: BlockId) -> None:
        for site in self._batches[name].sites:
            self._c.channel.post(site, Gone(name, REASON_QUARANTINED))
        for piece in self._c.books.of_parent(name):
            self._c.books.drop(piece, Fate.COMPROMISED)
        self._forget(name)

    def _forget(self, name: BlockId) -> None:
        del self._batches[name]
        self._c.store.put_fact("copies", name, None)

    def sweep(self, now_ns: int) -> None:
        """Forget batches whose keys are expired everywhere."""
        for name, batch in list(self._batches.items()):
            if now_ns - batch.made_ns > 2 * self._c.ttl_ns:  # twice, since a slave site may have heard late
                self._forget(name)
