"""Two KMEs that keep their keys in memory, behind the real HTTPS interface. A fake that does the work: it stores,
hands out once, and refuses, so that a test of the interface can fail."""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from qanat.core.ids import KeyId, LinkId, SaeId
from qanat.core.provenance import Authentication, Origin, Provenance
from qanat.core.secret import SecretBits
from qanat.crypto.pki import issue, make_ca
from qanat.km.documents import (
    MANDATORY_UNKNOWN,
    NOT_FOUND,
    SIZE_NOT_MULTIPLE,
    Key,
    KeyContainer,
    KeyDeliveryError,
    KeyRequest,
    Status,
)
from qanat.km.extensions import extension_from_provenance
from qanat.node.api.app import create_app
from qanat.node.api.server import HttpsServer, TlsChoice, serve
from qanat.node.event_loop import loop_factory

ResultT = TypeVar("ResultT")
MAX_KEYS, MIN_BITS, MAX_BITS, STOCK = 128, 64, 4096, 400
EXTENSION = extension_from_provenance(
    Provenance(
        origin=Origin.QKD,
        links=(LinkId("a-b"),),
        authentication=Authentication.PRE_SHARED,
        epsilon_total=1e-9,
        simulated=True,
    )
)


@dataclass
class Granted:
    master: SaeId
    slave: SaeId
    bits: SecretBits


@dataclass
class Pool:
    """What both KMEs know: real ones would have agreed on it over the KM link."""

    sites: dict[SaeId, str]
    pairs: set[frozenset[str]]
    stock: int = STOCK
    granted: dict[KeyId, Granted] = field(default_factory=dict)


