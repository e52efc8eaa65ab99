"""KMEs of a whole network in one process: their stores can crash, their network can lose, double and reorder.

``World.call`` is a host in miniature: one transaction, then events and frames leave. The world checks after
every delivery that no key reaches a role twice and that both ends are equal.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from qanat.core.alarms import Action, Command
from qanat.core.ids import FibreId, LinkId, SaeId, SiteId, block_id
from qanat.core.provenance import Authentication, Origin, Provenance
from qanat.core.records import KeyBlock
from qanat.core.secret import SecretBits
from qanat.core.topology import Demand, Fibre, Link, Network, Policy, Sae, Site
from qanat.km.documents import KeyContainer, KeyRequest
from qanat.km.events import KmeEvent
from qanat.km.kme import Kme
from qanat.sim.store import CrashingStore, StoreCrashed

T = TypeVar("T")
MS = 1_000_000
S = 1_000_000_000


class CountingEntropy:
    """Different bytes on every call, the same in every run."""

    def __init__(self, name: str) -> None:
        self._name, self._count = name, 0

    def random_bytes(self, size_bytes: int) -> bytes:
        self._count += 1
        return hashlib.shake_256(f"{self._name}/{self._count}".encode()).digest(size_bytes)


def a_network(edges: list[str], demands: list[tuple[str, str]], *, policy: Policy | None = None, **changes) -> Network:
    """Sites are letters, links are ``"a-b"``; every site ``x`` has the SAEs ``x1`` and ``x2``."""
    names = sorted({site for edge in edges for site in edge.split("-")})
    distrusted = changes.pop("distrusted", ())
    sites = {
        SiteId(name): Site(
            id=SiteId(name), name=name, latitude_deg=0.0, longitude_deg=0.0, is_trusted=name not in distrusted
        )
        for name in names
    }
    fibres, links = {}, {}
    for edge in edges:
        ends = (SiteId(edge.split("-")[0]), SiteId(edge.split("-")[1]))
        fibres[FibreId(edge)] = Fibre(id=FibreId(edge), ends=ends, length_km=10.0, attenuation_db_per_km=0.2)
        links[LinkId(edge)] = Link(
            id=LinkId(edge),
            transmitter_site=ends[0],
            receiver_site=ends[1],
            fibre=FibreId(edge),
            protocol="decoy-bb84",
            transmitter="t",
            receiver="r",
            clock_hz=1e9,
            block_sifted_bits=10_000,
            pulse_block_ns=50 * MS,
            epsilon_sec=1e-10,
            epsilon_cor=1e-15,
        )
    return Network(
        name="test",
        is_simulation=changes.pop("is_simulation", True),
        sites=sites,
        fibres=fibres,
        links=links,
        saes={
            SaeId(f"{name}{number}"): Sae(id=SaeId(f"{name}{number}"), site=SiteId(name))
            for name in names
            for number in (1, 2)
        },
        demands=tuple(Demand(saes=(SaeId(a), SaeId(b)), rate_bits_per_s=256.0) for a, b in demands),
        policy=policy or Policy(buffer_keys=16),
    )


def a_chain(hops: int, **changes) -> Network:
    """a-b-c-...; the ends want keys, and so do a and b."""
    names = "abcdefgh"[: hops + 1]
    edges = [f"{left}-{right}" for left, right in itertools.pairwise(names)]
    return a_network(edges, [("a1", f"{names[-1]}1"), ("a1", "b1"), ("a1", "a2")], **changes)


def a_web(*ways: str, threshold: int, demands: tuple[tuple[str, str], ...] = (), **changes) -> Network:
    """Paths as letters, like ``"abz"``, whose ends want keys in shares."""
    edges = [f"{left}-{right}" for way in ways for left, right in itertools.pairwise(way)]
    policy = Policy(buffer_keys=16, relay_paths=len(ways), relay_threshold=threshold, max_trusted_nodes=6)
    return a_network(edges, [(f"{ways[0][0]}1", f"{ways[0][-1]}1"), *demands], policy=policy, **changes)


def a_block(
    link: str, number: int, *, size_bytes: int = 2048, start_ns: int | None = None, simulated=True, signed=False
) -> KeyBlock:
    """Key block ``number`` of a link; block n covers the link second n unless told otherwise."""
    name = block_id(LinkId(link), 1, number)
    start_ns = number * S if start_ns is None else start_ns
    return KeyBlock(
        link=LinkId(link),
        block=name,
        start_ns=start_ns,
        end_ns=start_ns + S - 1,
        bits=SecretBits(hashlib.shake_256(name.encode()).digest(size_bytes)),
        provenance=Provenance(
            origin=Origin.QKD,
            links=(LinkId(link),),
            authentication=Authentication.ML_DSA if signed else Authentication.PRE_SHARED,
            algorithms=("ML-DSA-87", "ML-KEM-1024+X25519") if signed else (),
            epsilon_total=1e-10,
            simulated=simulated,
        ),
    )


@dataclass
class Wire:
    """Decides what becomes of each frame: a list of delays, empty to lose it."""

    fate: Callable[[], list[int]] = lambda: [1 * MS]
    cut: set[frozenset[str]] = field(default_factory=set)


class World:
    """All KMEs of a network."""

    def __init__(self, network: Network, make_store: Callable[[str], CrashingStore] | None = None) -> None:
        self.network = network
        self.now_ns = 1_000 * S
        self.wire = Wire()
        self.stores = {site: (make_store(site) if make_store else CrashingStore()) for site in network.sites}
        self._entropy = {site: CountingEntropy(site) for site in network.sites}
        self.kmes = {site: self._engine(site) for site in network.sites}
        self.events: dict[str, list[KmeEvent]] = {site: [] for site in network.sites}
        self.flying: list[tuple[int, int, str, str, bytes]] = []
        self.sent: list[tuple[str, str, bytes]] = []
        self._order = 0
        self.signed_links: set[str] = set()  # their sessions began from signatures
        self._revision = 0
        self._numbers: dict[str, int] = {}
        self.given: dict[object, SecretBits] = {}
        self.taken: dict[object, SecretBits] = {}
        self.crash_count = 0
        self.skew_ns: dict[str, int] = {}  # how far a site's clock goes ahead

    def clock(self, site: str) -> int:
        """What the site's clock shows."""
        return self.now_ns + self.skew_ns.get(site, 0)

    def _engine(self, site: str) -> Kme:
        return Kme(
            site=SiteId(site),
            network=self.network,
            store=self.stores[site],
            entropy=self._entropy[site],
        )

    # --- one site

    def call(self, site: str, operation: Callable[[Kme], T]) -> T:
        """One call in one transaction. A refusal is raised after the commit of nothing."""
        kme, refusal, result = self.kmes[site], None, None
        try:
            with self.stores[site].transaction():
                try:
                    result = operation(kme)
                except Exception as error:
                    if isinstance(error, StoreCrashed):
                        raise
                    refusal = error
                frames = kme.frames_to_send(self.clock(site))
                events = kme.events()
        except StoreCrashed:
            self.restart(site)
            raise
        self.events[site] += events
        for peer, frame in frames:
            self.send(site, peer, frame)
        if refusal is not None:
            raise refusal
        return result  # type: ignore[return-value]

    def restart(self, site: str) -> None:
        self.crash_count += 1
        self.stores[site].crash()
        self.stores[site].reopen()
        self.kmes[site] = self._engine(site)

    # --- the network between

    def send(self, source: str, target: str, frame: bytes) -> None:
        self.sent.append((source, target, frame))
        if frozenset((source, target)) in self.wire.cut:
            return
        for delay_ns in self.wire.fate():
            self._order += 1
            self.flying.append((self.now_ns + delay_ns, self._order, source, target, frame))

    def run(self, duration_ns: int) -> None:
        """Let time pass: deadlines and arrivals in order."""
        end_ns = self.now_ns + duration_ns
        while True:
            times = [arrival[0] for arrival in self.flying]
            times += [
                max(self.now_ns, (kme.deadline_ns() or self.clock(site) + duration_ns) - self.skew_ns.get(site, 0))
                for site, kme in self.kmes.items()
            ]
            times += [self.now_ns for kme in self.kmes.values() if kme.deadline_ns() == 0]
            next_ns = min([time for time in times if time <= end_ns], default=None)
            if next_ns is None:
                break
            self.now_ns = max(self.now_ns, next_ns)
            if not self._step():
                break
        self.now_ns = end_ns

    def _step(self) -> bool:
        is_busy = False
        for arrival in sorted(item for item in self.flying if item[0] <= self.now_ns):
            self.flying.remove(arrival)
            _, _, source, target, frame = arrival
            is_busy = True
            with survived():
                self.call(target, lambda kme, s=source, f=frame, t=target: kme.receive(s, f, self.clock(t)))
        for site, kme in list(self.kmes.items()):
            deadline_ns = kme.deadline_ns()
            if deadline_ns is not None and deadline_ns <= self.clock(site):
                is_busy = True
                with survived():
                    self.call(site, lambda kme, s=site: kme.on_deadline(self.clock(s)))
        return is_busy

    # --- what tests do

    def distil(self, link: str, count: int = 1, *, start_ns: int | None = None, size_bytes: int = 2048) -> int:
        """``count`` more blocks on a link, given to both ends; a module gives a block again after a crash."""
        number = self._numbers.get(link, 0)
        for index in range(number, number + count):
            for site in link.split("-"):
                for _ in range(3):
                    with survived():
                        block = a_block(
                            link, index, start_ns=start_ns, size_bytes=size_bytes, signed=link in self.signed_links
                        )
                        self.call(site, lambda kme, b=block, s=site: kme.add_block(b, self.clock(s)))
                        break
        self._numbers[link] = number + count
        return number + count - 1

    def command(self, action: Action, *sites: str, **fields: object) -> None:
        self._revision += 1
        for site in sites or tuple(self.network.sites):
            command = Command(
                revision=self._revision, site=SiteId(site), action=action, reason="test", at_ns=self.now_ns, **fields
            )
            self.call(site, lambda kme, c=command, s=site: kme.apply(c, self.clock(s)))

    def route(self, source: str, target: str, *links: str) -> None:
        self.command(Action.SET_ROUTE, source, target, source=source, target=target, links=tuple(links))

    def route_shares(self, source: str, target: str, *ways: str) -> None:
        """Paths as letters, like ``"abz"``."""
        named = {frozenset(link.split("-")): link for link in self.network.links}
        first, *others = (tuple(named[frozenset(pair)] for pair in itertools.pairwise(way)) for way in ways)
        self.command(Action.SET_ROUTE, source, target, source=source, target=target, links=first, others=tuple(others))

    def enc(self, master: str, slave: str, number: int = 1, size: int | None = None, **fields) -> KeyContainer:
        """Get key at the master's site; the world remembers the bits."""
        request = KeyRequest(number=number, size=size, **fields)
        container = self.call(
            master[0], lambda kme: kme.enc_keys(SaeId(master), SaeId(slave), request, self.clock(master[0]))
        )
        for key in container.keys:
            assert key.key_id not in self.given, "a key was given to a master twice"
            assert all(key.key != other for other in self.given.values()), "the same bits have two names"
            self.given[key.key_id] = key.key
        return container

    def dec(self, slave: str, master: str, key_ids: list) -> KeyContainer:
        container = self.call(
            slave[0], lambda kme: kme.dec_keys(SaeId(slave), SaeId(master), key_ids, self.clock(slave[0]))
        )
        for key in container.keys:
            assert key.key_id not in self.taken, "a key was given to a slave twice"
            self.taken[key.key_id] = key.key
            if key.key_id in self.given:  # it may be missing when the master's answer was lost in a crash
                assert key.key == self.given[key.key_id], "the two ends differ"
        return container

    def report(self, site: str):
        return self.kmes[site].report(self.clock(site))

    def stored(self, site: str, peer: str) -> int:
        return next((pair.stored_keys for pair in self.report(site).pairs if pair.peer == peer), 0)

    def account(self, site: str, name: str):
        return next(account for account in self.report(site).accounts if account.account == name)

    def of_kind(self, site: str, kind: type[T]) -> list[T]:
        return [event for event in self.events[site] if isinstance(event, kind)]

    def check_ledgers(self) -> None:
        for site in self.kmes:
            for account in self.report(site).accounts:
                assert account.is_balanced, f"{site}: {account}"


@contextmanager
def survived() -> Iterator[None]:
    """A crash inside is part of the plan."""
    with suppress(StoreCrashed):
        yield


def ids(container: KeyContainer) -> list:
    return [key.key_id for key in container.keys]
