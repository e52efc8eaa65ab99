"""The demo's applications: SAEs with their own certificates, and a record of every key they were given."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from qanat.core.errors import QanatError
from qanat.core.ids import KeyId, SaeId
from qanat.core.topology import Network
from qanat.node.pki import sae_credentials
from qanat.node.reach import urls_of
from qanat.node.statedir import StateDir
from qanat.sae.client import KeyDeliveryClient
from qanat.sae.keys import DeliveredKey


@dataclass(slots=True)
class Record:
    """Every delivery of the whole demo, by role. Digests only."""

    as_master: dict[KeyId, str] = field(default_factory=dict)
    as_slave: dict[KeyId, str] = field(default_factory=dict)
    deliveries: Counter[tuple[str, KeyId]] = field(default_factory=Counter)

    def note(self, role: str, key: DeliveredKey) -> None:
        self.deliveries[role, key.key_id] += 1
        (self.as_master if role == "master" else self.as_slave)[key.key_id] = key.digest

    @property
    def doubled(self) -> int:
        """Keys that one role was given more than once."""
        return sum(count > 1 for count in self.deliveries.values())

    @property
    def different(self) -> int:
        """Keys that differ between master and slave."""
        both = self.as_master.keys() & self.as_slave.keys()
        return sum(self.as_master[key] != self.as_slave[key] for key in both)

    @property
    def compared(self) -> int:
        return len(self.as_master.keys() & self.as_slave.keys())


@dataclass(frozen=True, slots=True)
class Exchange:
    """One key that two applications now share."""

    master: DeliveredKey
    slave: DeliveredKey

    @property
    def is_equal(self) -> bool:
        return self.master.bits == self.slave.bits


class Pair:
    """Two SAEs, each with a client of its own KME."""

    def __init__(self, network: Network, state: StateDir, saes: tuple[SaeId, SaeId], record: Record) -> None:
        self.saes = saes
        self.sites = (network.saes[saes[0]].site, network.saes[saes[1]].site)
        self._record = record
        ports = state.read_ports()["key_delivery"]
        self._clients = [
            self._client(state, sae, urls_of(ports, site)) for sae, site in zip(saes, self.sites, strict=True)
        ]

    @staticmethod
    def _client(state: StateDir, sae: SaeId, urls: list[str]) -> KeyDeliveryClient:
        files = sae_credentials(state, sae)
        return KeyDeliveryClient(
            urls,
            certfile=files.certfile,
            keyfile=files.keyfile,
            cafile=files.cafile,
            timeout_s=5.0,
        )

    def exchange(self) -> Exchange:
        """The master gets a new key, the slave takes it by its ID.

        Raises:
            QanatError: either of them was refused, in words.
        """
        sent = self._clients[0].enc_keys(self.saes[1])[0]
        self._record.note("master", sent)
        return Exchange(sent, self.take(sent.key_id))

    def take(self, key_id: KeyId) -> DeliveredKey:
        got = self._clients[1].dec_keys(self.saes[0], [key_id])[0]
        self._record.note("slave", got)
        return got

    def try_exchange(self) -> Exchange | None:
        """As ``exchange``, None when refused: how an application that retries sees it."""
        try:
            return self.exchange()
        except QanatError:
            return None


class Load:
    """An application that fetches keys in a thread of its own, with clients of its own, until told to stop."""

    def __init__(self, make_pair: Callable[[], Pair]) -> None:
        self._make_pair = make_pair
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo-load", daemon=True)
        self.count = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join(10.0)

    def _run(self) -> None:
        pair = self._make_pair()
        while not self._is_over.is_set():
            if pair.try_exchange() is None:
                self._is_over.wait(0.05)
            else:
                self.count += 1
