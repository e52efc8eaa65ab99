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
