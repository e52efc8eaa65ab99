"""The QKD modules of one link in virtual time: windows on time, reports to the hub, key blocks to both KMEs."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from qanat.core.ids import SiteId
from qanat.core.records import KeyBlock
from qanat.core.report import BlockReport, LinkReport
from qanat.core.timebase import NS_PER_MS
from qanat.physics.attack import Attack
from qanat.sim.link import StatisticalLink, copy_of
from qanat.sim.network import HUB, SimulatedNetwork
from qanat.sim.observed import BlockHanded, Observation
from qanat.sim.site import SimulatedSite
from qanat.sim.trace import Trace
from qanat.sim.words import block_text
from qanat.sim.world import World

RETRY_NS = 200 * NS_PER_MS
HANDOVER_NS = 50 * NS_PER_MS  # the two ends finish a key block at most this far apart
WAITING_MAX = 64  # key blocks that a module keeps while its KME is away; the oldest go first


@dataclass(slots=True)
class LinkTotals:
    """What one link did in a run."""

    windows: int = 0
    blocks: int = 0
    aborted: int = 0
    secret_bits: int = 0
    tests: int = 0
    errors: int = 0


class Outlet:
    """One end's key blocks on their way to its KME, in order, kept until it has taken them."""

    def __init__(self, site: SimulatedSite, world: World, tell: Callable[[Observation], None]) -> None:
        self._site, self._world, self._tell = site, world, tell
        self._waiting: deque[KeyBlock] = deque()
        self._is_busy = False

    def hand(self, block: KeyBlock) -> None:
        """Take a block over; its bits are wiped when the KME has them."""
        self._tell(BlockHanded(self._site.site, block.link, 8 * block.bits.size_bytes))
        self._waiting.append(block)
        if len(self._waiting) > WAITING_MAX:
            self._waiting.popleft().bits.wipe()
        if not self._is_busy:
            self._go_on()

    def _go_on(self) -> None:
        self._is_busy = False
        while self._waiting:
            block = self._waiting[0]
            if not self._site.try_call(lambda kme, now_ns, block=block: kme.add_block(block, now_ns)):  # type: ignore[misc]
                self._is_busy = True
                self._world.after(RETRY_NS, self._go_on)
                return
            block.bits.wipe()
            self._waiting.popleft()


class SimulatedModules:
    """Both modules of one link."""

    def __init__(
        self,
        link: StatisticalLink,
        *,
        window_ns: int,
        world: World,
        network: SimulatedNetwork,
        trace: Trace,
        ends: tuple[SimulatedSite, SimulatedSite],
        to_hub: Callable[[LinkReport | BlockReport], None],
        tell: Callable[[Observation], None],
        seed: bytes,
    ) -> None:
        self.totals = LinkTotals()
        self._link, self._window_ns = link, window_ns
        self._world, self._network, self._trace, self._to_hub = world, network, trace, to_hub
        self._outlets = tuple(Outlet(end, world, tell) for end in ends)
        self._random = random.Random(seed)
        self._attacks: list[Attack] = []

    @property
    def receiver_site(self) -> SiteId:
        return self._link.link.receiver_site

    def start(self) -> None:
        self._world.every(self._window_ns, self._window)

    def attack(self, attack: Attack) -> Callable[[], None]:
        """Eve begins with the next window; returns what ends it."""
        self._attacks.append(attack)
        self._link.set_attacks(tuple(self._attacks))

        def stop() -> None:
            self._attacks.remove(attack)
            self._link.set_attacks(tuple(self._attacks))

        return stop

    def _window(self) -> None:
        report, block_report, block = self._link.next_window(self._window_ns, self._world.now_ns)
        self.totals.windows += 1
        self.totals.tests += report.test_count
        self.totals.errors += report.error_count
        self._tell_hub(report)
        if block_report is not None:
            self._trace.add("block", report.link, block_text(block_report))
            self.totals.blocks += block_report.aborted is None
            self.totals.aborted += block_report.aborted is not None
            self.totals.secret_bits += block_report.secret_bits
            self._tell_hub(block_report)
        if block is not None:
            self._hand_over(block)

    def _tell_hub(self, report: LinkReport | BlockReport) -> None:
        self._network.send_in_order(self.receiver_site, HUB, lambda: self._to_hub(report))

    def _hand_over(self, block: KeyBlock) -> None:
        for outlet, part in zip(self._outlets, (block, copy_of(block)), strict=True):
            self._world.after(self._random.randrange(HANDOVER_NS), lambda outlet=outlet, part=part: outlet.hand(part))  # type: ignore[misc]
