"""Commands that give delivered keys to other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qanat.cli.app import integrate
from qanat.cli.application import Told
from qanat.cli.application_options import asks_a_kme
from qanat.cli.seal_commands import As

Peer = Annotated[str, typer.Option(help="The SAE at the other end.")]
Listen = Annotated[str | None, typer.Option(help="HOST:PORT: follow a leader.", show_default=False)]
Connect = Annotated[str | None, typer.Option(help="HOST:PORT of the follower: lead.", show_default=False)]
Every = Annotated[float, typer.Option(min=1, help="Seconds between keys (leader).")]
Count = Annotated[int | None, typer.Option(min=1, help="End after so many keys.", show_default=False)]


@integrate.command("wireguard")
@asks_a_kme
def wireguard(
    interface: Annotated[str, typer.Argument(help="Such as wg0.")],
    peer_key: Annotated[str, typer.Argument(help="The other end's WireGuard public key.")],
    told: Told,
    peer: Peer,
    sae: As = None,
    listen: Listen = None,
    connect: Connect = None,
    every: Every = 120,
    count: Count = None,
) -> None:
    """Change a WireGuard peer's preshared key at both ends, again and again."""
    from qanat.cli import integrate as command
    from qanat.sae.integrations.wireguard import installer

    install = installer(interface, peer_key)
    raise typer.Exit(command.rotate(told, sae, peer, install, listen, connect, every_s=every, count=count))


@integrate.command("strongswan")
@asks_a_kme
def strongswan(
    told: Told,
    peer: Peer,
    sae: As = None,
    connection: Annotated[
        Path | None, typer.Option(help="JSON of the connection, at the end that begins.", show_default=False)
    ] = None,
    child: Annotated[str, typer.Option(help="The CHILD_SA to bring up.")] = "net",
    vici: Annotated[
        str | None, typer.Option(help="charon's socket; where Debian has it when left out.", show_default=False)
    ] = None,
    listen: Listen = None,
    connect: Connect = None,
    every: Every = 3600,
    count: Count = None,
) -> None:
    """Change the postquantum preshared key (PPK, RFC 8784) of an IKEv2 connection, again and again."""
    from qanat.cli import integrate as command

    install = command.ppk_installer(vici, connection, child, is_leader=connect is not None)
    raise typer.Exit(command.rotate(told, sae, peer, install, listen, connect, every_s=every, count=count))


@integrate.command("ssh")
@asks_a_kme
def ssh(
    folder: Annotated[Path, typer.Argument(help="For stunnel's configuration and keys, best in memory.")],
    told: Told,
    peer: Peer,
    sae: As = None,
    accept: Annotated[
        str | None, typer.Option(help="HOST:PORT: at the server, where its tunnel listens.", show_default=False)
    ] = None,
    forward: Annotated[str, typer.Option(help="HOST:PORT of sshd.")] = "127.0.0.1:22",
    tunnel: Annotated[
        str | None, typer.Option(help="HOST:PORT: at the client, the server's tunnel.", show_default=False)
    ] = None,
    listen: Listen = None,
    connect: Connect = None,
    every: Every = 3600,
    count: Count = None,
) -> None:
    """Change the key of an stunnel through which ssh goes, again and again."""
    from qanat.cli import integrate as command

    install = command.tunnel_installer(folder, accept=accept, forward=forward, tunnel=tunnel, is_leader=not listen)
    raise typer.Exit(command.rotate(told, sae, peer, install, listen, connect, every_s=every, count=count))


@integrate.command("openssl")
@asks_a_kme
def openssl(
    file: Annotated[Path, typer.Argument(help="The session file to write.")],
    told: Told,
    peer: Peer,
    sae: As = None,
    key_id: Annotated[str | None, typer.Option(help="Take this key; a new one when left out.")] = None,
) -> None:
    """Write a key as an external PSK of TLS 1.3; prints the options for `openssl s_server` and `s_client`."""
    from qanat.cli import integrate as command

    raise typer.Exit(command.openssl(told, sae, peer, file, key_id))
