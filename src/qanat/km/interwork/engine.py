"""The border to partners' key management systems: keys are handed over before anybody asks for them.

Outbound: this KME draws a key, stores it, and only then sends it (``ext_keys``). It is given to our application when
the partner has said ``relayed``, not before. Inbound: a key is stored before 202, then acknowledged. What was voided
leaves a tombstone, so that a transfer that comes late cannot revive it. All requests are repeated until answered, so
a restart on either side loses none; a transfer that comes twice changes nothing.
"""

from __future__ import annotations

import uuid

from qanat.core.ids import BlockId, KeyId, SaeId
from qanat.core.provenance import Origin, Provenance
from qanat.core.secret import SecretBits
from qanat.core.timebase import NS_PER_S
from qanat.core.topology import Partner
from qanat.km.context import Context
from qanat.km.documents import NOT_FOUND, SIZE_NOT_MULTIPLE, Key, KeyContainer, KeyDeliveryError, KeyRequest, Status
from qanat.km.events import PartnerRefused
from qanat.km.extensions import extension_from_provenance, wishes_from_mandatory
from qanat.km.interwork import documents as doc
from qanat.km.interwork.documents import AckContainer, AckStatus, InterworkError, KeyIdEntry, Transfer, VoidBody
from qanat.km.interwork.outbox import Outbox, Request
from qanat.km.interwork.records import BorderKey, Records
from qanat.km.ledger import Fate
from qanat.km.store import PieceRecord, PieceState

BATCH_KEYS = 16
BUFFER_KEYS = 32  # per pair, handed over ahead of demand: a request never waits for the partner
ACK_TIMEOUT_NS = 60 * NS_PER_S
KEYS_PER_REQUEST_MAX = BUFFER_KEYS

PROVENANCE = Provenance(origin=Origin.EXTERNAL, links=(), authentication=None, epsilon_total=0.0, simulated=False)


