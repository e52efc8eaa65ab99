"""ETSI GS QKD 014's three methods: who may have which key, and that each role gets it once.

Where 014 is silent the answers are those of the table in the reference page "key delivery", section 2.

Two SAEs at one site (or an SAE with itself) share keys drawn from the site's own entropy: both applications
trust that one KME anyway, so key that also lies at a neighbour would be weaker, not better. It is labelled
origin ``local``, and a master that insists on ``qanat_key_origin: qkd`` is refused.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Sequence

from qanat.core.errors import RemoteProtocolError
from qanat.core.ids import BlockId, KeyId, SaeId, SiteId
from qanat.core.provenance import Origin, Provenance
from qanat.core.timebase import NS_PER_S
from qanat.km.books import Cut, Piece
from qanat.km.context import LOCAL, Context
from qanat.km.documents import (
    MANDATORY_UNMET,
    NOT_FOUND,
    SIZE_NOT_MULTIPLE,
    Key,
    KeyContainer,
    KeyDeliveryError,
    KeyRequest,
    Status,
)
from qanat.km.events import KeyDelivered
from qanat.km.extensions import Wishes, extension_from_provenance, wishes_from_mandatory
from qanat.km.ledger import Fate
from qanat.km.messages import Grant, Granted
from qanat.km.relay import Relay
from qanat.km.store import GrantRecord, PieceRecord, PieceState
from qanat.km.supply import Supply

KEY_BITS_MIN, KEY_BITS_MAX = 64, 4096
KEYS_PER_REQUEST_MAX = 128
GRANT_LIFE_NS = 24 * 3600 * NS_PER_S  # a key its slave never fetched is destroyed after a day
RETRY_AFTER_MS = 1000
RECENT_MAX = 10_000


class Delivery:
    """The part of a KME that faces applications."""

    def __init__(self, context: Context, supply: Supply, relay: Relay, kme_id: str) -> None:
        self._c = context
        self._supply = supply
        self._relay = relay
        self._kme_id = kme_id
        self._recent: OrderedDict[KeyId, SaeId] = OrderedDict()  # lately fetched; only spares the host a wait

    # --- who

    def _partner_site(self, caller: SaeId, partner: SaeId) -> SiteId:
        """Where the partner is, once both are known and may share keys.

        Raises:
            KeyDeliveryError: 401 or 400.
        """
        saes = self._c.network.saes
        if caller not in saes or saes[caller].site != self._c.site:
            raise KeyDeliveryError(401, "the calling SAE is not registered at this KME")
        if partner not in saes:
            raise KeyDeliveryError(400, "the other SAE is not known in this network")
        if not self._c.network.may_pair(caller, partner):
            raise KeyDeliveryError(401, "these two SAEs are not permitted to share keys")
        return saes[partner].site

    def _kme_at(self, site: SiteId) -> str:
        """KMEs of one network are named alike: what stands before our site's name stands before theirs."""
        here = self._c.site
        return self._kme_id[: -len(here)] + site if self._kme_id.endswith(here) else str(site)

    # --- Get status

    def status(self, caller: SaeId, slave: SaeId) -> Status:
        site = self._partner_site(caller, slave)
        policy = self._c.network.policy
        count_max = policy.store_bits_max // policy.key_size_bits
        return Status(
            source_kme_id=self._kme_id,
            target_kme_id=self._kme_at(site),
            master_sae_id=caller,
            slave_sae_id=slave,
            key_size=policy.key_size_bits,
            stored_key_count=min(self._relay.stored_count(site), count_max),
            max_key_count=count_max,
            max_key_per_request=KEYS_PER_REQUEST_MAX,
            max_key_size=KEY_BITS_MAX,
            min_key_size=KEY_BITS_MIN,
        )

    # --- Get key

    def enc_keys(self, caller: SaeId, slave: SaeId, request: KeyRequest, now_ns: int) -> KeyContainer:
        site = self._partner_site(caller, slave)
        size_bytes = self._size_bytes(request)
        wishes = wishes_from_mandatory(request.extension_mandatory)
        if self._c.channel.is_full(site):
            raise KeyDeliveryError(503, "the other KME is out of reach", retry_after_ms=RETRY_AFTER_MS)
        cuts = self._cuts(site, size_bytes, request.number, wishes)
        if site == self._c.site and len(cuts) < request.number and wishes.accept(_LOCAL_PROVENANCE):
            self.refill_local(now_ns, size_bytes * request.number)
            cuts = self._cuts(site, size_bytes, request.number, wishes)
        if len(cuts) < request.number:
            raise self._shortage(site, size_bytes, request.number, len(cuts), wishes)
        container = self._given(cuts, size_bytes, caller, slave, site, now_ns)
        self._c.events.append(
            KeyDelivered(role="master", caller=caller, partner=slave, count=len(cuts), size_bits=8 * size_bytes)
        )
        return container

    def _size_bytes(self, request: KeyRequest) -> int:
        size_bits = self._c.network.policy.key_size_bits if request.size is None else request.size
        if not 1 <= request.number <= KEYS_PER_REQUEST_MAX:
            raise KeyDeliveryError(400, f"number shall be between 1 and {KEYS_PER_REQUEST_MAX}")
        if size_bits % 8:
            raise KeyDeliveryError(400, SIZE_NOT_MULTIPLE)
        if not KEY_BITS_MIN <= size_bits <= KEY_BITS_MAX:
            raise KeyDeliveryError(400, f"size shall be between {KEY_BITS_MIN} and {KEY_BITS_MAX} bits")
        if request.additional_slave_sae_ids:
            raise KeyDeliveryError(400, "this KME gives keys to one slave only (max_SAE_ID_count is 0)")
        return size_bits // 8

    def _cuts(self, site: SiteId, size_bytes: int, count: int, wishes: Wishes) -> list[Cut]:
        pieces = (piece for account in self._c.accounts_to(site) for piece in self._c.books.ready(site, account))
        return self._c.books.plan(pieces, size_bytes, count, lambda piece: wishes.accept(piece.record.provenance))

    def _shortage(
        self, site: SiteId, size_bytes: int, requested: int, available: int, wishes: Wishes
    ) -> KeyDeliveryError:
        if not self._is_possible(site, wishes):
            return KeyDeliveryError(400, MANDATORY_UNMET)
        details = [{"available": available, "requested": requested, "retry_after_ms": RETRY_AFTER_MS}]
        message = f"not enough keys of {8 * size_bytes} bits are stored for this pair of SAEs"
        return KeyDeliveryError(503, message, details, RETRY_AFTER_MS)

    def _is_possible(self, site: SiteId, wishes: Wishes) -> bool:
        """Such keys may come one day, by links and routes as they are now."""
        if site == self._c.site:
            return wishes.accept(_LOCAL_PROVENANCE)
        if Origin.QKD not in wishes.origins:
            return False
        has_link = bool(self._c.network.links_between(self._c.site, site))
        has_relay = len(self._relay.routes.get(site, ())) > 1
        is_open = len(wishes.route_types) == 3  # no wish at all: a missing route is a matter of time
        return (
            is_open
            or ("direct" in wishes.route_types and has_link)
            or ("relayed" in wishes.route_types and (has_relay or not has_link))
        )

    def _given(
        self, cuts: Sequence[Cut], size_bytes: int, master: SaeId, slave: SaeId, site: SiteId, now_ns: int
    ) -> KeyContainer:
        keys: list[Key] = []
        grants: list[Grant] = []
        for piece, offset in cuts:
            # Random, so that it tells neither how many keys there were nor which piece one came from.
            key_id = uuid.UUID(bytes=self._c.entropy.random_bytes(16), version=4)
            keys.append(self._key(key_id, piece, offset, size_bytes))
            grants.append(Grant(key_id, piece.record.piece, offset, size_bytes, master, slave))
            if site == self._c.site:
                self._c.books.grant(_grant_record(grants[-1], now_ns))
            else:
                self._c.books.advance(piece, offset, size_bytes, Fate.DELIVERED)
        if site != self._c.site:
            self._c.channel.post(site, Granted(grants))
        return KeyContainer(keys=keys)

    def _key(self, key_id: KeyId, piece: Piece, offset: int, size_bytes: int) -> Key:
        bits = self._c.books.take(piece, offset, size_bytes)
        return Key(key_id=key_id, key=bits, key_extension=extension_from_provenance(piece.record.provenance))

    def on_granted(self, peer: SiteId, message: Granted, now_ns: int) -> None:
        """The other KME gave keys to a master there.

        Raises:
            RemoteProtocolError: one of them is not the peer's to give; those before it stand.
        """
        for grant in message.grants:
            piece = self._c.books.pieces.get(grant.piece)
            if piece is None:
                parent = BlockId(grant.piece.partition("#")[0])
                if self._c.books.has_seen(parent):
                    continue  # quarantined or given up here: its slave must not get it
                raise RemoteProtocolError(f"{peer} gives keys of a block that never came here")
            self._check_grant(peer, grant, piece)
            self._c.books.grant(_grant_record(grant, now_ns))

    def _check_grant(self, peer: SiteId, grant: Grant, piece: Piece) -> None:
        if piece.record.owner != peer or piece.record.peer != peer or piece.record.state is PieceState.WAITING:
            raise RemoteProtocolError(f"{peer} gives keys of a piece that is not its own")
        if grant.offset < piece.offset or grant.offset + grant.size_bytes > piece.record.size_bytes:
            raise RemoteProtocolError(f"{peer} gives bytes that are used already")
        if not KEY_BITS_MIN <= 8 * grant.size_bytes <= KEY_BITS_MAX or grant.key_id in self._c.books.grants:
            raise RemoteProtocolError(f"{peer} gives a key of impossible size or known ID")
        if not self._c.is_pair(grant.slave, grant.master, peer):
            raise RemoteProtocolError(f"{peer} gives keys to SAEs that may not share them")

    # --- Get key with key IDs

    def dec_keys(self, caller: SaeId, master: SaeId, key_ids: Sequence[KeyId], now_ns: int) -> KeyContainer:
        self._partner_site(caller, master)
        if not 1 <= len(key_ids) <= KEYS_PER_REQUEST_MAX:
            raise KeyDeliveryError(400, f"between 1 and {KEYS_PER_REQUEST_MAX} key_IDs shall be given")
        if len(set(key_ids)) != len(key_ids):
            raise KeyDeliveryError(400, "a key_ID is given twice")
        grants = self._found(caller, master, key_ids, now_ns)
        keys = []
        for grant in grants:
            piece = self._c.books.pieces[grant.piece]
            keys.append(self._key(grant.key_id, piece, grant.offset, grant.size_bytes))
            self._c.books.settle(grant.key_id, Fate.DELIVERED)
            self._remember(grant.key_id, caller)
        size_bits = 8 * grants[0].size_bytes
        self._c.events.append(
            KeyDelivered(role="slave", caller=caller, partner=master, count=len(keys), size_bits=size_bits)
        )
        return KeyContainer(keys=keys)

    def _found(self, caller: SaeId, master: SaeId, key_ids: Sequence[KeyId], now_ns: int) -> list[GrantRecord]:
        """All of them or an error; nothing is changed. Every ID is looked up whatever the others were."""
        found = [self._c.books.grants.get(key_id) for key_id in key_ids]
        others = [grant for grant in found if grant is not None and grant.slave != caller]
        mine = [grant for grant in found if grant is not None and grant.slave == caller and grant.master == master]
        fresh = [grant for grant in mine if now_ns - grant.granted_ns <= GRANT_LIFE_NS]
        if len(fresh) == len(key_ids):
            return fresh
        is_consumed = any(self._recent.get(key_id) == caller for key_id in key_ids)
        pending = not is_consumed and self._c.network.saes[master].site != self._c.site
        if others:
            message = "the calling SAE was not named when these keys were given out"
            raise KeyDeliveryError(401, message, grant_pending=pending)
        details = [{"reason": "expired"}] if len(fresh) < len(mine) else None
        raise KeyDeliveryError(400, NOT_FOUND, details, grant_pending=pending and details is None)

    def _remember(self, key_id: KeyId, caller: SaeId) -> None:
        self._recent[key_id] = caller
        if len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)

    # --- upkeep

    def sweep(self, now_ns: int) -> None:
        """Destroy keys that nobody fetched for a day; keep the local buffer full."""
        for grant in list(self._c.books.grants.values()):
            if now_ns - grant.granted_ns > GRANT_LIFE_NS:
                self._c.books.settle(grant.key_id, Fate.DESTROYED)
        self.refill_local(now_ns, 0)

    def refill_local(self, now_ns: int, size_bytes_min: int) -> None:
        """Keep ``buffer_keys`` for SAEs that are both here; draw at least so many bytes if asked to."""
        if not any(sae.site == self._c.site for sae in self._c.network.saes.values()):
            return
        buffer_bytes = self._c.network.policy.buffer_keys * self._c.key_bytes
        held = sum(piece.remaining_bytes for piece in self._c.books.ready(self._c.site, LOCAL))
        wanted = max(buffer_bytes - held, size_bytes_min)
        if wanted < max(1, min(buffer_bytes // 2, self._c.key_bytes)):
            return
        name = BlockId(f"local/{uuid.UUID(bytes=self._c.entropy.random_bytes(16), version=4)}")
        self._supply.draw_local(
            PieceRecord(
                piece=name,
                parent=name,
                account=LOCAL,
                peer=self._c.site,
                owner=self._c.site,
                size_bytes=wanted,
                state=PieceState.READY,
                sources=(),
                provenance=_LOCAL_PROVENANCE,
                made_ns=now_ns,
            )
        )


_LOCAL_PROVENANCE = Provenance(origin=Origin.LOCAL, links=(), authentication=None, epsilon_total=0.0, simulated=False)


def _grant_record(grant: Grant, now_ns: int) -> GrantRecord:
    return GrantRecord(
        key_id=grant.key_id,
        piece=grant.piece,
        offset=grant.offset,
        size_bytes=grant.size_bytes,
        master=grant.master,
        slave=grant.slave,
        granted_ns=now_ns,
    )
