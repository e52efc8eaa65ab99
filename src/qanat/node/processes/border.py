"""Requests to other operators' key management systems (ETSI GS QKD 020), each in a thread: few, and maybe slow."""

from __future__ import annotations

import asyncio
import http.client
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from qanat.core.topology import Partner
from qanat.crypto.identity import identity_from_der
from qanat.km.interwork.documents import PREFIX
from qanat.km.interwork.outbox import Request
from qanat.node.pki import Credentials
from qanat.sae.tls import client_context

TIMEOUT_S = 10.0
SERVICE_UNAVAILABLE = 503


class BorderLine:
    """Our requests to one partner, at whichever of its addresses answers."""

    def __init__(
        self,
        partner: Partner,
        credentials: Credentials,
        cafile: Path,
        answered: Callable[[int, int], Awaitable[None]],
    ) -> None:
        self._partner, self._answered = partner, answered
        self._urls = [partner.url, *partner.standby_urls]
        self._url = partner.url
        self._context = client_context(  # that partner's CA and no other
            certfile=credentials.certfile, keyfile=credentials.keyfile, cafile=cafile
        )
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, request: Request) -> None:
        """Send it now; the engine sends it again if no final answer comes."""
        task = asyncio.ensure_future(self._send(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, request: Request) -> None:
        for _ in self._urls:
            url = self._url
            try:
                status = await asyncio.to_thread(self._post, url, request)
            except (OSError, http.client.HTTPException) as error:
                logging.info("partner %s does not answer at %s: %s", self._partner.id, url, type(error).__name__)
                self._leave(url)  # a request may come twice, to either instance: they have one store
                continue
            if status == SERVICE_UNAVAILABLE:
                self._leave(url)
            await self._answered(request.number, status)
            return

    def _leave(self, url: str) -> None:
        """What is sent from now on goes to the partner's next address, if it has one."""
        if self._url == url:
            self._url = self._urls[(self._urls.index(url) + 1) % len(self._urls)]

    def _post(self, url: str, request: Request) -> int:
        place = urlsplit(url)
        line = http.client.HTTPSConnection(
            place.hostname or "", place.port or 443, context=self._context, timeout=TIMEOUT_S
        )
        try:
            line.connect()
            self._check(line, url)
            headers = {"Content-Type": "application/json", "Accept": "application/json"}
            line.request("POST", PREFIX + request.path, request.body, headers)
            answer = line.getresponse()
            answer.read(65_536)
            return answer.status
        finally:
            line.close()

    def _check(self, line: http.client.HTTPSConnection, url: str) -> None:
        """Keys go to the system that the network file names, not to another one of that operator's CA."""
        identity = identity_from_der(line.sock.getpeercert(binary_form=True) or b"")
        if (identity.role, identity.name) != ("kme", self._partner.id):
            raise ConnectionError(f"{url} is {identity.urn}, not {self._partner.id}")
