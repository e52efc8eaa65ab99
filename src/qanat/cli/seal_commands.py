"""Commands that use keys: seal and open."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qanat.cli.app import app
from qanat.cli.application import Told
from qanat.cli.application_options import asks_a_kme

As = Annotated[
    str | None, typer.Option("--as", help="The application at this end; a profile says it too.", show_default=False)
]


@app.command("seal")
@asks_a_kme
def seal(
    file: Annotated[Path, typer.Argument(help="The file to seal; it stays as it is.")],
    to: Annotated[str, typer.Option(help="The SAE that shall open it.")],
    told: Told,
    sae: As = None,
    out: Annotated[Path | None, typer.Option(help="Instead of FILE.sealed.", show_default=False)] = None,
    one_time_pad: Annotated[
        bool, typer.Option("--one-time-pad", help="As many key bits as the file has; no cipher is trusted.")
    ] = False,
) -> None:
    """Seal a file for another application, with a fresh key from the KME."""
    from qanat.cli import seal as command

    raise typer.Exit(command.seal(told, file, sae=sae, to=to, out=out, is_pad=one_time_pad))


@app.command("open")
@asks_a_kme
def open_(
    file: Annotated[Path, typer.Argument(help="The sealed file.")],
    told: Told,
    sae: As = None,
    out: Annotated[Path | None, typer.Option(help="Instead of FILE without .sealed.", show_default=False)] = None,
) -> None:
    """Open a sealed file. Its key is given once, so it opens once."""
    from qanat.cli import seal as command

    raise typer.Exit(command.open_(told, file, sae=sae, out=out))
