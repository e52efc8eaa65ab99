"""The doors of one KME to applications and partners: which there are, on which ports, and whom TLS lets in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from qanat.core.ids import SiteId
from qanat.core.ports import Entropy
from qanat.core.topology import Partner, host_and_port
from qanat.node.access import Admission
from qanat.node.api.admin import CALLS_PER_S, AdminDesk, KmeAdminDoor
from qanat.node.api.app import KeyDelivery, create_app
from qanat.node.api.entrance import stream_entrance
from qanat.node.api.etsi004 import StreamDoor
from qanat.node.api.etsi004_push import create_push_app
from qanat.node.api.etsi020 import create_border_app
from qanat.node.api.limits import call_limit
from qanat.node.api.server import HttpsServer, serve, server_context
from qanat.node.api.skip import SkipDelivery, create_skip_app
from qanat.node.api.tls_seen import TlsSeen
from qanat.node.instance import index_of, site_of
from qanat.node.pki import Credentials, admitting_ca
from qanat.node.processes.config import ChildConfig
from qanat.node.processes.gateway import Gateway
from qanat.node.processes.guests import Guests
from qanat.node.processes.pushers import Pushers
from qanat.node.reach import LOOPBACK, listening, listening_for
from qanat.node.skip_psk import PskBook
from qanat.node.statedir import StateDir


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """Makes them.

    Attributes:
        site: The instance whose doors they are.
        tls: Counts the handshakes at each of them.
        on_refused: Caller, status and message of every answer that is not 200.
        turned_away: Sockets that got no connection, by door and reason; see ``Entrance``.
    """

    config: ChildConfig
    site: SiteId
    credentials: Credentials
    gateway: Gateway
    pushers: Pushers
    admission: Admission
    operators: Admission
    entropy: Entropy
    psks: PskBook
    tls: TlsSeen
    on_refused: Callable[[str, int, str], None]
    turned_away: dict[str, Counter[str]] = field(default_factory=dict)
    https_doors: dict[str, HttpsServer] = field(default_factory=dict)

    @property
    def _name(self) -> str:
        return site_of(self.site)

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
        apps: dict[str, tuple[int, KeyDelivery]] = {"etsi014": (ports.key_delivery[self.site], app)}
        if self.site in ports.skip:
            apps["skip"] = (ports.skip[self.site], self._skip_app())
        if self.site in ports.push:
            apps["push"] = (ports.push[self.site], self._push_app())
        doors = {
            name: serve(
                app,
                host=listening(self.config.network, self.site),
                port=port,
                certfile=self.credentials.certfile,
                keyfile=self.credentials.keyfile,
                cafile=admitting_ca(self._state),
                admits=self.admission.admits,
                is_pq_required=self._is_pq_required,
                on_handshake=self.tls.at(name),
            )
            for name, (port, app) in apps.items()
        }
        if self.site in ports.skip_psk:
            doors["skip-psk"] = self._psk_door()
        doors |= {f"etsi020-{partner}": self._border(partner) for partner in partners}
        self.https_doors.update(doors)
        self.turned_away.update({name: door.turned_away for name, door in doors.items()})
        return list(doors.values())

    def _psk_door(self) -> HttpsServer:
        """SKIP for routers that show a pre-shared key in place of a certificate."""
        from qanat.node.api.psk_tls import psk_context

        psks, admission, policy = self.psks, self.admission, self.config.network.policy
        return HttpsServer(
            self._skip_app(),
            host=listening(self.config.network, self.site),
            port=self.config.ports.skip_psk[self.site],
            context=psk_context(
                psks.find,
                self.entropy,
                is_plain=policy.skip_psk == "plain",
                is_pq_required=self._is_pq_required,
                on_handshake=self.tls.at("skip-psk"),
            ),
            admits=lambda name, serial: psks.admits(name, serial) and admission.admits(name, serial),
        )

    def _push_app(self) -> KeyDelivery:
        return create_push_app(
            self.gateway,
            self.pushers,
            kme_id=self._name,
            calls_per_s=self.config.network.policy.calls_per_s,
            on_refused=self.on_refused,
        )

    def _skip_app(self) -> SkipDelivery:
        policy = self.config.network.policy
        return create_skip_app(
            self.gateway,
            kme_id=self._name,
            network=self.config.network,
            entropy=self.entropy,
            calls_per_s=policy.calls_per_s,
            on_burned=self.gateway.burned,
            on_refused=self.on_refused,
        )

    def admin(self, desk: AdminDesk) -> list[HttpsServer]:
        """For operators, where the network file gives this site an address for it."""
        address = self.config.network.sites[site_of(self.site)].admin
        if not address:
            return []
        host, port = host_and_port(address)
        door = serve(
            KmeAdminDoor(desk, self._name, call_limit(CALLS_PER_S), self.on_refused),
            host=host,
            port=port,
            certfile=self.credentials.certfile,
            keyfile=self.credentials.keyfile,
            cafile=self._state.operator_ca / "cert.pem",
            admits=self.operators.admits,
            is_pq_required=self._is_pq_required,
        )
        self.https_doors["admin"] = door
        self.turned_away["admin"] = door.turned_away
        return [door]

    def _border(self, partner: str) -> HttpsServer:
        """ETSI 020 for one partner, at the port that the network file tells it."""
        url = urlsplit(self._own_url(self.config.network.partners[partner]))
        return serve(
            create_border_app(self.gateway, kme_id=self._name, partner=partner),
            host=listening_for(url.hostname or LOOPBACK),
            port=url.port or 443,
            certfile=self.credentials.certfile,
            keyfile=self.credentials.keyfile,
            cafile=self._state.partner_ca(partner),
            on_handshake=self.tls.at(f"etsi020-{partner}"),
        )

    def _own_url(self, partner: Partner) -> str:
        """At which this instance is reached."""
        return (partner.own_url, *partner.own_standby_urls)[index_of(self.site)]

    def look(self) -> None:
        """Read pre-shared keys anew; whose key is gone is cut off. Call it every ``RELOAD_S``."""
        self.psks.look()
        if "skip-psk" in self.https_doors:
            self.https_doors["skip-psk"].close_refused()

    async def streams(self, guests: Guests) -> None:
        """ETSI 004, where it has a port; listens from now on."""
        port = self.config.ports.streams.get(self.site)
        if port is None:
            return
        door = StreamDoor(self.gateway, kme_id=self._name, on_burned=self.gateway.burned, admits=self.admission.admits)
        context = server_context(
            certfile=self.credentials.certfile,
            keyfile=self.credentials.keyfile,
            cafile=admitting_ca(self._state),
            is_pq_required=self._is_pq_required,
            on_handshake=self.tls.at("etsi004"),
        )
        turned_away = self.turned_away.setdefault("etsi004", Counter())
        handler = guests.served(door.serve)
        host = listening(self.config.network, self.site)
        guests.come_by(await stream_entrance(handler, host, port, context, turned_away=turned_away))
