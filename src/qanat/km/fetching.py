"""Get key with key IDs: each SAE that a key was made for gets it once, all keys of a request or none.

401 is said only while a requested ID exists here for other SAEs; what never was, is gone or was fetched by the
caller itself is 400. Every ID of a list costs one look-up and the same comparisons, whatever the others were.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from qanat.core.ids import KeyId, SaeId
from qanat.km.callers import partner_site
from qanat.km.context import Context
from qanat.km.documents import NOT_FOUND, Key, KeyContainer, KeyDeliveryError
from qanat.km.events import KeyDelivered
from qanat.km.extensions import extension_from_provenance
from qanat.km.store import GrantRecord

KEYS_PER_REQUEST_MAX = 128
RECENT_MAX = 10_000


class Fetching:
    """The slaves' side of one KME."""

    def __init__(self, context: Context) -> None:
        self._c = context
        self._recent: OrderedDict[tuple[KeyId, SaeId], None] = OrderedDict()  # only spares the host a wait

    def dec_keys(self, caller: SaeId, master: SaeId, key_ids: Sequence[KeyId], now_ns: int) -> KeyContainer:
        partner_site(self._c, caller, master)
        if not 1 <= len(key_ids) <= KEYS_PER_REQUEST_MAX:
            raise KeyDeliveryError(400, f"between 1 and {KEYS_PER_REQUEST_MAX} key_IDs shall be given")
        if len(set(key_ids)) != len(key_ids):
            raise KeyDeliveryError(400, "a key_ID is given twice")
        del now_ns  # what has ended is gone before: Kme looks first
        grants = self._found(caller, master, key_ids)
        keys = [self._taken(grant, caller) for grant in grants]
        size_bits = 8 * grants[0].size_bytes
        self._c.events.append(
            KeyDelivered(
                role="slave",
                caller=caller,
                partner=master,
                count=len(keys),
                size_bits=size_bits,
                key_ids=tuple(key_ids),
            )
        )
        return KeyContainer(keys=keys)

    def _taken(self, grant: GrantRecord, caller: SaeId) -> Key:
        piece = self._c.books.pieces[grant.piece]
        bits = self._c.books.take(piece, grant.offset, grant.size_bytes)
        extension = extension_from_provenance(piece.record.provenance)
        self._c.books.fetched(grant.key_id, caller)
        self._remember(grant.key_id, caller)
        return Key(key_id=grant.key_id, key=bits, key_extension=extension)

    def _found(self, caller: SaeId, master: SaeId, key_ids: Sequence[KeyId]) -> list[GrantRecord]:
        """All of them or an error; nothing is changed. Every ID is looked up whatever the others were."""
        found = [self._c.books.grants.get(key_id) for key_id in key_ids]
        others = [grant for grant in found if grant is not None and caller not in grant.slaves]
        mine = [grant for grant in found if grant is not None and caller in grant.waiting and grant.master == master]
        if len(mine) == len(key_ids):
            return mine
        is_consumed = any((key_id, caller) in self._recent for key_id in key_ids)
        pending = not is_consumed and self._c.network.saes[master].site != self._c.site
        if others:
            message = "the calling SAE was not named when these keys were given out"
            raise KeyDeliveryError(401, message, grant_pending=pending)
        is_expired = any(self._c.books.was_expired(key_id, caller) for key_id in key_ids)
        details = [{"reason": "expired"}] if is_expired else None
        raise KeyDeliveryError(400, NOT_FOUND, details, grant_pending=pending and details is None)

    def _remember(self, key_id: KeyId, caller: SaeId) -> None:
        self._recent[key_id, caller] = None
        if len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)
