"""Commands for a whole network: check it, run it live or in virtual time, look at it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qanat.cli.afar import from_afar
from qanat.cli.app import Json, NetworkFile, State, app


@app.command()
def demo(
    file: NetworkFile = None,
    exit_: Annotated[bool, typer.Option("--exit", help="Stop at the end instead of keeping the network up.")] = False,
    as_json: Json = False,
    state: State = None,
) -> None:
    """Watch the whole line once: keys from light, applications served, Eve noticed, faults survived.

    It begins with empty stores, in a state directory of its own, unless you name one.
    """
    from qanat.cli.demo import demo as run

    raise typer.Exit(run(file, state=state, is_ending=exit_, as_json=as_json))


@app.command()
def up(
    file: NetworkFile = None,
    state: State = None,
    isolate: Annotated[bool, typer.Option("--isolate", help="One process per site's KME.")] = False,
    as_json: Json = False,
) -> None:
    """Run a network live on this machine until Ctrl-C."""
    from qanat.cli.up import up as run

    raise typer.Exit(run(file, state=state, is_isolated=isolate, as_json=as_json))


@app.command()
@from_afar("kme")
def status(as_json: Json = False, state: State = None) -> None:
    """How the running network is: links, pairs, totals."""
    from qanat.cli import live

    raise typer.Exit(live.status(state, as_json))


@app.command()
@from_afar("kme")
def alarms(as_json: Json = False, state: State = None) -> None:
    """Alarms and their evidence, newest first. Exit code 1 when one is open."""
    from qanat.cli import live

    raise typer.Exit(live.alarms(state, as_json))


@app.command()
def doctor(as_json: Json = False, state: State = None) -> None:
    """Look for the usual causes of trouble on this machine."""
    from qanat.cli.doctor import doctor as run

    raise typer.Exit(run(state, as_json))


@app.command()
def check(file: Annotated[Path, typer.Argument(help="Network file.")], as_json: Json = False) -> None:
    """Check a network file: all errors at once, each with its place."""
    from qanat.cli.check import check as run

    raise typer.Exit(run(file, as_json))


@app.command()
def sim(
    file: NetworkFile = None,
    duration: Annotated[str, typer.Option(help="Virtual time, such as 90s, 10min or 1h.")] = "1h",
    seed: Annotated[int, typer.Option(help="Same seed, same run, same digest.")] = 1,
    faults: Annotated[str, typer.Option(help="What goes wrong and when; see the reference, or `random`.")] = "",
    trace: Annotated[Path | None, typer.Option(help="Write the trace to this file.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Run the same engines in virtual time, with faults, and check the seven invariants after each step."""
    from qanat.cli.place import network_path
    from qanat.cli.sim import sim as run

    raise typer.Exit(run(network_path(file), duration=duration, seed=seed, faults=faults, trace=trace, as_json=as_json))


@app.command()
def schema(
    what: Annotated[str, typer.Argument(help="Which schema: network, link-report or block-report.")] = "network",
) -> None:
    """Print a JSON schema, for editors and other programs."""
    from qanat.cli.schema import schema as run

    raise typer.Exit(run(what))
