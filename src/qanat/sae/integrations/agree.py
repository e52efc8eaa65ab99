"""Two ends change to one key: the leader gets it and names its ID, the follower fetches it, installs it and says so.

One line each way over TCP, ``qanat-key 1 KEY_ID`` and ``ok KEY_ID``. Key IDs are public, so the line needs no secrecy.
Who forges one makes the follower fetch a key that its master did not mean: that stops a rotation, and opens nothing.
Let the two talk over an address that does not itself need the key, such as the ends' own addresses outside the tunnel.
"""

from __future__ import annotations

import socket
import uuid
from collections.abc import Callable

from qanat.core.errors import EnvironmentProblem, QanatError, RemoteProtocolError
from qanat.core.ids import KeyId, SaeId
from qanat.sae.client import KeyDeliveryClient
from qanat.sae.keys import DeliveredKey

Install = Callable[[DeliveredKey], None]
LINE_BYTES_MAX = 100
ATTEMPTS = 3


class PeerDidNotFollow(QanatError):
    """The other end did not take the new key, so this end keeps the old one. Look at the other end's messages;
    the key is spent, and the next rotation takes a new one."""


def offer(key_id: KeyId) -> bytes:
    return f"qanat-key 1 {key_id}\n".encode()


def key_id_in(line: bytes) -> KeyId:
    """Raises:
    RemoteProtocolError: not a line of this protocol.
    """
    try:
        word, version, text = line.decode("ascii").split()
        if (word, version) == ("qanat-key", "1"):
            return uuid.UUID(text)
    except ValueError:
        pass
    raise RemoteProtocolError("the other end does not say which key it means; is it `qanat integrate` too?")


def lead(
    client: KeyDeliveryClient, peer: SaeId, address: tuple[str, int], install: Install, *, timeout_s: float
) -> KeyId:
    """One rotation: a new key at both ends, this end last.

    A follower that answers twice to one ID is asked again when its answer is lost: it remembers what it installed.

    Raises:
        PeerDidNotFollow: nothing was installed here.
        QanatError: what the client or ``install`` raises.
    """
    key = client.enc_keys(peer, 1, 256)[0]
    for _ in range(ATTEMPTS):
        try:
            with socket.create_connection(address, timeout_s) as sock:
                sock.sendall(offer(key.key_id))
                answer = _line(sock)
        except OSError:
            continue
        if answer == f"ok {key.key_id}\n".encode():
            install(key)
            return key.key_id
        break
    raise PeerDidNotFollow(f"{address[0]}:{address[1]} did not confirm key {key.key_id}.")


class Follower:
    """Listens for the leader's line.

    Raises:
        EnvironmentProblem: the address cannot be listened on.
    """

    def __init__(
        self, client: KeyDeliveryClient, master: SaeId, address: tuple[str, int], install: Install, *, timeout_s: float
    ) -> None:
        self._client, self._master, self._install, self._timeout_s = client, master, install, timeout_s
        self._last: KeyId | None = None
        try:
            self._listener = socket.create_server(address)
        except OSError as error:
            raise EnvironmentProblem(f"Cannot listen on {address[0]}:{address[1]}: {error.strerror}.") from None

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def follow(self) -> KeyId:
        """Wait for one line and install its key.

        Raises:
            QanatError: the key could not be had or installed; the leader was told so.
        """
        sock, _ = self._listener.accept()
        with sock:
            sock.settimeout(self._timeout_s)
            try:
                key_id = key_id_in(_line(sock))
                if key_id != self._last:
                    self._install(self._client.key_of(self._master, key_id))
                    self._last = key_id
            except QanatError:
                self._tell(sock, b"no\n")
                raise
            except OSError as error:
                raise RemoteProtocolError(f"the other end broke off: {error}") from None
            self._tell(sock, f"ok {key_id}\n".encode())
        return key_id

    def _tell(self, sock: socket.socket, line: bytes) -> None:
        try:
            sock.sendall(line)
        except OSError:
            return  # the leader asks again, or keeps its old key

    def close(self) -> None:
        self._listener.close()


def _line(sock: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n") and len(line) < LINE_BYTES_MAX:
        data = sock.recv(LINE_BYTES_MAX)
        if not data:
            break
        line += data
    return line
