"""Commands for routers that fetch keys by SKIP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qanat.cli.app import Json, State, skip_psk


@skip_psk.command("add")
def skip_psk_add(
    sae: str,
    identity: Annotated[
        str | None, typer.Option(help="PSK identity; the application's name if left out.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the key there (mode 0600) instead of printing it.", show_default=False)
    ] = None,
    as_json: Json = False,
    state: State = None,
) -> None:
    """Make a pre-shared key of 256 bits for an application; printed this once."""
    from qanat.cli import skip as work

    raise typer.Exit(work.add(state, sae, identity=identity, out=out, as_json=as_json))


@skip_psk.command("list")
def skip_psk_list(as_json: Json = False, state: State = None) -> None:
    """Who has a pre-shared key; never the keys."""
    from qanat.cli import skip as work

    raise typer.Exit(work.show(state, as_json=as_json))


@skip_psk.command("remove")
def skip_psk_remove(identity: str, as_json: Json = False, state: State = None) -> None:
    """Make a pre-shared key worthless within a second; open connections are cut."""
    from qanat.cli import skip as work

    raise typer.Exit(work.remove(state, identity, as_json=as_json))
