"""Commands for one KME's store."""

from __future__ import annotations

from typing import Annotated

import typer

from qanat.cli.afar import from_afar
from qanat.cli.app import Json, State, kme


@kme.command("status")
@from_afar("kme")
def kme_status(
    site: Annotated[str | None, typer.Argument(help="One site; without it, the lines of all.")] = None,
    as_json: Json = False,
    state: State = None,
) -> None:
    """Is it sealed, what does it hold, how are its TLS connections protected? Exit code 1 when it is sealed."""
    from qanat.cli import kme as kme_work
    from qanat.cli import kme_status as kme_status_work

    if site is None:
        raise typer.Exit(kme_status_work.status(state, as_json=as_json))
    raise typer.Exit(kme_work.status(state, site, as_json=as_json))


@kme.command("recover")
def kme_recover(
    site: str,
    discard_keys: Annotated[
        bool, typer.Option("--discard-keys", help="Yes: destroy every key in it that was not delivered.")
    ] = False,
    as_json: Json = False,
    state: State = None,
) -> None:
    """Go on after an old copy of a key store was put back. The KME must not run."""
    from qanat.cli import kme as kme_work

    raise typer.Exit(kme_work.recover(state, site, is_discarding=discard_keys, as_json=as_json))


@kme.command("init-seal")
def kme_init_seal(
    site: str,
    shares: Annotated[int, typer.Option(help="How many shares to make.")] = 5,
    threshold: Annotated[int, typer.Option(help="How many of them unseal the KME.")] = 3,
    state: State = None,
) -> None:
    """Put the store's key under shares, printed once. The KME must not run."""
    from qanat.cli import kme as kme_work

    raise typer.Exit(kme_work.init_seal(state, site, shares=shares, threshold=threshold))


@kme.command("init-token")
def kme_init_token(site: str, state: State = None) -> None:
    """Put the store's key under the PKCS#11 token that kek.toml names. The KME must not run."""
    from qanat.cli import kme as kme_work

    raise typer.Exit(kme_work.init_token(state, site))


@kme.command("unseal")
@from_afar("kme")
def kme_unseal(site: str, state: State = None) -> None:
    """Give a sealed KME one share or its token's PIN: typed, or on standard input."""
    from qanat.cli import kme as kme_work

    raise typer.Exit(kme_work.unseal(state, site))


@kme.command("rotate")
@from_afar("kme")
def kme_rotate(site: str, as_json: Json = False, state: State = None) -> None:
    """Change the key encryption key of a running KME."""
    from qanat.cli import kme as kme_work

    raise typer.Exit(kme_work.rotate(state, site, as_json=as_json))
