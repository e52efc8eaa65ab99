"""Commands for one end of one link: run it, record for it, and what it starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qanat.cli.app import Json, NetworkFile, app, identity


@app.command()
def module(
    role: Annotated[str, typer.Option(help="This end: tx (transmitter) or rx (receiver).")],
    link_name: Annotated[str, typer.Option("--link", help="The link in the network file.")],
    light: Annotated[str, typer.Option(help="Where this end's light comes from: sim://, replay:// or timetags://.")],
    file: NetworkFile = None,
    secret: Annotated[
        Path | None, typer.Option(help="This end's copy of the pre-shared secret (see qanat secret).")
    ] = None,
    identity_file: Annotated[
        Path | None,
        typer.Option("--identity", help="Instead: this end's private ML-DSA identity (see qanat identity)."),
    ] = None,
    peer: Annotated[Path | None, typer.Option(help="With --identity: the other end's public identity.")] = None,
    listen: Annotated[
        str | None, typer.Option(help="HOST:PORT to wait at; a port alone means the loopback address.")
    ] = None,
    connect: Annotated[str | None, typer.Option(help="HOST:PORT at which the other end listens.")] = None,
    blocks: Annotated[int | None, typer.Option(min=1, help="End after so many key blocks.", show_default=False)] = None,
    duration: Annotated[str | None, typer.Option(help="End after this time, such as 90s or 1h.")] = None,
    keys: Annotated[
        str, typer.Option(help="Without a KME, keys are destroyed: count them, or compare digests first.")
    ] = "count",
    kme_socket: Annotated[
        list[Path] | None,
        typer.Option(
            help="Hand keys to the KME at this Unix socket (Kq-1); once for each instance that it has.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run one end of one link against the other end, here or on another machine."""
    from qanat.cli.module import module as run

    raise typer.Exit(
        run(
            file,
            role=role,
            link=link_name,
            connect=connect,
            listen=listen,
            light=light,
            secret=secret,
            identity=identity_file,
            peer=peer,
            keys=keys,
            kme_socket=kme_socket or [],
            blocks=blocks,
            duration=duration,
            as_json=as_json,
        )
    )


@app.command()
def secret(
    files: Annotated[list[Path], typer.Argument(help="Files to write, the same secret in each.")],
    light: Annotated[
        bool, typer.Option("--light", help="A key for sim:// light instead; it protects nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make the pre-shared secret of a link, to be carried to both ends."""
    from qanat.cli.module import secret as run

    raise typer.Exit(run(files, is_light=light, as_json=as_json))


@identity.command("new")
def identity_new(
    file: Annotated[Path, typer.Argument(help="Private identity to write; the public one gets .pub after it.")],
    as_json: Json = False,
) -> None:
    """Make the identity of one end: a private file that stays, a public one for the other end."""
    from qanat.cli.module import identity_new as run

    raise typer.Exit(run(file, as_json=as_json))


@identity.command("show")
def identity_show(
    file: Annotated[Path, typer.Argument(help="Either file of an identity.")], as_json: Json = False
) -> None:
    """Print an identity's fingerprint, to compare at both ends."""
    from qanat.cli.module import identity_show as run

    raise typer.Exit(run(file, as_json=as_json))


@app.command()
def record(
    link_name: Annotated[str, typer.Option("--link", help="The link in the network file.")],
    out: Annotated[Path, typer.Option(help="Folder for tx.qlight, rx.qlight and rx-tags.qlight.")],
    file: NetworkFile = None,
    blocks: Annotated[int, typer.Option(min=1, help="Pulse blocks to record.")] = 20,
    seed: Annotated[int, typer.Option(help="Same seed, same files.")] = 1,
    drift_ppm: Annotated[float, typer.Option(help="How much the time tagger's clock is slow.")] = 2.0,
    dense: Annotated[
        bool, typer.Option("--dense", help="Record the settings of all slots, not of clicks only.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Record simulated light of one link, pulse by pulse, into files that `qanat module` can replay."""
    from qanat.cli.module import record as run

    raise typer.Exit(
        run(
            file,
            link=link_name,
            folder=out,
            blocks=blocks,
            seed=seed,
            drift_ppm=drift_ppm,
            is_dense=dense,
            as_json=as_json,
        )
    )
