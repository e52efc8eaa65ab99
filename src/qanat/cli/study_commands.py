"""Commands for studies: what a link could give, what landmark experiments gave, whether bits look random."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qanat.cli.app import Json, app


@app.command()
def rate(
    protocols: Annotated[list[str] | None, typer.Argument(help="One protocol, or several to compare.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Name all protocols.")] = False,
    params: Annotated[bool, typer.Option("--params", help="List the protocol's parameters and defaults.")] = False,
    distance_km: Annotated[
        str | None, typer.Option(help="Fibre length: a number, some (0,50), or first:last:step.", show_default=False)
    ] = None,
    loss_db: Annotated[
        str | None, typer.Option(help="Channel loss instead, the same ways.", show_default=False)
    ] = None,
    pairs: Annotated[
        list[str] | None, typer.Option("--set", help="Any parameter, as often as needed.", metavar="NAME=VALUE")
    ] = None,
    optimise: Annotated[bool, typer.Option("--optimise", help="Choose the best of what --set leaves open.")] = False,
    finite: Annotated[
        str | None, typer.Option(help="Size of a key block: n=1e7 sifted bits, n_sent=1e12 pulses.", show_default=False)
    ] = None,
    duration: Annotated[
        str | None, typer.Option(help="Or how long one lasts, such as 60s.", show_default=False)
    ] = None,
    pass_: Annotated[
        Path | None,
        typer.Option(
            "--pass",
            help="One finite key for a satellite's pass: a CSV of duration_s and loss_db or transmittance.",
            show_default=False,
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw into this file: .svg, .pdf, .png.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Secret key rate of a protocol over a link, with every term and assumption."""
    from qanat.cli import rate as run

    if list_:
        raise typer.Exit(run.names(as_json))
    if params:
        raise typer.Exit(run.params(protocols or (), as_json))
    options = {
        "distance_km": distance_km,
        "loss_db": loss_db,
        "pairs": pairs or (),
        "is_optimised": optimise,
        "finite": finite,
        "duration": duration,
    }
    if pass_ is not None:
        from qanat.cli.rate_pass import pass_key

        raise typer.Exit(pass_key(protocols or (), pass_, options, as_json=as_json, plot=plot))
    raise typer.Exit(run.rates(protocols or (), options, as_json=as_json, plot=plot))


@app.command()
def reproduce(
    name: Annotated[
        str | None, typer.Argument(help="One demonstration, in full; all in a table when left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compute the field's landmark experiments from stated inputs and hold them against what was published. Exit code 1
    when one that claims to pass does not."""
    from qanat.cli.reproduce import reproduce as run

    raise typer.Exit(run(name, as_json))


@app.command()
def random(
    file: Annotated[Path, typer.Argument(help="File of raw bits, eight a byte; the first million are judged.")],
    as_json: Json = False,
) -> None:
    """Look for crude faults in a file of random bits: the tests of NIST SP 800-22, exit code 1 when one fails, and the
    min-entropy estimators of SP 800-90B. Passing proves nothing."""
    from qanat.cli.random import random as run

    raise typer.Exit(run(file, as_json))