class MemoryKme:
    """One KME as ``KeyGateway``."""

    def __init__(self, name: str, pool: Pool) -> None:
        self.name, self.pool = name, pool
        self.delay_s = 0.0
        self.is_held = False  # calls wait until it is False again
        self.waiting = 0  # calls that are delayed or held
        self.broken: Exception | None = None
        self.calls = 0
        self.burned = 0

    def count_burned(self, count: int) -> None:
        self.burned += count

    async def status(self, caller: SaeId, slave: SaeId) -> Status:
        await self._enter(caller, slave)
        return Status(
            source_kme_id=self.name,
            target_kme_id=self.pool.sites[slave],
            master_sae_id=caller,
            slave_sae_id=slave,
            key_size=256,
            stored_key_count=self.pool.stock,
            max_key_count=STOCK,
            max_key_per_request=MAX_KEYS,
            max_key_size=MAX_BITS,
            min_key_size=MIN_BITS,
        )

    async def enc_keys(self, caller: SaeId, slave: SaeId, request: KeyRequest) -> KeyContainer:
        await self._enter(caller, slave)
        size_bits = 256 if request.size is None else request.size
        if size_bits % 8:
            raise KeyDeliveryError(400, SIZE_NOT_MULTIPLE)
        if not MIN_BITS <= size_bits <= MAX_BITS or not 1 <= request.number <= MAX_KEYS:
            raise KeyDeliveryError(400, "number or size is outside the limits that status shows")
        if request.extension_mandatory:
            raise KeyDeliveryError(400, MANDATORY_UNKNOWN)
        if request.additional_slave_sae_ids:
            raise KeyDeliveryError(400, "multicast is not supported")
        if request.number > self.pool.stock:
            details = [{"available": self.pool.stock, "requested": request.number, "retry_after_ms": 1500}]
            raise KeyDeliveryError(503, "not enough keys", details, 1500)
        self.pool.stock -= request.number
        return KeyContainer(keys=[self._grant(caller, slave, size_bits // 8) for _ in range(request.number)])

    async def dec_keys(self, caller: SaeId, master: SaeId, key_ids: Sequence[KeyId]) -> KeyContainer:
        await self._enter(caller, master)
        found = [self.pool.granted.get(key_id) for key_id in key_ids]
        if any(grant and (grant.slave, grant.master) != (caller, master) for grant in found):
            raise KeyDeliveryError(401, "these keys were made for other SAEs")
        if None in found or len(set(key_ids)) != len(key_ids) or not key_ids:
            raise KeyDeliveryError(400, NOT_FOUND)
        taken = [(key_id, self.pool.granted.pop(key_id).bits) for key_id in key_ids]
        return KeyContainer(keys=[Key(key_id=key_id, key=bits, key_extension=EXTENSION) for key_id, bits in taken])

    async def _enter(self, caller: SaeId, other: SaeId) -> None:
        self.calls += 1
        if self.delay_s or self.is_held:
            await self._wait()
        if self.broken is not None:
            raise self.broken
        if self.pool.sites.get(caller) != self.name:
            raise KeyDeliveryError(401, "this SAE belongs to another KME")
        if other not in self.pool.sites:
            raise KeyDeliveryError(400, "unknown SAE")
        if caller != other and frozenset((caller, other)) not in self.pool.pairs:
            raise KeyDeliveryError(401, "this pair of SAEs is not permitted")

    async def _wait(self) -> None:
        self.waiting += 1
        try:
            await asyncio.sleep(self.delay_s)
            while self.is_held:
                await asyncio.sleep(0.005)
        finally:
            self.waiting -= 1

    def _grant(self, master: SaeId, slave: SaeId, size_bytes: int) -> Key:
        secret, key_id = os.urandom(size_bytes), uuid.uuid4()
        self.pool.granted[key_id] = Granted(master, slave, SecretBits(secret))
        return Key(key_id=key_id, key=SecretBits(secret), key_extension=EXTENSION)


class LoopThread:
    """An asyncio loop in a thread, as the node host has it."""

    def __init__(self, factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self.loop = factory()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def do(self, coroutine: Coroutine[Any, Any, ResultT], timeout_s: float = 20.0) -> ResultT:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout_s)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()


@dataclass
class Files:
    """Paths of one party's certificate, key, and the CA that it trusts."""

    cert: Path
    key: Path
    ca: Path

    def kwargs(self) -> dict[str, Path]:
        return {"certfile": self.cert, "keyfile": self.key, "cafile": self.ca}

    def curl(self) -> list[str]:
        return ["--cacert", str(self.ca), "--cert", str(self.cert), "--key", str(self.key)]


class Authority:
    """A CA in a folder."""

    def __init__(self, folder: Path, name: str, *, start: datetime | None = None) -> None:
        self.folder = folder
        self.start = start or datetime.now(UTC)
        folder.mkdir(parents=True)
        self.pem, self._key = make_ca(common_name=name, now=self.start, days=3650)
        (folder / "ca.pem").write_bytes(self.pem)

    def files(self, role: str, name: str, *, now: datetime | None = None, days: int = 30, label: str = "") -> Files:
        hosts = ["localhost", "127.0.0.1"] if role in {"kme", "controller"} else []
        cert, key = issue(
            ca_cert=self.pem,
            ca_key=self._key,
            role=role,  # type: ignore[arg-type]
            identity=name,
            hosts=hosts,
            now=now or self.start,
            days=days,
        )
        stem = self.folder / f"{role}-{name}{label}"
        made = Files(stem.with_suffix(".pem"), stem.with_suffix(".key"), self.folder / "ca.pem")
        made.cert.write_bytes(cert)
        made.key.touch(0o600)
        made.key.write_bytes(key)
        return made


class TwoKmes:
    """KMEs "a" and "b"; SAEs alice at a, bob and carol at b; only alice and bob may share keys."""

    def __init__(
        self,
        folder: Path,
        *,
        factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
        request_timeout_s: float = 10.0,
        shutdown_s: float = 5.0,
        answer_timeout_s: float = 8.0,
        calls_per_s: float | None = None,
        redelivery_s: float = 0.0,
        tls: TlsChoice = "auto",
        is_pq_required: bool = False,
    ) -> None:
        long_ago = datetime.now(UTC) - timedelta(days=400)
        self.authority = Authority(folder / "ca", "test network", start=long_ago)
        now = datetime.now(UTC)
        self.saes = {name: self.authority.files("sae", name, now=now) for name in ("alice", "bob", "carol")}
        self.kme_files = {name: self.authority.files("kme", name, now=now) for name in ("a", "b")}
        self.expired = self.authority.files("sae", "alice", now=long_ago, days=10, label="-expired")
        self.stranger = Authority(folder / "other", "test network").files("sae", "alice")
        self.sites = {SaeId("alice"): "a", SaeId("bob"): "b", SaeId("carol"): "b", SaeId("team/red"): "b"}
        self.pool = Pool(self.sites, {frozenset(("alice", "bob")), frozenset(("alice", "team/red"))})
        self.kmes = {name: MemoryKme(name, self.pool) for name in ("a", "b")}
        self.thread = LoopThread(factory or loop_factory())
        self.servers = {
            name: serve(
                create_app(
                    kme,
                    kme_id=name,
                    calls_per_s=calls_per_s,
                    answer_timeout_s=answer_timeout_s,
                    on_burned=kme.count_burned,
                    redelivery_s=redelivery_s,
                ),
                host="127.0.0.1",
                port=0,
                certfile=self.kme_files[name].cert,
                keyfile=self.kme_files[name].key,
                cafile=self.kme_files[name].ca,
                request_timeout_s=request_timeout_s,
                shutdown_s=shutdown_s,
                tls=tls,
                is_pq_required=is_pq_required,
            )
            for name, kme in self.kmes.items()
        }
        for server in self.servers.values():
            self.thread.do(server.start())

    def refill(self) -> None:
        """A full pool, of which no call that an earlier test gave up takes a key any more."""
        self.thread.do(self._refill())

    async def _refill(self) -> None:
        for kme in self.kmes.values():
            kme.is_held = False
        while any(kme.waiting for kme in self.kmes.values()):
            await asyncio.sleep(0.005)
        self.pool.stock = STOCK
        self.pool.granted.clear()

    def server_of(self, sae: str) -> HttpsServer:
        return self.servers[self.sites[SaeId(sae)]]

    def url(self, kme: str) -> str:
        return f"https://localhost:{self.servers[kme].port}"

    def close(self) -> None:
        with ExitStack() as stack:
            stack.callback(self.thread.close)
            for server in self.servers.values():
                stack.callback(self.thread.do, server.stop())
