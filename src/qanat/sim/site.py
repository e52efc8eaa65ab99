"""One site in virtual time: its KME, the store that survives it, its clock, and how it dies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from qanat.core.alarms import Command
from qanat.core.errors import QanatError
from qanat.core.ids import SiteId
from qanat.core.timebase import NS_PER_MS
from qanat.core.topology import Network
from qanat.km.documents import KeyDeliveryError
from qanat.km.events import CommandApplied
from qanat.km.kme import Kme
from qanat.sim.entropy import SimulatedEntropy
from qanat.sim.network import SimulatedNetwork
from qanat.sim.observed import CommandTaken, Observation, ObservedStore, Restarted
from qanat.sim.store import StoreCrashed
from qanat.sim.trace import Trace
from qanat.sim.words import event_text
from qanat.sim.world import World

T = TypeVar("T")

# "At once" is this long: a live host too does what came meanwhile in one go. It also lets virtual time go on where
# an engine's deadline does not.
AT_ONCE_NS = 10 * NS_PER_MS


class SiteDown(QanatError):
    """The site's KME is not running, or died before it could answer. Ask again after its restart."""


class KmeFactory(Protocol):
    """How an engine is made; a test puts a broken one here."""

    def __call__(self, *, site: SiteId, network: Network, store: ObservedStore, entropy: SimulatedEntropy) -> Kme: ...


class SimulatedSite:
    """The host of one KME: transactions, frames, deadlines, crashes."""

    def __init__(
        self,
        site: SiteId,
        *,
        topology: Network,
        world: World,
        network: SimulatedNetwork,
        entropy: SimulatedEntropy,
        trace: Trace,
        tell: Callable[[Observation], None],
        make_kme: KmeFactory,
    ) -> None:
        self.site = site
        self.clock_offset_ns = 0
        self.crash_count = 0
        self.neighbours: dict[SiteId, SimulatedSite] = {}
        self.on_restart: Callable[[SiteId], None] = lambda _: None
        self._topology, self._world, self._network = topology, world, network
        self._entropy, self._trace, self._tell, self._make_kme = entropy, trace, tell, make_kme
        self._store = ObservedStore(site, tell)
        self._down_ns = 0
        self._dies_before_reply = False
        self._planned_ns: int | None = None
        self._kme: Kme | None = self._engine()

    @property
    def is_up(self) -> bool:
        return self._kme is not None

    @property
    def now_ns(self) -> int:
        """What the site's clock shows."""
        return max(0, self._world.now_ns + self.clock_offset_ns)

    def call(self, action: Callable[[Kme, int], T]) -> T:
        """Do something with the KME in one transaction, then send what it has to say.

        Raises:
            SiteDown: it is not running, or died on the way; whether it was done is not known.
            KeyDeliveryError: its answer.
        """
        kme, refused = self._kme, None
        if kme is None:
            raise SiteDown(f"site {self.site} is down")
        try:
            with self._store.transaction():
                try:
                    result = action(kme, self.now_ns)
                except KeyDeliveryError as error:  # raised before anything changed: see km.kme
                    refused = error
        except StoreCrashed:
            self._die("in a commit, which is lost")
            raise SiteDown(f"site {self.site} died in a commit") from None
        if self._dies_before_reply:
            self._die("after a commit, before it could answer")
            raise SiteDown(f"site {self.site} died before its answer")
        self._settle(kme)
        if refused is not None:
            raise refused
        return result

    def try_call(self, action: Callable[[Kme, int], object]) -> bool:
        """The same for calls that nobody waits for; says whether it was done."""
        try:
            self.call(action)
        except SiteDown:
            return False
        return True

    def start(self) -> None:
        """Let the engine plan its first deadlines."""
        self.try_call(lambda kme, now_ns: kme.on_deadline(now_ns))

    def receive(self, peer: SiteId, frame: bytes) -> None:
        self.try_call(lambda kme, now_ns: kme.receive(peer, frame, now_ns))

    def apply(self, command: Command) -> None:
        self.try_call(lambda kme, now_ns: kme.apply(command, now_ns))

    # --- after each call

    def _settle(self, kme: Kme) -> None:
        for peer, frame in kme.frames_to_send(self.now_ns):
            self._send(self.neighbours[peer], frame)
        for event in kme.events():
            self._trace.add("km", self.site, event_text(event))
            if isinstance(event, CommandApplied):
                self._tell(CommandTaken(self.site, event.command))
        self._plan(kme)

    def _send(self, peer: SimulatedSite, frame: bytes) -> None:
        self._network.send(self.site, peer.site, lambda: peer.receive(self.site, frame))

    def _plan(self, kme: Kme) -> None:
        deadline_ns = kme.deadline_ns()
        if deadline_ns is None:
            return
        due_ns = max(deadline_ns - self.clock_offset_ns, self._world.now_ns + AT_ONCE_NS)
        if self._planned_ns is None or due_ns < self._planned_ns:
            self._planned_ns = due_ns
            self._world.at(due_ns, lambda: self._wake(kme, due_ns))

    def _wake(self, kme: Kme, due_ns: int) -> None:
        if kme is not self._kme or due_ns != self._planned_ns:
            return  # it died, or an earlier deadline took its place
        self._planned_ns = self._world.now_ns  # nothing is planned before the call is over
        if not self.try_call(lambda engine, now_ns: engine.on_deadline(now_ns)):
            return
        self._planned_ns = None
        self._plan(kme)

    def set_clock(self, offset_ns: int) -> None:
        """From now on the site's clock is wrong by this much."""
        self.clock_offset_ns = offset_ns
        self._planned_ns = None
        if self._kme is not None:
            self._plan(self._kme)

    # --- death and return

    def crash(self, *, down_ns: int, commits_left: int | None = None, before_reply: bool = False) -> None:
        """Kill the KME: now, or at a later commit, or after the next commit and before its answer leaves."""
        if not self.is_up:
            return
        self._down_ns = down_ns
        if before_reply:
            self._dies_before_reply = True
        elif commits_left is not None:
            self._store.crash_at_commit(commits_left)
        else:
            self._die("between two calls")

    def _die(self, how: str) -> None:
        self._store.crash()
        self._kme, self._planned_ns, self._dies_before_reply = None, None, False
        self.crash_count += 1
        self._trace.add("crash", self.site, f"the KME dies {how}")
        self._world.after(self._down_ns, self._restart)

    def _restart(self) -> None:
        self._store.reopen()
        self._tell(Restarted(self.site, self._store.load()))
        self._kme = self._engine()
        self._trace.add("restart", self.site, "a new KME starts from the store")
        self.on_restart(self.site)
        self.start()

    def _engine(self) -> Kme:
        return self._make_kme(
            site=self.site,
            network=self._topology,
            store=self._store,
            entropy=self._entropy,
        )
