"""A pool of TLS connections to one KME on asyncio streams. The blocking shell is ``connection.py``."""

from __future__ import annotations

import asyncio
import select
import ssl
from contextlib import suppress

from qanat.sae.connection import RECEIVE_BYTES, address_of
from qanat.sae.errors import KmeUnreachable
from qanat.sae.failures import failed_start, lost_answer
from qanat.sae.http import Answer, AnswerReader
from qanat.sae.tls import check_is_kme, kme_id_of


class KmeStream:
    """One connection; one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str) -> None:
        self._reader, self._writer, self._address = reader, writer, address
        self.is_reused = False

    @property
    def kme_id(self) -> str | None:
        return kme_id_of(self._writer.get_extra_info("peercert"))

    @property
    def is_usable(self) -> bool:
        """False when the KME has closed it, also when the loop has not yet heard: idle, it has nothing to read."""
        if self._reader.at_eof() or self._writer.is_closing() or self._reader.exception() is not None:
            return False
        return not select.select([self._writer.get_extra_info("socket")], [], [], 0)[0]

    async def exchange(self, request: bytes, timeout_s: float) -> Answer:
        """Send one request and read its answer.

        Raises:
            AnswerLost, OurCertificateRefused, KmeSpokeNonsense: the connection is closed then.
        """
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._sent_and_read(request)
        except (OSError, EOFError) as error:
            reason = error if isinstance(error, TimeoutError) else (await self._alert()) or error
            self.close()
            raise lost_answer(self._address, reason, timeout_s) from None
        except BaseException:
            self.close()  # cancelled or nonsense: a half-read answer must not be taken for the next one's
            raise
        self.is_reused = True
        if answer.is_last:
            self.close()
        return answer

    async def _sent_and_read(self, request: bytes) -> Answer:
        self._writer.write(request)
        await self._writer.drain()
        reader = AnswerReader(self._address)
        while data := await self._reader.read(RECEIVE_BYTES):
            if (answer := reader.feed(data)) is not None:
                return answer
        raise EOFError

    async def _alert(self) -> ssl.SSLError | None:
        """A TLS alert that came while we were writing; see ``KmeConnection``."""
        try:
            async with asyncio.timeout(0.5):
                await self._reader.read(1)
        except ssl.SSLError as error:
            return error
        except OSError:
            return None
        return None

    def close(self) -> None:
        with suppress(OSError, RuntimeError):
            self._writer.close()


class KmePool:
    """At most ``size`` connections; those that lie idle are used again, the newest first.

    Not for several event loops.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        context: ssl.SSLContext,
        timeout_s: float,
        size: int,
        connect_s: float | None = None,
    ) -> None:
        self.host, self.port, self.timeout_s = host, port, timeout_s
        self._connect_s = timeout_s if connect_s is None else connect_s
        self._context = context
        self._places = asyncio.Semaphore(size)
        self._idle: list[KmeStream] = []

    @property
    def address(self) -> str:
        return address_of(self.host, self.port)

    async def take(self) -> KmeStream:
        """A connection of one's own; ``give_back`` it.

        Raises:
            KmeUnreachable: also when no connection became free within the time-out.
            KmeNotTrusted, OurCertificateRefused
        """
        try:
            async with asyncio.timeout(self.timeout_s):
                await self._places.acquire()
        except TimeoutError:
            raise KmeUnreachable(f"All connections to {self.address} were busy for {self.timeout_s:g} s.") from None
        try:
            while self._idle:
                stream = self._idle.pop()
                if stream.is_usable:
                    return stream
                stream.close()
            return await self._open()
        except BaseException:
            self._places.release()
            raise

    def give_back(self, stream: KmeStream) -> None:
        if stream.is_usable:
            self._idle.append(stream)
        else:
            stream.close()
        self._places.release()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    async def _open(self) -> KmeStream:
        try:
            async with asyncio.timeout(self._connect_s):
                reader, writer = await asyncio.open_connection(
                    self.host, self.port, ssl=self._context, ssl_shutdown_timeout=1.0
                )
        except OSError as error:
            raise failed_start(self.address, error, self._connect_s) from None
        try:
            check_is_kme(writer.get_extra_info("peercert"), self.address)
        except BaseException:
            writer.close()
            raise
        return KmeStream(reader, writer, self.address)
