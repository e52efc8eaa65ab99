"""Commands for applications' certificates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qanat.cli.afar import from_afar
from qanat.cli.app import Json, State, sae

Days = Annotated[int, typer.Option(help="How long it is good.")]
Out = Annotated[
    Path | None, typer.Option(help="Folder for it; the state directory's own if left out.", show_default=False)
]
Kmes = Annotated[
    list[str] | None,
    typer.Option(
        "--kme",
        help="Where it reaches its KME, https://HOST:PORT, for its profile; again for each that stands by.",
        metavar="URL",
        show_default=False,
    ),
]


@sae.command("list")
@from_afar("registrar")
def sae_list(as_json: Json = False, state: State = None) -> None:
    """All certificates of applications that have not ended."""
    from qanat.cli import sae as work

    raise typer.Exit(work.show(state, as_json=as_json))


@sae.command("enroll")
@from_afar("registrar")
def sae_enroll(
    name: str,
    days: Days = 30,
    out: Out = None,
    csr: Annotated[
        Path | None, typer.Option(help="Sign this request (PEM); its key stays where it is.", show_default=False)
    ] = None,
    kme: Kmes = None,
    as_json: Json = False,
    state: State = None,
) -> None:
    """Give an application of the network file a certificate, and a profile to ask its KME with."""
    from qanat.cli import sae as work

    raise typer.Exit(work.enroll(state, name, days=days, out=out, csr=csr, kmes=kme or (), as_json=as_json))


@sae.command("renew")
@from_afar("registrar")
def sae_renew(
    name: str, days: Days = 30, out: Out = None, kme: Kmes = None, as_json: Json = False, state: State = None
) -> None:
    """A new key and certificate; the old one ends by itself.

    With --registrar and an application's own --cert and --key it renews itself: both files are replaced, and the old
    certificate ends within a day."""
    from qanat.cli import sae as work

    raise typer.Exit(work.renew(state, name, days=days, out=out, kmes=kme or (), as_json=as_json))


@sae.command("revoke")
@from_afar("registrar")
def sae_revoke(name: str, as_json: Json = False, state: State = None) -> None:
    """Make all certificates of an application worthless within a second."""
    from qanat.cli import sae as work

    raise typer.Exit(work.revoke(state, name, as_json=as_json))
