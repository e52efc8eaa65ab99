"""Commands for one KME's store."""

from __future__ import annotations

from typing import Annotated

import typer

from qanat.cli.app import Json, State, kme


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


@kme.command("status")
def kme_status(site: str, as_json: Json = False, state: State = None) -> None:
    """Say who guards the store's key, and whether the KME is sealed."""
    from qanat.cli import kme as kme_work

    raise typer.Exit(kme_work.status(state, site, as_json=as_json))


@kme.command("unseal")
def kme_unseal(site: str, state: State = None) -> None:
    """Give a sealed KME one share or its token's PIN: typed, or on standard input."""
    from qanat.cli import kme as kme_work

    raise typer.Exit(kme_work.unseal(state, site))


@kme.command("rotate")
def kme_rotate(site: str, as_json: Json = False, state: State = None) -> None:
    """Change the key encryption key of a running KME."""
    from qanat.cli import kme as kme_work

    raise typer.Exit(kme_work.rotate(state, site, as_json=as_json))
