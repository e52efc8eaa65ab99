"""Applications in virtual time: pairs of SAEs that fetch keys at their demand's rate and use them at both ends."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from qanat.core.ids import KeyId, SaeId, SiteId
from qanat.core.timebase import NS_PER_MS, NS_PER_S
from qanat.core.topology import Demand, Network
from qanat.km.documents import Key, KeyContainer, KeyDeliveryError, KeyRequest
from qanat.sim.network import SimulatedNetwork
from qanat.sim.observed import Delivered, DeliveredKey, Observation, digest_of
from qanat.sim.site import SimulatedSite, SiteDown
from qanat.sim.trace import Trace
from qanat.sim.world import World

PERIOD_NS = 2 * NS_PER_S  # keys are fetched in batches of two seconds' need; masters take turns
REQUEST_KEYS_MAX = 128
RETRY_NS = 250 * NS_PER_MS
TRIES_MAX = 60  # 15 s, longer than a crash; after that the slave asks for each key of the batch alone


@dataclass(slots=True)
class PairTotals:
    """What one demand got.

    Attributes:
        wanted: Keys that masters asked for.
        given: That masters received.
        shared: That both ends received; they were equal, or the run had ended.
        refused: Keys that a KME could not give (too little in store, or away).
        lost: Given to the master, never to the slave: quarantined on the way, or the answer died with a KME.
    """

    wanted: int = 0
    given: int = 0
    shared: int = 0
    refused: int = 0
    lost: int = 0


class SimulatedPair:
    """The two applications of one demand."""

    def __init__(
        self,
        demand: Demand,
        *,
        topology: Network,
        world: World,
        network: SimulatedNetwork,
        trace: Trace,
        sites: Mapping[SiteId, SimulatedSite],
        tell: Callable[[Observation], None],
    ) -> None:
        self.demand = demand
        self.totals = PairTotals()
        self._world, self._network, self._trace, self._tell = world, network, trace, tell
        self._hosts = {sae: sites[topology.saes[sae].site] for sae in demand.saes}
        self._keys_per_period = demand.rate_bits_per_s * PERIOD_NS / NS_PER_S / topology.policy.key_size_bits
        self._due = 0.0
        self._turns = deque([demand.saes, demand.saes[::-1]])

    def start(self) -> None:
        self._world.every(PERIOD_NS, self._period)

    def _period(self) -> None:
        self._due += self._keys_per_period
        count = int(self._due)
        if not count:
            return
        self._due -= count
        master, slave = self._turns[0]
        self._turns.rotate()
        for start in range(0, count, REQUEST_KEYS_MAX):
            self._ask(master, slave, min(REQUEST_KEYS_MAX, count - start))

    def _ask(self, master: SaeId, slave: SaeId, count: int) -> None:
        self.totals.wanted += count
        request = KeyRequest(number=count)
        try:
            container = self._hosts[master].call(lambda kme, now_ns: kme.enc_keys(master, slave, request, now_ns))
        except (SiteDown, KeyDeliveryError) as error:
            self.totals.refused += count
            self._trace.add("refused", master, f"{count} keys for {slave}: {_reason(error)}")
            return
        key_ids = self._received("master", master, slave, container)
        self.totals.given += count
        self._network.send_in_order(master, slave, lambda: self._fetch(slave, master, key_ids, TRIES_MAX))

    def _fetch(self, slave: SaeId, master: SaeId, key_ids: list[KeyId], tries_left: int) -> None:
        try:
            container = self._hosts[slave].call(lambda kme, now_ns: kme.dec_keys(slave, master, key_ids, now_ns))
        except (SiteDown, KeyDeliveryError) as error:
            self._try_again(slave, master, key_ids, tries_left, error)
            return
        self._received("slave", slave, master, container)
        self.totals.shared += len(key_ids)

    def _try_again(
        self, slave: SaeId, master: SaeId, key_ids: list[KeyId], tries_left: int, error: SiteDown | KeyDeliveryError
    ) -> None:
        may_come = isinstance(error, SiteDown) or error.grant_pending
        if may_come and tries_left:
            self._world.after(RETRY_NS, lambda: self._fetch(slave, master, key_ids, tries_left - 1))
        elif len(key_ids) > 1:  # all or none: one key that is gone must not cost the others
            for key_id in key_ids:
                self._fetch(slave, master, [key_id], 0)
        else:
            self.totals.lost += 1
            self._trace.add("lost", slave, f"key {key_ids[0]} from {master}: {_reason(error)}")

    def _received(self, role: str, caller: SaeId, partner: SaeId, container: KeyContainer) -> list[KeyId]:
        keys = tuple(_delivered(key) for key in container.keys)
        container.wipe()
        self._tell(Delivered(self._hosts[caller].site, role, caller, partner, keys))
        return [key.key_id for key in keys]


def _delivered(key: Key) -> DeliveredKey:
    extension = key.key_extension if isinstance(key.key_extension, dict) else {}
    return DeliveredKey(key.key_id, digest_of(key.key), key.key.size_bits, extension)


def _reason(error: SiteDown | KeyDeliveryError) -> str:
    return f"{error.status_code} {error.message}" if isinstance(error, KeyDeliveryError) else error.detail
