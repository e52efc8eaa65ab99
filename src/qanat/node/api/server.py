"""HTTPS with client certificates inside a running asyncio loop; many of these live in one process."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import ssl
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from uvicorn.config import Config
from uvicorn.server import ServerState

from qanat.core.errors import EnvironmentProblem
from qanat.crypto.tls_bytes import HAS_HYBRID_GROUPS
from qanat.node.api.alerts import alerting
from qanat.node.api.entrance import HANDSHAKE_TIMEOUT_S, Entrance, Hosts
from qanat.node.api.protocol import REQUEST_TIMEOUT_S, Admits, IdentifyingProtocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from qanat.node.api.handshake_told import OnHandshake

KEEP_ALIVE_S = 75.0  # a new handshake costs twenty requests (measured: 0.8 against 0.04 ms of CPU)
SHUTDOWN_S = 5.0
TlsChoice = Literal["auto", "stdlib", "pq"]

_log = logging.getLogger(__name__)


class HttpsServer:
    """One listening port. ``start`` and ``stop`` may be called once each, in the loop that serves.

    uvicorn's own ``Server`` is not used: it catches signals, ends the process when the port is taken, and gives
    the handshake a minute. Its protocol and its configuration are.

    Attributes:
        port: The port in use, also when 0 was asked for; known after ``start``.
        turned_away: Sockets that got no connection, by reason; see ``Entrance``.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: Hosts,
        port: int,
        context: ssl.SSLContext,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
        admits: Admits | None = None,
        keep_alive_s: float = KEEP_ALIVE_S,
        shutdown_s: float = SHUTDOWN_S,
    ) -> None:
        self.host, self.port = host, port
        self._context = context
        self._shutdown_s = shutdown_s
        chosen: dict[str, object] = {"request_timeout_s": request_timeout_s}
        if admits is not None:
            chosen["admits"] = staticmethod(admits)
        self._protocol = type("ChosenProtocol", (IdentifyingProtocol,), chosen)
        self._config = Config(
            app,
            http=self._protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,  # paths name SAEs; the audit journal is the gateway's
            proxy_headers=False,  # identity and address come from the connection alone
            server_header=False,
            timeout_keep_alive=int(keep_alive_s),
        )
        self._state = ServerState()
        self._server: Entrance | None = None
        self.turned_away: Counter[str] = Counter()

    @property
    def is_open(self) -> bool:
        return self._server is not None

    async def start(self) -> None:
        """Listen.

        Raises:
            EnvironmentProblem: the port is taken or may not be used.
        """
        if not 0 <= self.port <= 65_535:  # uvloop would take it modulo 65,536
            raise _port_problem(self.host, self.port, OverflowError())
        self._config.load()
        server = Entrance(
            make_protocol=lambda: self._protocol(self._config, self._state, {}),
            context=self._context,
            turned_away=self.turned_away,
            handshake_s=HANDSHAKE_TIMEOUT_S,
        )
        try:
            self.port = await server.open(self.host, self.port)
        except (OSError, OverflowError) as error:
            raise _port_problem(self.host, self.port, error) from None
        self._server = server

    async def stop(self) -> None:
        """Take no new connections, let requests finish within the limit, then close what is left."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        await self._finish_requests()
        await self._empty(1.0)  # answers just written reach the wire
        for connection in list(self._state.connections):
            connection.transport.abort()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._server.wait_closed(), 1.0)
        self._server = None

    def close_refused(self) -> None:
        """Hang up on all that are no longer admitted."""
        for connection in list(self._state.connections):
            if isinstance(connection, IdentifyingProtocol):
                connection.close_if_refused()

    async def _finish_requests(self) -> None:
        tasks = set(self._state.tasks)
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=self._shutdown_s)
        for task in late:
            task.cancel()
        if late:
            _log.warning("%d requests did not finish within %g s and were ended", len(late), self._shutdown_s)
            await asyncio.wait(late, timeout=1.0)

    async def _empty(self, limit_s: float) -> None:
        loop = asyncio.get_running_loop()
        end_s = loop.time() + limit_s
        while self._state.connections and loop.time() < end_s:
            await asyncio.sleep(0.01)


def serve(
    app: ASGIApp,
    *,
    host: Hosts,
    port: int,
    certfile: str | os.PathLike[str],
    keyfile: str | os.PathLike[str],
    cafile: str | os.PathLike[str],
    request_timeout_s: float = REQUEST_TIMEOUT_S,
    shutdown_s: float = SHUTDOWN_S,
    admits: Admits | None = None,
    is_pq_required: bool = False,
    tls: TlsChoice = "auto",
    on_handshake: OnHandshake | None = None,
) -> HttpsServer:
    """A server that demands a client certificate of this CA. Call its ``start()``.

    Args:
        admits: Asked at every request whether this name and certificate may call; None admits all.
        is_pq_required: Refuse connections whose key exchange is not hybrid.
        on_handshake: Told how each TLS handshake ended.

    Raises:
        EnvironmentProblem: a certificate file cannot be used.
    """
    context = server_context(
        certfile=certfile,
        keyfile=keyfile,
        cafile=cafile,
        is_pq_required=is_pq_required,
        tls=tls,
        on_handshake=on_handshake,
    )
    return HttpsServer(
        app,
        host=host,
        port=port,
        context=context,
        request_timeout_s=request_timeout_s,
        shutdown_s=shutdown_s,
        admits=admits,
    )


def server_context(
    *,
    certfile: str | os.PathLike[str],
    keyfile: str | os.PathLike[str],
    cafile: str | os.PathLike[str],
    is_pq_required: bool = False,
    is_tls13: bool = False,
    tls: TlsChoice = "auto",
    on_handshake: OnHandshake | None = None,
) -> ssl.SSLContext:
    """TLS 1.2 or higher, client certificate required, X25519MLKEM768 where the client can.

    Args:
        is_pq_required: Refuse connections whose key exchange is not hybrid.
        is_tls13: Nothing older than TLS 1.3.
        tls: "stdlib" is Python's ssl, "pq" the OpenSSL of ``cryptography``; "auto" takes the latter where the former
            is older than 3.5.
        on_handshake: Told how each handshake ended.

    Raises:
        EnvironmentProblem: a file is missing, or certificate and key do not belong together; or Python's ssl is asked
            for where hybrid key exchange is required.
    """
    if tls == "stdlib" and is_pq_required:
        raise EnvironmentProblem(
            'tls = "stdlib" cannot tell which key exchange was used, and the network file says pq_tls = "required". '
            'Use tls = "auto", or pq_tls = "preferred".'
        )
    is_hybrid = tls == "pq" or is_pq_required or (tls == "auto" and not HAS_HYBRID_GROUPS)
    make = _hybrid if is_hybrid else _plain
    try:
        return make(Path(certfile), Path(keyfile), Path(cafile), is_pq_required, is_tls13, on_handshake)
    except FileNotFoundError:
        missing = [str(path) for path in (cafile, certfile, keyfile) if not Path(path).exists()]
        raise EnvironmentProblem(f"{', '.join(missing)} is not there. `qanat up` makes certificates.") from None
    except (OSError, ssl.SSLError) as error:
        raise EnvironmentProblem(f"{certfile} with {keyfile} and {cafile} cannot be used for TLS: {error}.") from None


def _hybrid(
    certfile: Path,
    keyfile: Path,
    cafile: Path,
    is_required: bool,  # noqa: FBT001
    is_tls13: bool,  # noqa: FBT001
    on_handshake: OnHandshake | None,
) -> ssl.SSLContext:
    from qanat.node.api.hybrid_tls import hybrid_context

    return hybrid_context(
        certfile=certfile,
        keyfile=keyfile,
        cafile=cafile,
        is_required=is_required,
        is_tls13=is_tls13,
        on_handshake=on_handshake,
    )


def _plain(
    certfile: Path,
    keyfile: Path,
    cafile: Path,
    is_required: bool,  # noqa: FBT001
    is_tls13: bool,  # noqa: FBT001
    on_handshake: OnHandshake | None,
) -> ssl.SSLContext:
    del is_required  # Python's ssl cannot tell which group was chosen
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if is_tls13 else ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.sslobject_class = alerting(on_handshake)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")  # TLS 1.2 with forward secrecy only; 1.3 has its own list
    context.load_verify_locations(cafile)
    context.load_cert_chain(certfile, keyfile)
    return context


def _port_problem(hosts: Hosts, port: int, error: OSError | OverflowError) -> EnvironmentProblem:
    host = hosts if isinstance(hosts, str) else " and ".join(name or "every address" for name in hosts)
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return EnvironmentProblem(
            f"Port {port} on {host} is in use by another program. Stop that program (`ss -ltnp` shows it), or choose "
            "another port."
        )
    if number == errno.EACCES:
        return EnvironmentProblem(f"Port {port} on {host} needs special rights. Choose one above 1023.")
    if isinstance(error, (socket.gaierror, OverflowError)) or number == errno.EADDRNOTAVAIL:
        return EnvironmentProblem(f"{host}:{port} is no address of this machine. Use 127.0.0.1 or one `ip addr` shows.")
    return EnvironmentProblem(f"Cannot listen on {host}:{port}: {error}.")
