"""The lines of one KME to the others of its network, and to partners' key management at its site."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from qanat.core.ids import SiteId
from qanat.km.channel import patience_of
from qanat.node.access import Admission
from qanat.node.api.entrance import Entrance
from qanat.node.api.tls_seen import TlsSeen
from qanat.node.instance import instances_of, site_of
from qanat.node.pki import kme_credentials, peer_credentials
from qanat.node.processes.border import BorderLine
from qanat.node.processes.config import ChildConfig
from qanat.node.processes.gateway import look_away
from qanat.node.processes.guests import Guests
from qanat.node.processes.peers import PeerLine, client_context, listen
from qanat.node.processes.writer_thread import Outcome, WriterThread
from qanat.node.statedir import StateDir


class Neighbours:
    """Both directions: frames out by ``deliver``, frames in while ``listen`` has its door open.

    Args:
        thread: Whose engine gets what comes.
        tell: Told in a sentence which partner cannot be reached yet.

    Attributes:
        partners: Those whose CA is known.
    """

    def __init__(
        self,
        config: ChildConfig,
        instance: SiteId,
        *,
        thread: WriterThread,
        kmes: Admission,
        tls: TlsSeen,
        tell: Callable[[str], None],
    ) -> None:
        self._config, self._instance, self._thread = config, instance, thread
        self._kmes, self._tls, self._tell = kmes, tls, tell
        self._site, self._state = site_of(instance), StateDir(config.state)
        self._is_pq_required = config.network.policy.pq_tls == "required"
        self._credentials = peer_credentials(self._state, instance, config.network.policy.pki)
        self.lines = self._make_lines()
        self._borders = self._make_borders()

    @property
    def partners(self) -> list[str]:
        return list(self._borders)

    def _make_lines(self) -> dict[SiteId, PeerLine]:
        context = client_context(self._credentials, is_pq_required=self._is_pq_required)
        network, ports = self._config.network, self._config.ports.peers
        return {
            peer: PeerLine(
                peer,
                [ports[name] for name in instances_of(network, peer)],
                context,
                self._line_is_new,
                admits=self._kmes.admits,
                on_standing=self._tls.line_stands,
            )
            for peer in network.sites
            if peer != self._site
        }

    def _make_borders(self) -> dict[str, BorderLine]:
        lines, credentials = {}, kme_credentials(self._state, self._instance)
        for partner in self._config.network.partners.values():
            cafile = self._state.partner_ca(partner.id)
            if partner.site != self._site:
                continue
            if not cafile.exists():
                self._tell(f"partner {partner.id} waits for its CA file, {cafile}")
                continue
            lines[partner.id] = BorderLine(partner, credentials, cafile, self._border_answered)
        return lines

    def deliver(self, outcome: Outcome) -> None:
        """Send what one committed group wants sent."""
        for peer, frame in outcome.frames:
            self.lines[peer].send(frame)
        for request in outcome.requests:
            if request.partner in self._borders:
                self._borders[request.partner].send(request)

    async def listen(self, guests: Guests, turned_away: Counter[str]) -> Entrance:
        """Open the door for the other KMEs."""
        return await listen(
            self._config.ports.peers[self._instance],
            self._credentials,
            self._from_peer,
            guests=guests,
            on_came=self._peer_came,
            is_pq_required=self._is_pq_required,
            admits=self._kmes.admits,
            on_handshake=self._tls.at("peers"),
            turned_away=turned_away,
        )

    def _from_peer(self, peer: SiteId, frame: bytes) -> None:
        call = self._thread.call(lambda kme, now_ns: kme.receive(peer, frame, now_ns), patience_s=patience_of(frame))
        asyncio.ensure_future(call).add_done_callback(look_away)

    def _line_is_new(self, peer: SiteId) -> None:
        call = self._thread.call(lambda kme, now_ns: kme.line_is_new(peer, now_ns))
        asyncio.ensure_future(call).add_done_callback(look_away)

    def _peer_came(self, peer: SiteId) -> None:
        if peer in self.lines:
            self.lines[peer].look_again()

    async def _border_answered(self, number: int, status_code: int) -> None:
        await self._thread.call(lambda kme, _now_ns: kme.border.answered(number, status_code))
