"""Commands that use keys: seal and open."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qanat.cli.app import State, app


@app.command("seal")
def seal(
    file: Annotated[Path, typer.Argument(help="The file to seal; it stays as it is.")],
    to: Annotated[str, typer.Option(help="The SAE that shall open it.")],
    sae: Annotated[str, typer.Option("--as", help="The SAE that seals it.")],
    out: Annotated[Path | None, typer.Option(help="Instead of FILE.sealed.", show_default=False)] = None,
    one_time_pad: Annotated[
        bool, typer.Option("--one-time-pad", help="As many key bits as the file has; no cipher is trusted.")
    ] = False,
    state: State = None,
) -> None:
    """Seal a file for another application, with a fresh key from the KME."""
    from qanat.cli import seal as command

    raise typer.Exit(command.seal(state, file, sae=sae, to=to, out=out, is_pad=one_time_pad))


@app.command("open")
def open_(
    file: Annotated[Path, typer.Argument(help="The sealed file.")],
    sae: Annotated[str, typer.Option("--as", help="The SAE it was sealed for.")],
    out: Annotated[Path | None, typer.Option(help="Instead of FILE without .sealed.", show_default=False)] = None,
    state: State = None,
) -> None:
    """Open a sealed file. Its key is given once, so it opens once."""
    from qanat.cli import seal as command

    raise typer.Exit(command.open_(state, file, sae=sae, out=out))
