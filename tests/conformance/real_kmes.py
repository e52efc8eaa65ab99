"""Two real KMEs behind the real HTTPS interface: the engine, its thread, an encrypted SQLite store, mutual TLS.

Only the network between the two is left out: frames go from one engine's thread to the other's.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import ssl
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from memory_kme import Authority, Files, LoopThread
from tests.km.pairing import a_block, a_network

from qanat.core.ids import KeyId, SaeId, SiteId
from qanat.core.topology import Demand, Sae
from qanat.km.documents import KeyContainer, KeyDeliveryError, KeyRequest, Status
from qanat.km.kme import Kme
from qanat.node.api.app import create_app
from qanat.node.api.server import serve
from qanat.node.entropy import SystemEntropy
from qanat.node.event_loop import loop_factory
from qanat.node.processes.writer_thread import Outcome, WriterThread
from qanat.node.store.sqlite import SqliteStore

SITES = {"alice": "a", "bob": "b", "carol": "b", "team/red": "b", "mallory": "a"}
PAIRS = [("alice", "bob"), ("alice", "team/red"), ("mallory", "carol")]


class RealKme:
    """One site, as the host has it."""

    def __init__(self, site: str, network: Any, folder: Path, kmes: dict[str, RealKme]) -> None:
        self._site, self._kmes = site, kmes
        kek, entropy = os.urandom(32), SystemEntropy()
        self.thread = WriterThread(
            name=site,
            make_store=lambda: SqliteStore(folder / f"{site}.db", kek=kek, entropy=entropy),
            make_kme=lambda store: Kme(site=SiteId(site), network=network, store=store, entropy=entropy),
            on_outcome=self._on_outcome,
        )
        self.events: list[Any] = []
        self.frames: list[bytes] = []
        self.burned = 0

    def _on_outcome(self, outcome: Outcome) -> None:
        self.events += outcome.events
        for peer, frame in outcome.frames:
            self.frames.append(frame)
            other = self._kmes[peer].thread
            task = asyncio.ensure_future(
                other.call(lambda kme, now_ns, f=frame: kme.receive(SiteId(self._site), f, now_ns))
            )
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def status(self, caller: SaeId, slave: SaeId) -> Status:
        return await self.thread.call(lambda kme, now_ns: kme.status(caller, slave, now_ns))

    async def enc_keys(self, caller: SaeId, slave: SaeId, request: KeyRequest) -> KeyContainer:
        return await self.thread.call(lambda kme, now_ns: kme.enc_keys(caller, slave, request, now_ns))

    async def dec_keys(self, caller: SaeId, master: SaeId, key_ids: Sequence[KeyId]) -> KeyContainer:
        for patience in range(25, -1, -1):
            try:
                return await self.thread.call(lambda kme, now_ns: kme.dec_keys(caller, master, key_ids, now_ns))
            except KeyDeliveryError as error:
                if not error.grant_pending or not patience:
                    raise
            await asyncio.sleep(0.02)
        raise AssertionError


class RealKmes:
    """KMEs "a" and "b" with one link; its key blocks come from ``distil``."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.authority = Authority(folder / "ca", "real network")
        now = datetime.now(UTC)
        self.saes: dict[str, Files] = {
            name: self.authority.files("sae", name, now=now, label="") for name in SITES if "/" not in name
        }
        network = replace(
            a_network(["a-b"], []),
            saes={SaeId(name): Sae(id=SaeId(name), site=SiteId(site)) for name, site in SITES.items()},
            demands=tuple(Demand(saes=(SaeId(a), SaeId(b)), rate_bits_per_s=256.0) for a, b in PAIRS),
        )
        self.kmes: dict[str, RealKme] = {}
        self.thread = LoopThread(loop_factory())
        self._blocks = 0
        self.servers = {}

        async def start(site: str) -> RealKme:
            kme = RealKme(site, network, folder, self.kmes)
            await kme.thread.start()
            return kme

        for site in "ab":
            self.kmes[site] = kme = self.thread.do(start(site))
            files = self.authority.files("kme", site, now=now)
            self.servers[site] = serve(create_app(kme, kme_id=site), host="127.0.0.1", port=0, **files.kwargs())
            self.thread.do(self.servers[site].start())

    def distil(self, count: int = 1) -> None:
        """More key blocks of 2 KiB, the same at both ends."""
        for _ in range(count):
            for kme in self.kmes.values():
                block = a_block("a-b", self._blocks)
                self.thread.do(kme.thread.call(lambda engine, now_ns, b=block: engine.add_block(b, now_ns)))
            self._blocks += 1

    def report(self, site: str) -> Any:
        return self.thread.do(self.kmes[site].thread.call(lambda kme, now_ns: kme.report(now_ns)))

    def connect(self, sae: str, site: str | None = None, files: Files | None = None) -> http.client.HTTPSConnection:
        files = files or self.saes[sae]
        context = ssl.create_default_context(cafile=files.ca)
        context.load_cert_chain(files.cert, files.key)
        port = self.servers[site or SITES[sae]].port
        return http.client.HTTPSConnection("localhost", port, context=context, timeout=20)

    def ask(
        self, sae: str, path: str, body: object = None, *, headers: dict[str, str] | None = None, **kwargs: Any
    ) -> tuple[int, Any]:
        connection = self.connect(sae, **kwargs)
        data = None if body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", f"/api/v1/keys/{path}", data, headers or {})
        answer = connection.getresponse()
        found = json.loads(answer.read())
        connection.close()
        return answer.status, found

    def close(self) -> None:
        for server in self.servers.values():
            self.thread.do(server.stop())
        for kme in self.kmes.values():
            self.thread.do(kme.thread.stop())
        self.thread.close()
