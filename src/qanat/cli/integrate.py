"""`qanat integrate`: rotate keys in other programs until stopped."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from itertools import count as numbers
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import typer

from qanat.cli.application import Told, client_of
from qanat.core.errors import MisuseError, QanatError
from qanat.core.ids import SaeId

if TYPE_CHECKING:
    from qanat.sae.keys import DeliveredKey

TIMEOUT_S = 10.0
CHARON_SOCKET = "/var/run/charon.vici"  # Debian's


def rotate(
    told: Told,
    sae: str | None,
    peer: str,
    install: Callable[[DeliveredKey], None],
    listen: str | None,
    connect: str | None,
    *,
    every_s: float,
    count: int | None,
) -> int:
    from qanat.sae.integrations.agree import Follower, lead  # noqa: PLC0415

    if (listen is None) == (connect is None):
        raise MisuseError("one end leads and the other follows; give --connect HOST:PORT or --listen HOST:PORT")
    address = _address(listen or connect or "")
    with client_of(told, sae) as client:
        follower = None
        if listen is not None:
            follower = Follower(client, SaeId(peer), address, install, timeout_s=TIMEOUT_S)
        for index in numbers() if count is None else range(count):
            if follower is None and index:
                time.sleep(every_s)
            try:
                if follower is not None:
                    key_id = follower.follow()
                else:
                    key_id = lead(client, SaeId(peer), address, install, timeout_s=TIMEOUT_S)
                print(f"both ends use key {key_id}", flush=True)
            except QanatError as error:
                if count is not None:
                    raise
                typer.echo(f"qanat: {error}", err=True)  # the old key goes on; the next rotation tries again
    return 0


def ppk_installer(
    vici: str | None, connection: Path | None, child: str, *, is_leader: bool
) -> Callable[[DeliveredKey], None]:
    from qanat.sae.integrations.strongswan import initiator, responder  # noqa: PLC0415

    socket_path = vici or CHARON_SOCKET
    if not is_leader:
        return responder(socket_path)
    if connection is None:
        raise MisuseError("the leading end begins the IKE SA; give its connection with --connection FILE.json")
    if not connection.is_file():
        raise MisuseError(f"{connection} is no file; see docs/howto/strongswan.md")
    try:
        found = json.loads(connection.read_text())
    except ValueError:
        raise MisuseError(f"{connection} is not JSON") from None
    if not isinstance(found, dict):
        raise MisuseError(f"{connection} holds no connection; see docs/howto/strongswan.md")
    return initiator(socket_path, connection.stem, found, child)


def tunnel_installer(
    folder: Path, *, accept: str | None, forward: str, tunnel: str | None, is_leader: bool
) -> Callable[[DeliveredKey], None]:
    from qanat.sae.integrations.ssh import CONF, client, server  # noqa: PLC0415

    conf = shlex.quote(str(folder / CONF))
    if accept is not None and tunnel is None and not is_leader:
        install = server(folder, _address(accept), _address(forward))
        print(f"after the first key, start the tunnel here: stunnel {conf}", flush=True)
        return install
    if tunnel is not None and accept is None and is_leader:
        install = client(folder, _address(tunnel))
        print(f"after the first key: ssh -o ProxyCommand='stunnel {conf}' USER@HOST", flush=True)
        return install
    raise MisuseError(
        "the server follows, the client leads: at the server give --accept HOST:PORT and --listen HOST:PORT, at the "
        "client --tunnel HOST:PORT and --connect HOST:PORT"
    )


def openssl(told: Told, sae: str | None, peer: str, file: Path, key_id: str | None) -> int:
    from qanat.sae.integrations.openssl import write_session  # noqa: PLC0415

    try:
        chosen = UUID(key_id) if key_id is not None else None
    except ValueError:
        raise MisuseError(f"{key_id} is not a key ID") from None
    with client_of(told, sae) as client:
        key = client.enc_keys(SaeId(peer), 1, 256)[0] if chosen is None else client.key_of(SaeId(peer), chosen)
    print(shlex.join(write_session(file, key)))
    return 0


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise MisuseError(f"{text} is no HOST:PORT")
    return host.strip("[]"), int(port)
