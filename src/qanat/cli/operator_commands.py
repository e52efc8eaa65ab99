"""Commands for operators' certificates, and for those of KMEs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qanat.cli.app import Json, State, kme, operator

Days = Annotated[int, typer.Option(help="How long it is good.")]


@operator.command("list")
def operator_list(as_json: Json = False, state: State = None) -> None:
    """All certificates of operators and of the controller that have not ended."""
    from qanat.cli import identities

    raise typer.Exit(identities.show(state, "operator", as_json=as_json))


@operator.command("enroll")
def operator_enroll(
    name: str,
    days: Days = 30,
    out: Annotated[
        Path | None, typer.Option(help="Folder for it; the state directory's own if left out.", show_default=False)
    ] = None,
    csr: Annotated[
        Path | None, typer.Option(help="Sign this request (PEM); its key stays where it is.", show_default=False)
    ] = None,
    as_json: Json = False,
    state: State = None,
) -> None:
    """Give a person a certificate for the doors for operators. The audit names them by it."""
    from qanat.cli import identities

    raise typer.Exit(identities.enroll_operator(state, name, days=days, out=out, csr=csr, as_json=as_json))


@operator.command("revoke")
def operator_revoke(name: str, as_json: Json = False, state: State = None) -> None:
    """Make all certificates of an operator worthless within a second."""
    from qanat.cli import identities

    raise typer.Exit(identities.revoke(state, "operator", name, as_json=as_json))


@kme.command("list")
def kme_list(as_json: Json = False, state: State = None) -> None:
    """All certificates of KMEs that have not ended."""
    from qanat.cli import identities

    raise typer.Exit(identities.show(state, "kme", as_json=as_json))


@kme.command("renew")
def kme_renew(
    site: str,
    days: Days = 365,
    host: Annotated[
        list[str] | None, typer.Option(help="One more name or address that it serves at.", show_default=False)
    ] = None,
    as_json: Json = False,
    state: State = None,
) -> None:
    """A new key and certificate for a KME, which it shows from its next start on."""
    from qanat.cli import identities

    raise typer.Exit(identities.renew_kme(state, site, days=days, more_hosts=host or [], as_json=as_json))


@kme.command("revoke")
def kme_revoke(site: str, as_json: Json = False, state: State = None) -> None:
    """Shut a KME out: the others close their connections with it within a second."""
    from qanat.cli import identities

    raise typer.Exit(identities.revoke(state, "kme", site, as_json=as_json))
