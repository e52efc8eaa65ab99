"""ETSI GS QKD 014's three methods: who may have which key, and that each role gets it once.

This file is the master's side: Get status and Get key. Slaves fetch in ``fetching.py``, keys for several SAEs
are made in ``copies.py``. Where 014 is silent the answers are those of docs/reference/key-delivery.md.

Two SAEs at one site (or an SAE with itself) share keys drawn from the site's own entropy: both applications
trust that one KME anyway, so key that also lies at a neighbour would be weaker, not better. It is labelled
origin ``local``, and a master that insists on ``qanat_key_origin: qkd`` is refused.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Sequence
from operator import itemgetter

import msgspec

from qanat.core.errors import RemoteProtocolError
from qanat.core.ids import BlockId, KeyId, SaeId, SiteId
from qanat.km.arrivals import Arrivals
from qanat.km.books import Cut, Piece
from qanat.km.callers import ADDITIONAL_SLAVES_MAX, partner_site, slave_sites
from qanat.km.context import Context
from qanat.km.copies import CopyBook, Plan
from qanat.km.documents import SIZE_NOT_MULTIPLE, Key, KeyContainer, KeyDeliveryError, KeyRequest, Status
from qanat.km.events import KeyDelivered
from qanat.km.extensions import (
    Wishes,
    container_extension,
    extension_from_provenance,
    wishes_from_mandatory,
    wishes_from_optional,
)
from qanat.km.fetching import KEYS_PER_REQUEST_MAX, Fetching
from qanat.km.ledger import Fate
from qanat.km.local import refill_local
from qanat.km.messages import Grant, Granted
from qanat.km.quotas import refused_share
from qanat.km.relay import Relay
from qanat.km.reserving import RETRY_AFTER_MS, Ask, Reserving
from qanat.km.store import GrantRecord, PieceState
from qanat.km.supply import Supply

KEY_BITS_MIN, KEY_BITS_MAX = 64, 4096


class Delivery:
    """The part of a KME that faces applications."""

    def __init__(self, context: Context, supply: Supply, relay: Relay, facts: dict[tuple[str, str], bytes]) -> None:
        self._c = context
        self._supply = supply
        self._relay = relay
        self._reserving = Reserving(context, supply, relay)
        self._fetching = Fetching(context)
        self.arrivals = Arrivals(context)
        self.copies = CopyBook(context, self.arrivals, facts)
        self.dec_keys = self._fetching.dec_keys

    # --- Get status

    def status(self, caller: SaeId, slave: SaeId) -> Status:
        site = partner_site(self._c, caller, slave)
        policy = self._c.network.policy
        count_max = policy.store_bits_max // policy.key_size_bits
        return Status(
            source_kme_id=self._c.site,
            target_kme_id=site,
            master_sae_id=caller,
            slave_sae_id=slave,
            key_size=policy.key_size_bits,
            stored_key_count=min(self._relay.stored_count(site), count_max),
            max_key_count=count_max,
            max_key_per_request=KEYS_PER_REQUEST_MAX,
            max_key_size=KEY_BITS_MAX,
            min_key_size=KEY_BITS_MIN,
            max_sae_id_count=ADDITIONAL_SLAVES_MAX,
        )

    # --- Get key

    def enc_keys(self, caller: SaeId, slave: SaeId, request: KeyRequest, now_ns: int) -> KeyContainer:
        sites = slave_sites(self._c, caller, slave, request.additional_slave_sae_ids)
        size_bytes = self._size_bytes(request)
        mandatory = wishes_from_mandatory(request.extension_mandatory)
        if any(self._c.channel.is_full(site) for site in sites):
            raise KeyDeliveryError(503, "the other KME is out of reach", retry_after_ms=RETRY_AFTER_MS)
        ask = Ask(tuple(sites), size_bytes, request.number, mandatory, now_ns)
        ignored = self._with_optional(ask, request)
        plan = self._planned(ask, caller, sites)
        if len(sites) == 1 and len(next(iter(sites.values()))) == 1:
            keys = self._given(plan.cuts, size_bytes, caller, [slave], plan.lead, now_ns)
        elif plan.lead == self._c.site:  # all slaves are here
            keys = self._given(plan.cuts, size_bytes, caller, sites[plan.lead], plan.lead, now_ns)
        else:
            keys = self.copies.give(plan, size_bytes, caller, sites, now_ns)
        self._c.events.append(
            KeyDelivered(
                role="master",
                caller=caller,
                partner=slave,
                count=len(keys),
                size_bits=8 * size_bytes,
                key_ids=tuple(key.key_id for key in keys),
            )
        )
        extension = container_extension(ignored)
        return KeyContainer(keys=keys, key_container_extension=msgspec.UNSET if extension is None else extension)

    def _planned(self, ask: Ask, caller: SaeId, sites: dict[SiteId, list[SaeId]]) -> Plan:
        """The plan, once quotas allow it; they are charged here, for the plan is carried out."""
        quotas, size_bytes = self._c.quotas, ask.size_bytes * ask.count
        quotas.check_rate(caller, 8 * size_bytes, ask.now_ns)
        shares = {site: found for site in sites if (found := quotas.shares_with(site)) is not None}
        for site, found in shares.items():
            found.want(frozenset((caller, sites[site][0])), size_bytes, ask.now_ns)
        plan = self._reserving.plan(ask)
        stocks = {site: self._c.stock_bytes(site) for site in shares}
        for site, found in shares.items():
            available = found.available(frozenset((caller, sites[site][0])), stocks[site], ask.now_ns)
            if available < size_bytes:
                raise refused_share(ask.size_bytes, available, ask.count)
        for site, found in shares.items():
            found.spend(frozenset((caller, sites[site][0])), size_bytes, stocks[site], ask.now_ns)
        quotas.spend_rate(caller, 8 * size_bytes, ask.now_ns)
        return plan

    def _with_optional(self, ask: Ask, request: KeyRequest) -> list[str]:
        """Add what optional wishes can be met now, in their order, to those that must be. Returns the other names."""
        ignored = []
        for name, wish in wishes_from_optional(request.extension_optional):
            together = None if wish is None else ask.wishes.both(wish)
            if together is None or not self._reserving.can_meet(ask, together):
                ignored.append(name)
            else:
                ask.wishes = together
        return ignored

    def _size_bytes(self, request: KeyRequest) -> int:
        size_bits = self._c.network.policy.key_size_bits if request.size is None else request.size
        if not 1 <= request.number <= KEYS_PER_REQUEST_MAX:
            raise KeyDeliveryError(400, f"number shall be between 1 and {KEYS_PER_REQUEST_MAX}")
        if size_bits % 8:
            raise KeyDeliveryError(400, SIZE_NOT_MULTIPLE)
        if not KEY_BITS_MIN <= size_bits <= KEY_BITS_MAX:
            raise KeyDeliveryError(400, f"size shall be between {KEY_BITS_MIN} and {KEY_BITS_MAX} bits")
        return size_bits // 8

    def _given(
        self, cuts: Sequence[Cut], size_bytes: int, master: SaeId, slaves: Sequence[SaeId], site: SiteId, now_ns: int
    ) -> list[Key]:
        # Random, so that they tell neither how many keys there were nor which piece one came from.
        key_ids = self._key_ids(len(cuts))
        keys = [self._key(key_id, *cut, size_bytes) for key_id, cut in zip(key_ids, cuts, strict=True)]
        grants = [
            Grant(key_id, piece.record.piece, offset, size_bytes, master, slaves[0])
            for key_id, (piece, offset) in zip(key_ids, cuts, strict=True)
        ]
        if site == self._c.site:
            for grant in grants:
                self._c.books.grant(_grant_record(grant, now_ns, tuple(slaves[1:])))
            return keys
        for piece, run in itertools.groupby(cuts, key=itemgetter(0)):  # a plan cuts a piece without gaps
            offsets = [offset for _, offset in run]
            self._c.books.advance(piece, offsets[0], len(offsets) * size_bytes, Fate.DELIVERED)
        self._c.channel.post(site, Granted(grants))
        return keys

    def _key_ids(self, count: int) -> list[KeyId]:
        drawn = self._c.entropy.random_bytes(16 * count)
        return [uuid.UUID(bytes=drawn[start : start + 16], version=4) for start in range(0, 16 * count, 16)]

    def _key(self, key_id: KeyId, piece: Piece, offset: int, size_bytes: int) -> Key:
        bits = self._c.books.take(piece, offset, size_bytes)
        if piece.extension is None:
            piece.extension = extension_from_provenance(piece.record.provenance)
        return Key(key_id=key_id, key=bits, key_extension=piece.extension)

    def on_grant(self, peer: SiteId, grant: Grant, now_ns: int) -> None:
        """The other KME gave a key to a master there.

        Raises:
            RemoteProtocolError: it is not the peer's to give.
        """
        piece = self._c.books.pieces.get(grant.piece)
        if piece is not None:
            self._check_grant(peer, grant, piece)
            self._c.books.grant(_grant_record(grant, now_ns))
        elif not self._c.books.has_seen(BlockId(grant.piece.partition("#")[0])):
            raise RemoteProtocolError(f"{peer} gives keys of a block that never came here")
        # Else it was quarantined or given up here: its slave must not get it.

    def _check_grant(self, peer: SiteId, grant: Grant, piece: Piece) -> None:
        if piece.record.owner != peer or piece.record.peer != peer or piece.record.state is PieceState.WAITING:
            raise RemoteProtocolError(f"{peer} gives keys of a piece that is not its own")
        if grant.offset < piece.offset or grant.offset + grant.size_bytes > piece.record.size_bytes:
            raise RemoteProtocolError(f"{peer} gives bytes that are used already")
        if not KEY_BITS_MIN <= 8 * grant.size_bytes <= KEY_BITS_MAX or grant.key_id in self._c.books.grants:
            raise RemoteProtocolError(f"{peer} gives a key of impossible size or known ID")
        if not self._c.is_pair(grant.slave, grant.master, peer):
            raise RemoteProtocolError(f"{peer} gives keys to SAEs that may not share them")

    # --- upkeep

    def sweep(self, now_ns: int) -> None:
        """Forget what is over; keep the local buffer full."""
        self.copies.sweep(now_ns)
        refill_local(self._c, self._supply, now_ns, 0)


def _grant_record(grant: Grant, now_ns: int, also: tuple[SaeId, ...] = ()) -> GrantRecord:
    return GrantRecord(
        key_id=grant.key_id,
        piece=grant.piece,
        offset=grant.offset,
        size_bytes=grant.size_bytes,
        master=grant.master,
        slave=grant.slave,
        granted_ns=now_ns,
        also=also,
    )


__all__ = ["KEYS_PER_REQUEST_MAX", "KEY_BITS_MAX", "KEY_BITS_MIN", "Delivery", "Wishes"]
