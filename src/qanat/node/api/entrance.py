"""Listening for TLS with a bound on what is in the handshake: asyncio's servers bound nothing before it ends.

The accepting is ours, so that each socket can be counted by where it comes from; TLS and all after it are asyncio's or
uvloop's (``connect_accepted_socket``). ``handshakes.py`` says who has to go when there are too many.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from qanat.node.api.handshakes import Handshakes, source_of
from qanat.node.wire import Handler, served

HANDSHAKE_TIMEOUT_S = 5.0
SHUTDOWN_TIMEOUT_S = 1.0
BACKLOG = 512
ACCEPTS_AT_ONCE = 64  # then others in this loop have their turn: the kernel says again that more wait
NO_DESCRIPTORS_PAUSE_S = 1.0
Hosts = str | tuple[str, ...]  # an empty one is every address of the machine
REASONS = ("source", "all", "timeout", "failed")
_NO_IPV6 = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
_SHORT = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

_log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Shaking:
    """One socket whose handshake is not over."""

    sock: socket.socket
    source: str
    task: asyncio.Task[None] | None = None
    has_begun: bool = False


@dataclass(eq=False, kw_only=True)
class Entrance:
    """A listening TLS door. ``open`` once, then ``close``; or ``async with``, when it is open already.

    Attributes:
        make_protocol: Makes the protocol of one connection; it is told of it when the handshake has succeeded.
        turned_away: Sockets that got no connection, by reason: "source" and "all" had to make room, "timeout" took
            too long, "failed" is wrong TLS, a refused certificate or a client that hung up.
    """

    make_protocol: Callable[[], asyncio.BaseProtocol]
    context: ssl.SSLContext
    turned_away: Counter[str] = field(default_factory=Counter)
    handshake_s: float = HANDSHAKE_TIMEOUT_S
    book: Handshakes[_Shaking] = field(default_factory=Handshakes)
    _listeners: list[socket.socket] = field(default_factory=list)
    _resuming: asyncio.TimerHandle | None = None

    async def open(self, host: Hosts, port: int) -> int:
        """Listen on every address of ``host``; returns the port. Raises: OSError."""
        try:
            for name in (host,) if isinstance(host, str) else host:
                await self._bind(name, port)
        except OSError:
            self.close()
            raise
        self._listen()
        return int(self._listeners[0].getsockname()[1])

    async def _bind(self, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            try:
                self._listeners.append(_listener(family, address))
            except OSError as error:
                if host or family != socket.AF_INET6 or error.errno not in _NO_IPV6:
                    raise

    async def __aenter__(self) -> Entrance:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        await self.wait_closed()

    def close(self) -> None:
        """Take no new sockets and end the handshakes; connections that stand are their owner's to end."""
        self._pause()
        for listener in self._listeners:
            listener.close()
        self._listeners = []
        for entry in self.book.entries():
            _drop(entry)

    async def wait_closed(self) -> None:
        """No handshake is left. Bounded by whoever calls."""
        tasks = [entry.task for entry in self.book.entries() if entry.task is not None]
        if tasks:
            await asyncio.wait(tasks)

    def _listen(self) -> None:
        self._resuming = None
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            loop.add_reader(listener.fileno(), self._accept, listener)

    def _pause(self) -> None:
        if self._resuming is not None:
            self._resuming.cancel()
            self._resuming = None
        for listener in self._listeners:
            if listener.fileno() >= 0:
                asyncio.get_running_loop().remove_reader(listener.fileno())

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                sock, address = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if error.errno not in _SHORT:
                    raise
                _log.error("no connection can be taken for a second: %s", error.strerror)
                self._pause()
                self._resuming = asyncio.get_running_loop().call_later(NO_DESCRIPTORS_PAUSE_S, self._listen)
                return
            sock.setblocking(False)
            self._enter(_Shaking(sock, source_of(address[0])))

    def _enter(self, entry: _Shaking) -> None:
        entry.task = asyncio.get_running_loop().create_task(self._shake(entry))
        entry.task.add_done_callback(lambda _task: self.book.leave(entry.source, entry))
        goes = self.book.enter(entry.source, entry)
        if goes is not None:
            reason, other = goes
            self.turned_away[reason] += 1
            _drop(other)

    async def _shake(self, entry: _Shaking) -> None:
        loop = asyncio.get_running_loop()
        begin_s, entry.has_begun = loop.time(), True
        try:
            await loop.connect_accepted_socket(
                self.make_protocol,
                entry.sock,
                ssl=self.context,
                ssl_handshake_timeout=self.handshake_s,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S,
            )
        except OSError:  # ssl.SSLError is one
            is_late = loop.time() - begin_s >= self.handshake_s
            self.turned_away["timeout" if is_late else "failed"] += 1


def _drop(entry: _Shaking) -> None:
    """End a handshake without a word: whoever it was, it is nobody yet."""
    if entry.task is not None:
        entry.task.cancel()
    if not entry.has_begun:
        entry.sock.close()  # else its transport does


def _listener(family: int, address: Iterable[object]) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # each family has a listener of its own
        made.bind(address)  # type: ignore[arg-type]
        made.listen(BACKLOG)
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return made


async def stream_entrance(
    handler: Handler, host: Hosts, port: int, context: ssl.SSLContext, *, turned_away: Counter[str] | None = None
) -> Entrance:
    """What ``asyncio.start_server`` is, behind an ``Entrance``; already listening. Raises: OSError."""
    callback = served(handler)

    def make_protocol() -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), callback)

    door = Entrance(
        make_protocol=make_protocol, context=context, turned_away=Counter() if turned_away is None else turned_away
    )
    await door.open(host, port)
    return door
