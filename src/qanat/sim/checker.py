"""The checker: takes observations in order and raises at the first broken invariant. See ``invariants.py``."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from qanat.core.ids import BlockId, KeyId, SiteId
from qanat.core.provenance import Authentication, Origin, Provenance, weakest
from qanat.core.topology import Network
from qanat.km.messages import (
    Copies,
    Grant,
    Granted,
    Hop,
    copies_header_from_bytes,
    header_from_bytes,
    message_from_bytes,
)
from qanat.sim.invariants import Invariant, InvariantBroken
from qanat.sim.observed import (
    BlockHanded,
    CommandTaken,
    Committed,
    Delivered,
    DeliveredKey,
    GrantPut,
    MessagePosted,
    Observation,
    PiecePut,
    Restarted,
)
from qanat.sim.site_view import SiteView
from qanat.sim.usage import GivenKey, RelayPath, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class _Truth:
    """What a key rests on: what its provenance may not make look better."""

    links: set[str]
    nodes: set[str]
    epsilon: float
    is_simulated: bool
    origin: Origin
    authentication: Authentication | None
    threshold: int = 1
    seen_twice: frozenset[str] = frozenset()  # sites that stood on more than one path of shares


class Checker:
    """Judges a run from outside.

    Attributes:
        checks: Observations judged so far.
    """

    def __init__(self, network: Network) -> None:
        self.usage = Usage()
        self.views = {site: SiteView(site) for site in network.sites}
        self.checks = 0
        self._network = network
        self._pending: list[Observation] = []
        self._digests: dict[KeyId, bytes] = {}
        self._received: set[tuple[KeyId, str]] = set()
        self._approved: dict[BlockId, dict[str, Any]] = {}

    def tell(self, observation: Observation) -> None:
        """Something happened; it is judged at the end of the step."""
        self._pending.append(observation)

    def check(self) -> None:
        """The step is over.

        Raises:
            InvariantBroken: one of the seven does not hold.
        """
        if not self._pending:
            return
        touched: dict[SiteId, None] = {}
        for observation in self._pending:
            touched[observation.site] = None
            self._judge(observation)
        self.checks += len(self._pending)
        self._pending.clear()
        for site in touched:
            self.views[site].check_ledger()

    def _judge(self, observation: Observation) -> None:
        view = self.views[observation.site]
        match observation:
            case Committed():
                self._committed(view, observation)
            case Delivered():
                self._delivered(view, observation)
            case CommandTaken(_, command):
                view.obey(command)
            case BlockHanded(_, link, size_bits):
                view.handed_bits[link] += size_bits
            case Restarted(_, snapshot):
                view.check_restart(snapshot)
                self._nothing_given_is_free(view, observation)

    def _committed(self, view: SiteView, commit: Committed) -> None:
        for write in commit.writes:
            view.take(write)
            match write:
                case PiecePut(record, digest):
                    self._same_at_peer(view, record.piece, record.peer, digest)
                # A copy of a multicast key is a piece of its own, made under a pad; its ranges are judged when posted.
                case GrantPut(grant) if not grant.fetched and not grant.piece.startswith("copies/"):
                    self._granted(
                        view,
                        Grant(grant.key_id, grant.piece, grant.offset, grant.size_bytes, grant.master, grant.slave),
                    )
                case MessagePosted(_, message):
                    self._posted(view, message)

    def _posted(self, view: SiteView, data: bytes) -> None:
        match message_from_bytes(data):
            case Granted(grants):
                for grant in grants:
                    self._release(view, grant.piece, f"key {grant.key_id}")
                    self.usage.give(view.site, grant)
            case Copies(header, _):
                batch = copies_header_from_bytes(header)
                for part in (*batch.ranges, *([batch.tag_key] if batch.tag_key is not None else [])):
                    self._release(view, part.piece, f"multicast {batch.batch}")
            case Hop(header, _):
                told = header_from_bytes(header)
                for part in (told.tag_key, *told.pads):
                    self._release(view, part.piece, f"a pad for {told.relay}")
                self.usage.hop(view.site, told)

    def _granted(self, view: SiteView, grant: Grant) -> None:
        """A slave's site holds a key for it: at its own site it gives it itself, else the owner gave it before."""
        if view.records[grant.piece].peer == view.site:
            self.usage.give(view.site, grant)
            return
        given = self.usage.keys.get(grant.key_id)
        if given is None or (given.piece, given.offset, given.size_bytes) != (
            grant.piece,
            grant.offset,
            grant.size_bytes,
        ):
            what = f"site {view.site} holds key {grant.key_id} for {grant.slave} that nobody gave like that"
            raise InvariantBroken(Invariant.NO_BIT_TWICE, what)

    # --- invariants 1 and 5

    def _same_at_peer(self, view: SiteView, piece: BlockId, peer: SiteId, digest: bytes) -> None:
        other = self.views[peer].digests.get(piece) if peer in self.views else None
        if other is not None and other != digest and self.usage.end(piece):
            raise InvariantBroken(Invariant.EQUAL_BLOCKS, f"{piece} differs at {view.site} and {peer} and was released")

    def _release(self, view: SiteView, piece: BlockId, purpose: str) -> None:
        """Bytes of this piece are about to leave its owner."""
        record = view.records.get(piece)
        if record is None or record.owner != view.site:
            what = f"site {view.site} gives out bytes of {piece}, which it does not own, for {purpose}"
            raise InvariantBroken(Invariant.NO_BIT_TWICE, what)
        other = self.views[record.peer].digests.get(piece)
        if other != view.digests[piece]:
            state = "does not hold it" if other is None else "holds other bits"
            what = f"site {view.site} releases {piece} for {purpose}; {record.peer} {state}"
            raise InvariantBroken(Invariant.EQUAL_BLOCKS, what)
        self._not_condemned(view, piece, purpose)

    @staticmethod
    def _not_condemned(view: SiteView, piece: BlockId, purpose: str) -> None:
        link = view.condemned(piece)
        if link is not None:
            what = f"site {view.site} accepted the alarm of link {link}, and then released {piece} for {purpose}"
            raise InvariantBroken(Invariant.CONDEMNED_STAYS, what)

    # --- invariants 1, 2, 5 and 7, at the application

    def _delivered(self, view: SiteView, delivered: Delivered) -> None:
        for key in delivered.keys:
            view.delivered_bits += key.size_bits
            given = self.usage.keys.get(key.key_id)
            if given is None:
                what = f"{delivered.caller} got key {key.key_id}, which no site ever cut"
                raise InvariantBroken(Invariant.NO_BIT_TWICE, what)
            self._once(key, delivered, given)
            self._equal(key, given)
            if delivered.role == "slave":
                self._not_condemned(view, given.piece, f"{delivered.caller}, key {key.key_id}")
            self._honest(key, given)

    def _once(self, key: DeliveredKey, delivered: Delivered, given: GivenKey) -> None:
        if (key.key_id, delivered.role) in self._received:
            what = f"{delivered.caller} received key {key.key_id} as {delivered.role} for the second time"
            raise InvariantBroken(Invariant.ONCE_PER_ROLE, what)
        self._received.add((key.key_id, delivered.role))
        named = given.master if delivered.role == "master" else given.slave
        if named != delivered.caller:
            what = f"{delivered.caller} received key {key.key_id} as {delivered.role}; it was cut for {named}"
            raise InvariantBroken(Invariant.ONCE_PER_ROLE, what)

    def _equal(self, key: DeliveredKey, given: GivenKey) -> None:
        if self._digests.setdefault(key.key_id, key.digest) != key.digest:
            what = f"key {key.key_id} of {given.piece} differs between {given.master} and {given.slave}"
            raise InvariantBroken(Invariant.EQUAL_BLOCKS, what)

    def _honest(self, key: DeliveredKey, given: GivenKey) -> None:
        told = key.extension
        if self._approved.get(given.piece) == told:
            return  # the same words about the same piece were true before
        true = self._truth(given)
        claimed = told.get("qanat_authentication")
        threshold = told.get("qanat_relay_threshold", 1)
        order = list(Origin)
        claims = (
            (not true.links <= set(told.get("qanat_links", ())), f"it rests on links {sorted(true.links)}"),
            (not true.nodes <= set(told.get("qanat_trusted_nodes", ())), f"it crossed sites {sorted(true.nodes)}"),
            (told.get("qanat_epsilon_total", -1.0) < true.epsilon * (1 - 1e-9), f"its epsilon is {true.epsilon:.2e}"),
            (true.is_simulated and not told.get("qanat_simulated"), "its photons were simulated"),
            (
                order.index(told.get("qanat_key_origin", Origin.QKD)) < order.index(true.origin),
                f"it is {true.origin}",
            ),
            (weakest((claimed, true.authentication)) != claimed, f"its authentication is {true.authentication}"),
            (threshold > true.threshold, f"{true.threshold} shares give it back"),
            (threshold > 1 and bool(true.seen_twice), f"{sorted(true.seen_twice)} saw more than one share"),
        )
        better = [reason for is_better, reason in claims if is_better]
        if better:
            what = f"key {key.key_id} says {told}, but {'; '.join(better)}"
            raise InvariantBroken(Invariant.HONEST_PROVENANCE, what)
        self._approved[given.piece] = told

    def _truth(self, given: GivenKey) -> _Truth:
        """From the hops that were posted, not from what the piece says of itself."""
        record = self.views[given.site].records[given.piece]
        paths = self.usage.relays.get(record.parent)
        if paths is not None:
            return self._truth_of_relay(list(paths.values()))
        told = record.provenance
        return _Truth(
            links={record.account} & set(self._network.links),
            nodes=set(),
            epsilon=told.epsilon_total,
            is_simulated=told.simulated,
            origin=told.origin,
            authentication=told.authentication,
        )

    def _truth_of_relay(self, paths: list[RelayPath]) -> _Truth:
        """The least that must be said of a key that went over these paths.

        A key in shares falls only with ``threshold`` paths, so among any count - threshold + 1 paths one must fall: the
        best so many vouch for it. A path whose share never left vouches without fault.
        """
        taken = max(0, paths[0].count - paths[0].threshold + 1 - (paths[0].count - len(paths)))
        vouched = [self._blocks(path) for path in paths]
        nodes = [site for path in paths for site in path.senders[1:]]
        origins, authentications = list(Origin), list(Authentication)

        def best(values: list[Any]) -> list[Any]:
            return sorted(values)[:taken]

        known = [weakest(p.authentication for p in parts) for parts in vouched]
        return _Truth(
            links={link for path in paths for link in path.links},
            nodes=set(nodes),
            epsilon=min(1.0, math.fsum(best([math.fsum(p.epsilon_total for p in parts) for parts in vouched]))),
            is_simulated=any(best([any(p.simulated for p in parts) for parts in vouched])),
            origin=origins[max(best([max(origins.index(p.origin) for p in parts) for parts in vouched]), default=0)],
            authentication=authentications[max(best([authentications.index(w) for w in known if w]), default=0)],
            threshold=paths[0].threshold,
            seen_twice=frozenset(site for site, count in Counter(nodes).items() if count > 1),
        )

    def _blocks(self, path: RelayPath) -> list[Provenance]:
        """Provenances of the key blocks that one path's pads came from."""
        found = {}
        for sender, pieces in zip(path.senders, path.pieces, strict=True):
            for piece in pieces:
                source = self.views[sender].records[piece]
                found[source.parent] = source.provenance
        return list(found.values())

    # --- invariant 6

    def _nothing_given_is_free(self, view: SiteView, restarted: Restarted) -> None:
        for record, offset in restarted.snapshot.pieces:
            end = self.usage.end(record.piece) if record.owner == view.site else 0
            if offset < end:
                what = f"site {view.site} restarts with {record.piece} at byte {offset}; {end} are used"
                raise InvariantBroken(Invariant.NOTHING_FORGOTTEN, what)
        for grant in restarted.snapshot.grants:
            if (grant.key_id, "slave") in self._received:
                what = f"site {view.site} restarts with key {grant.key_id}, which {grant.slave} received before"
                raise InvariantBroken(Invariant.NOTHING_FORGOTTEN, what)
