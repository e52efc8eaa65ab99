"""The doors of one KME to applications and partners: which there are, on which ports, and whom TLS lets in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from urllib.parse import urlsplit

from qanat.core.ids import SiteId
from qanat.core.ports import Entropy
from qanat.node.access import Admission
from qanat.node.api.app import KeyDelivery, create_app
from qanat.node.api.etsi004 import StreamDoor
from qanat.node.api.etsi004_push import create_push_app
from qanat.node.api.etsi020 import create_border_app
from qanat.node.api.server import HANDSHAKE_TIMEOUT_S, HttpsServer, serve, server_context
from qanat.node.api.skip import create_skip_app
from qanat.node.pki import Credentials, admitting_ca
from qanat.node.processes.config import ChildConfig
from qanat.node.processes.gateway import Gateway
from qanat.node.processes.pushers import Pushers
from qanat.node.statedir import StateDir
from qanat.node.wire import served


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """Makes them.

    Attributes:
        on_refused: Caller, status and message of every answer that is not 200.
    """

    config: ChildConfig
    site: SiteId
    credentials: Credentials
    gateway: Gateway
    pushers: Pushers
    admission: Admission
    entropy: Entropy
    on_refused: Callable[[str, int, str], None]

    @property
    def _name(self) -> str:
        return f"kme-{self.site}"

    @property
    def _is_pq_required(self) -> bool:
        return self.config.network.policy.pq_tls == "required"

    @property
    def _state(self) -> StateDir:
        return StateDir(self.config.state)

    def https(self, partners: Iterable[str]) -> list[HttpsServer]:
        """ETSI 014; SKIP and ETSI 004's push mode where they have a port; ETSI 020 for partners whose CA is known."""
        ports, policy = self.config.ports, self.config.network.policy
        app = create_app(
            self.gateway,
            kme_id=self._name,
            calls_per_s=policy.calls_per_s,
            on_burned=self.gateway.burned,
            on_refused=self.on_refused,
            redelivery_s=policy.redelivery_s,
        )
        apps: dict[int, KeyDelivery] = {ports.key_delivery[self.site]: app}
        if self.site in ports.skip:
            apps[ports.skip[self.site]] = create_skip_app(
                self.gateway,
                kme_id=self._name,
                network=self.config.network,
                entropy=self.entropy,
                calls_per_s=policy.calls_per_s,
                on_burned=self.gateway.burned,
                on_refused=self.on_refused,
            )
        if self.site in ports.push:
            apps[ports.push[self.site]] = create_push_app(
                self.gateway,
                self.pushers,
                kme_id=self._name,
                calls_per_s=policy.calls_per_s,
                on_refused=self.on_refused,
            )
        doors = [
            serve(
                app,
                host="127.0.0.1",
                port=port,
                certfile=self.credentials.certfile,
                keyfile=self.credentials.keyfile,
                cafile=admitting_ca(self._state),
                admits=self.admission.admits,
                is_pq_required=self._is_pq_required,
            )
            for port, app in apps.items()
        ]
        return doors + [self._border(partner) for partner in partners]

    def _border(self, partner: str) -> HttpsServer:
        """ETSI 020 for one partner, at the port that the network file tells it."""
        return serve(
            create_border_app(self.gateway, kme_id=self._name, partner=partner),
            host="127.0.0.1",
            port=urlsplit(self.config.network.partners[partner].own_url).port or 443,
            certfile=self.credentials.certfile,
            keyfile=self.credentials.keyfile,
            cafile=self._state.partner_ca(partner),
        )

    async def streams(self) -> AbstractAsyncContextManager[object]:
        """ETSI 004, where it has a port; listens from now on."""
        port = self.config.ports.streams.get(self.site)
        if port is None:
            return nullcontext()
        door = StreamDoor(self.gateway, kme_id=self._name, on_burned=self.gateway.burned, admits=self.admission.admits)
        context = server_context(
            certfile=self.credentials.certfile,
            keyfile=self.credentials.keyfile,
            cafile=admitting_ca(self._state),
            is_pq_required=self._is_pq_required,
        )
        return await asyncio.start_server(
            served(door.serve), "127.0.0.1", port, ssl=context, ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S
        )
