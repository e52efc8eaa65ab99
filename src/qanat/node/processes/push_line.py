"""One HTTPS connection from a KME to an application that wants its chunks pushed, kept open between them.

The place is the network file's ``push_url`` and no other: nothing that a caller or the endpoint says changes it, a
redirect least of all. Both ends show certificates. Ours is the KME's; the endpoint's must be that very application's,
of the CA of applications, made for that host, not ended and not revoked, which is looked at before each chunk.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from urllib.parse import urlsplit

from qanat.core.errors import RemoteProtocolError
from qanat.core.ids import SaeId
from qanat.node.api.protocol import NOBODY, Admits, Peer, peer_of
from qanat.node.wire import close
from qanat.sae.http import Answer, AnswerReader, request_bytes

CONNECT_S, ANSWER_S = 5.0, 5.0
ANSWER_BYTES_MAX = 16_384  # the one that is due has about twenty


class EndpointFailed(RemoteProtocolError):
    """An application's endpoint for pushed chunks cannot be reached, is another's, or speaks nonsense. Check that it
    runs at the `push_url` of the network file and shows a certificate of this SAE that names that host."""


class PushLine:
    """Not for several tasks at once."""

    def __init__(self, sae: SaeId, url: str, context: ssl.SSLContext, admits: Admits) -> None:
        place = urlsplit(url)
        self._sae, self._context, self._admits = sae, context, admits
        self._host, self._port, self._authority = place.hostname or "", place.port or 443, place.netloc
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._peer: Peer = NOBODY

    async def post(self, path: str, body: bytes) -> Answer:
        """Send one request and read its answer.

        Raises:
            EndpointFailed: the connection is closed then. The chunk may or may not have arrived.
        """
        try:
            reader, writer = await self._connected()
            self._check_peer()
            async with asyncio.timeout(ANSWER_S):
                answer = await self._exchange(reader, writer, path, body)
        except (OSError, EOFError, TimeoutError, ssl.SSLError) as error:
            await self.close()
            raise EndpointFailed(f"{self._sae} at {self._authority}: {type(error).__name__}") from None
        except RemoteProtocolError as error:
            await self.close()
            raise EndpointFailed(error.detail) from None
        except BaseException:
            await self.close()  # a half-read answer must not be taken for the next one's
            raise
        if answer.is_last:
            await self.close()
        return answer

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._open is not None and not self._open[0].at_eof() and not self._open[1].is_closing():
            return self._open
        await self.close()
        async with asyncio.timeout(2 * CONNECT_S):
            self._open = await asyncio.open_connection(
                self._host, self._port, ssl=self._context, server_hostname=self._host, ssl_handshake_timeout=CONNECT_S
            )
        self._peer = peer_of(self._open[1].transport)
        return self._open

    def _check_peer(self) -> None:
        """Raises: EndpointFailed."""
        peer = self._peer
        if (peer.role, peer.name) != ("sae", self._sae):
            who = f"{peer.role} {peer.name}".strip() or "nobody of this network"
            raise EndpointFailed(f"{self._authority} is {who}, not the SAE {self._sae}")
        if time.time() >= peer.until_s or not self._admits(peer.name, peer.serial):
            raise EndpointFailed(f"the certificate of {self._sae} has ended, was revoked or is not on the allow-list")

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: bytes
    ) -> Answer:
        writer.write(request_bytes("POST", self._authority, path, body, {}))
        await writer.drain()
        answer, size_bytes = AnswerReader(self._authority), 0
        while True:
            data = await reader.read(ANSWER_BYTES_MAX)
            size_bytes += len(data)
            if not data:
                raise EOFError
            if size_bytes > ANSWER_BYTES_MAX:
                raise EndpointFailed(f"{self._sae} at {self._authority} answered more than {ANSWER_BYTES_MAX} bytes")
            if (found := answer.feed(data)) is not None:
                return found

    async def close(self) -> None:
        if self._open is not None:
            writer, self._open = self._open[1], None
            await close(writer)