class Interwork:
    """The partners of one KME."""

    def __init__(self, context: Context, facts: dict[tuple[str, str], bytes]) -> None:
        self._c = context
        self.partners: dict[str, Partner] = {
            partner.id: partner for partner in context.network.partners.values() if partner.site == context.site
        }
        self._records = Records(context, facts)
        self._outbox = Outbox(context.store, facts)

    def partner_with(self, sae: SaeId) -> Partner | None:
        """The partner in whose network this application is."""
        return next((partner for partner in self.partners.values() if sae in partner.saes), None)

    # --- applications ask

    def _pair(self, caller: SaeId, other: SaeId) -> Partner:
        saes, partner = self._c.network.saes, self.partner_with(other)
        if caller not in saes or saes[caller].site != self._c.site:
            raise KeyDeliveryError(401, "the calling SAE is not registered at this KME")
        if partner is None or (caller, other) not in partner.pairs:
            raise KeyDeliveryError(401, "these two SAEs are not permitted to share keys")
        return partner

    def status(self, caller: SaeId, other: SaeId) -> Status:
        """Raises: KeyDeliveryError."""
        partner, size = self._pair(caller, other), self._c.network.policy.key_size_bits
        return Status(
            source_kme_id=self._c.site,
            target_kme_id=partner.id,
            master_sae_id=caller,
            slave_sae_id=other,
            key_size=size,
            stored_key_count=len(self._ready(caller, other)),
            max_key_count=BUFFER_KEYS,
            max_key_per_request=KEYS_PER_REQUEST_MAX,
            max_key_size=size,
            min_key_size=size,
        )

    def enc_keys(self, caller: SaeId, other: SaeId, request: KeyRequest) -> KeyContainer:
        """Keys that the partner has confirmed. Raises: KeyDeliveryError."""
        self._pair(caller, other)
        self._check(request)
        ready = self._ready(caller, other)
        if len(ready) < request.number:
            details = [{"available": len(ready), "requested": request.number, "retry_after_ms": 1000}]
            raise KeyDeliveryError(503, "not enough keys are confirmed by the other operator", details, 1000)
        return KeyContainer(keys=[self._handed_out(key) for key in ready[: request.number]])

    def _check(self, request: KeyRequest) -> None:
        size = self._c.network.policy.key_size_bits
        if not 1 <= request.number <= KEYS_PER_REQUEST_MAX:
            raise KeyDeliveryError(400, f"number shall be between 1 and {KEYS_PER_REQUEST_MAX}")
        if request.size is not None and request.size % 8:
            raise KeyDeliveryError(400, SIZE_NOT_MULTIPLE)
        if request.size not in (None, size):
            raise KeyDeliveryError(400, f"keys towards another operator have {size} bits")
        if request.additional_slave_sae_ids:
            raise KeyDeliveryError(400, "a key goes to one application of another operator")
        if not wishes_from_mandatory(request.extension_mandatory).accept(PROVENANCE):
            raise KeyDeliveryError(400, "not all extension_mandatory request options could be met")

    def dec_keys(self, caller: SaeId, master: SaeId, key_ids: list[KeyId]) -> KeyContainer:
        """Keys that the partner gave for this application: all or none. Raises: KeyDeliveryError."""
        self._pair(caller, master)
        if not 1 <= len(key_ids) <= doc.KEYS_MAX or len(set(key_ids)) != len(key_ids):
            raise KeyDeliveryError(400, f"between 1 and {doc.KEYS_MAX} different key_IDs shall be given")
        found = [self._records.find(key_id, master, caller) for key_id in key_ids]
        if any(key is None or key.is_ours for key in found):
            raise KeyDeliveryError(400, NOT_FOUND)
        return KeyContainer(keys=[self._handed_out(key) for key in found if key is not None])

    def _handed_out(self, key: BorderKey) -> Key:
        piece = self._records.piece(key)
        bits = self._c.books.take(piece, 0, piece.record.size_bytes)
        self._c.books.advance(piece, 0, piece.record.size_bytes, Fate.DELIVERED)
        self._records.forget(key)
        return Key(key_id=key.key_id, key=bits, key_extension=extension_from_provenance(PROVENANCE))

    def _ready(self, initiator: SaeId, target: SaeId) -> list[BorderKey]:
        return [key for key in self._records.of_pair(initiator, target) if key.is_ours and self._is_ready(key)]

    def _is_ready(self, key: BorderKey) -> bool:
        return self._records.piece(key).record.state is PieceState.READY

    # --- the partner asks

    def on_ext_keys(self, partner_id: str, transfer: Transfer, now_ns: int) -> None:
        """Store a partner's keys. Acknowledge them afterwards. Raises: InterworkError, before anything changed."""
        partner = self._partner(partner_id, transfer.callback_url)
        targets = [SaeId(target) for target in transfer.targets]
        self._check_pairs(partner, transfer.initiator, targets)
        for key in transfer.keys:
            for target in targets:
                known = self._records.find(key.key_id, SaeId(transfer.initiator), target)
                if known is not None and (known.is_ours or not self._is_same(known, key)):
                    raise InterworkError(409, "conflict", "a key_id is in use with another value")
        for target in targets:
            self._store(partner, transfer, target, now_ns)

    def _is_same(self, known: BorderKey, key: doc.ReceivedKey) -> bool:
        piece = self._records.piece(known)
        bits = self._c.books.take(piece, 0, piece.record.size_bytes)
        try:
            return bits == key.bits
        finally:
            bits.wipe()

    def _store(self, partner: Partner, transfer: Transfer, target: SaeId, now_ns: int) -> None:
        initiator = SaeId(transfer.initiator)
        voided = [key for key in transfer.keys if self._records.has_tombstone(key.key_id, initiator, target)]
        taken = [key for key in transfer.keys if key not in voided]
        for key in taken:
            if self._records.find(key.key_id, initiator, target) is None:
                self._add(partner, key.key_id, initiator, target, key.bits, is_ours=False, now_ns=now_ns)
        for keys, status in ((taken, AckStatus.RELAYED), (voided, AckStatus.VOIDED)):
            if keys:
                self._acknowledge(partner, [key.key_id for key in keys], initiator, target, status)

    def _add(
        self,
        partner: Partner,
        key_id: KeyId,
        initiator: SaeId,
        target: SaeId,
        bits: SecretBits,
        *,
        is_ours: bool,
        now_ns: int,
    ) -> None:
        name = BlockId(f"partner/{key_id}/{target}")
        record = PieceRecord(
            piece=name,
            parent=name,
            account=f"partner/{partner.id}",
            peer=self._c.site,
            owner=self._c.site,
            size_bytes=bits.size_bytes,
            state=PieceState.WAITING if is_ours else PieceState.READY,
            sources=(),
            provenance=PROVENANCE,
            made_ns=now_ns,
        )
        self._c.books.add(record, bits)
        self._records.add(
            BorderKey(
                key_id=key_id, partner=partner.id, initiator=initiator, target=target, is_ours=is_ours, made_ns=now_ns
            )
        )

    def on_void(self, partner_id: str, void: VoidBody) -> None:
        """Discard a partner's keys that were not delivered yet. Raises: InterworkError."""
        partner = self._partner(partner_id, void.ack_callback_url)
        initiator, targets = SaeId(void.initiator_sae_id), [SaeId(target) for target in void.target_sae_ids]
        self._check_pairs(partner, initiator, targets)
        named = [doc.key_id_from_text(entry.key_id) for entry in void.key_ids]
        for target in targets:
            ids = named or [key.key_id for key in self._records.of_pair(initiator, target) if not key.is_ours]
            self._void(partner, ids, initiator, target)

    def _void(self, partner: Partner, ids: list[KeyId], initiator: SaeId, target: SaeId) -> None:
        found = [key for name in ids if (key := self._records.find(name, initiator, target)) and not key.is_ours]
        gone = [name for name in ids if name not in {key.key_id for key in found}]
        for key in found:
            self._destroy(key)
        for name in ids:
            self._records.bury(name, initiator, target)
        if found or not ids:
            self._acknowledge(partner, [key.key_id for key in found], initiator, target, AckStatus.VOIDED)
        if gone:
            self._acknowledge(partner, gone, initiator, target, AckStatus.NOT_PRESENT)

    def on_acks(self, partner_id: str, containers: list[AckContainer]) -> None:
        """What became of keys that we sent. Raises: InterworkError."""
        if partner_id not in self.partners:
            raise InterworkError(401, "unauthorized", "this certificate is no partner's")
        for container in containers:
            initiator, target = SaeId(container.initiator_sae_id), SaeId(container.target_sae_id)
            for entry in container.key_ids:
                key = self._records.find(doc.key_id_from_text(entry.key_id), initiator, target)
                if key is not None and key.is_ours and key.partner == partner_id:
                    self._settle(key, container.ack_status)

    def _settle(self, key: BorderKey, status: AckStatus) -> None:
        if status is AckStatus.RELAYED:
            if not self._is_ready(key):
                self._c.books.confirm(self._records.piece(key))
        elif not self._is_ready(key) or status is not AckStatus.FAILED:
            self._destroy(key)

    def _partner(self, partner_id: str, callback_url: str) -> Partner:
        partner = self.partners.get(partner_id)
        if partner is None:
            raise InterworkError(401, "unauthorized", "this certificate is no partner's")
        if callback_url != partner.callback_url:  # never a request to where a stranger points
            raise InterworkError(400, "bad request", "ack_callback_url is not the one configured for this partner")
        return partner

    def _check_pairs(self, partner: Partner, initiator: str, targets: list[SaeId]) -> None:
        for target in targets:
            site = self._c.network.saes[target].site if target in self._c.network.saes else None
            if (target, SaeId(initiator)) not in partner.pairs or site != self._c.site:
                raise InterworkError(400, "bad request", "initiator and target are no pair that may share keys here")

    def _destroy(self, key: BorderKey) -> None:
        self._c.books.drop(self._records.piece(key), Fate.DESTROYED)
        self._records.forget(key)

    def _acknowledge(
        self, partner: Partner, ids: list[KeyId], initiator: SaeId, target: SaeId, status: AckStatus
    ) -> None:
        container = AckContainer(
            key_ids=[KeyIdEntry(key_id=str(name)) for name in ids],
            ack_status=status,
            initiator_sae_id=initiator,
            target_sae_id=target,
        )
        self._outbox.put(partner.id, "/ack", ids, doc.acks_json([container]))

    # --- time

    def plan(self, now_ns: int) -> None:
        """Hand over new keys where the buffer has run low; take back what has expired or was not acknowledged."""
        expired = [key for key in self._records.expired() if key.is_ours]
        for partner in self.partners.values():
            for ours, theirs in partner.pairs:
                keys = [key for key in self._records.of_pair(ours, theirs) if key.is_ours]
                late = [key for key in keys if not self._is_ready(key) and now_ns - key.made_ns > ACK_TIMEOUT_NS]
                over = [key for key in expired if (key.initiator, key.target) == (ours, theirs)]
                self._take_back(partner, [*late, *over], ours, theirs)
                if len(keys) - len(late) <= BUFFER_KEYS - BATCH_KEYS:
                    self._hand_over(partner, ours, theirs, now_ns)

    def _take_back(self, partner: Partner, late: list[BorderKey], ours: SaeId, theirs: SaeId) -> None:
        if late:
            ids = [key.key_id for key in late]
            self._outbox.drop_transfer(ids)
            self._outbox.put(partner.id, "/void", ids, doc.void_json(ids, ours, theirs, partner.own_callback_url))
            for key in late:
                if self._records.find(key.key_id, ours, theirs) is not None:
                    self._destroy(key)

    def _hand_over(self, partner: Partner, ours: SaeId, theirs: SaeId, now_ns: int) -> None:
        ids = []
        for _ in range(BATCH_KEYS):
            key_id = uuid.UUID(bytes=self._c.entropy.random_bytes(16), version=4)
            bits = SecretBits(self._c.entropy.random_bytes(self._c.key_bytes))
            self._add(partner, key_id, ours, theirs, bits, is_ours=True, now_ns=now_ns)
            bits.wipe()
            ids.append(key_id)
        self._outbox.put(partner.id, "", ids, None)

    # --- the host sends

    def requests_to_send(self, now_ns: int) -> list[Request]:
        """Requests for partners that are due; each comes again until ``answered``. A host asks some times a second."""
        found = []
        for entry in self._outbox.due(now_ns):
            body = entry.body if entry.body is not None else self._transfer_body(entry.ids)
            if body is None:
                self._outbox.done(entry.number)  # its keys were taken back meanwhile
                continue
            found.append(Request(number=entry.number, partner=entry.partner, path=entry.path, body=body))
        return found

    def _transfer_body(self, ids: list[KeyId]) -> bytes | None:
        """Made from the store each time it is sent, so that no key waits in a queue."""
        keys = [key for name in ids for key in self._records.by_id(name) if key.is_ours]
        if not keys:
            return None
        pieces = [self._records.piece(key) for key in keys]
        bits = [self._c.books.take(piece, 0, piece.record.size_bytes) for piece in pieces]
        partner, pairs = self.partners[keys[0].partner], [key.key_id for key in keys]
        body = doc.ext_keys_json(
            list(zip(pairs, bits, strict=True)), keys[0].initiator, keys[0].target, partner.own_callback_url
        )
        for taken in bits:
            taken.wipe()
        return body

    def answered(self, number: int, status_code: int) -> None:
        """The partner has answered a request: 2xx and 4xx are final, anything else comes again."""
        if not 200 <= status_code < 300 and not 400 <= status_code < 500:
            return
        entry = self._outbox.done(number)
        if entry is None or status_code < 300:
            return
        self._c.events.append(PartnerRefused(partner=entry.partner, path=entry.path, status_code=status_code))
        for key in [key for name in entry.ids for key in self._records.by_id(name)]:
            if entry.body is None and key.is_ours and not self._is_ready(key):
                self._destroy(key)
