"""``qanat``: the commands, their exit codes, and what people see when something goes wrong.

Exit codes: 0 fine, 1 the answer is no, 2 misuse, 3 the environment does not allow it, 130 interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from qanat.core.errors import EnvironmentProblem, QanatError

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
State = Annotated[Path | None, typer.Option("--state", help="State directory of the network.", show_default=False)]
NetworkFile = Annotated[Path | None, typer.Argument(help="Network file; the metro network when left out.")]

app = typer.Typer(
    name="qanat",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Plan, simulate and run quantum-secured networks from one network file.",
    epilog="Exit codes: 0 fine, 1 the answer is no, 2 misuse, 3 environment, 130 interrupted.",
)
link = typer.Typer(no_args_is_help=True, help="QKD links of the running network.")
key = typer.Typer(no_args_is_help=True, help="Fetch keys as an application would, over ETSI GS QKD 014.")
attack = typer.Typer(no_args_is_help=True, help="Let Eve act on the (simulated) light of a link.")
fault = typer.Typer(no_args_is_help=True, help="Cut and mend fibres.")
identity = typer.Typer(no_args_is_help=True, help="ML-DSA identities, by which two ends know each other.")
groups = {"link": link, "key": key, "attack": attack, "fault": fault, "identity": identity}
for name, group in groups.items():
    app.add_typer(group, name=name)


def _version(is_asked: bool) -> None:
    if is_asked:
        from qanat import __version__

        typer.echo(f"qanat {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Plan, simulate and run quantum-secured networks from one network file."""


@app.command()
def demo(
    file: NetworkFile = None,
    exit_: Annotated[bool, typer.Option("--exit", help="Stop at the end instead of keeping the network up.")] = False,
    as_json: Json = False,
    state: State = None,
) -> None:
    """Watch the whole line once: keys from light, applications served, Eve noticed, faults survived."""
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
def status(as_json: Json = False, state: State = None) -> None:
    """How the running network is: links, pairs, totals."""
    from qanat.cli import live

    raise typer.Exit(live.status(state, as_json))


@app.command()
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
def random(
    file: Annotated[Path, typer.Argument(help="File of raw bits, eight a byte; the first million are judged.")],
    as_json: Json = False,
) -> None:
    """Look for crude faults in a file of random bits: the tests of NIST SP 800-22, exit code 1 when one fails, and the
    min-entropy estimators of SP 800-90B. Passing proves nothing."""
    from qanat.cli.random import random as run

    raise typer.Exit(run(file, as_json))


@app.command()
def schema(
    what: Annotated[str, typer.Argument(help="Which schema: network, link-report or block-report.")] = "network",
) -> None:
    """Print a JSON schema, for editors and other programs."""
    from qanat.cli.schema import schema as run

    raise typer.Exit(run(what))


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
def module(
    role: Annotated[str, typer.Option(help="This end: tx (transmitter) or rx (receiver).")],
    link_name: Annotated[str, typer.Option("--link", help="The link in the network file.")],
    light: Annotated[str, typer.Option(help="Where this end's light comes from: sim://, replay:// or timetags://.")],
    file: NetworkFile = None,
    secret: Annotated[
        Path | None, typer.Option(help="This end's copy of the pre-shared secret (see qanat secret).")
    ] = None,
    identity_file: Annotated[
        Path | None,
        typer.Option("--identity", help="Instead: this end's private ML-DSA identity (see qanat identity)."),
    ] = None,
    peer: Annotated[Path | None, typer.Option(help="With --identity: the other end's public identity.")] = None,
    listen: Annotated[
        str | None, typer.Option(help="HOST:PORT to wait at; a port alone means the loopback address.")
    ] = None,
    connect: Annotated[str | None, typer.Option(help="HOST:PORT at which the other end listens.")] = None,
    blocks: Annotated[int | None, typer.Option(min=1, help="End after so many key blocks.", show_default=False)] = None,
    duration: Annotated[str | None, typer.Option(help="End after this time, such as 90s or 1h.")] = None,
    keys: Annotated[
        str, typer.Option(help="Without a KME, keys are destroyed: count them, or compare digests first.")
    ] = "count",
    kme_socket: Annotated[Path | None, typer.Option(help="Hand keys to the KME at this Unix socket (Kq-1).")] = None,
    as_json: Json = False,
) -> None:
    """Run one end of one link against the other end, here or on another machine."""
    from qanat.cli.module import module as run

    raise typer.Exit(
        run(
            file,
            role=role,
            link=link_name,
            connect=connect,
            listen=listen,
            light=light,
            secret=secret,
            identity=identity_file,
            peer=peer,
            keys=keys,
            kme_socket=kme_socket,
            blocks=blocks,
            duration=duration,
            as_json=as_json,
        )
    )


@app.command()
def secret(
    files: Annotated[list[Path], typer.Argument(help="Files to write, the same secret in each.")],
    light: Annotated[
        bool, typer.Option("--light", help="A key for sim:// light instead; it protects nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make the pre-shared secret of a link, to be carried to both ends."""
    from qanat.cli.module import secret as run

    raise typer.Exit(run(files, is_light=light, as_json=as_json))


@identity.command("new")
def identity_new(
    file: Annotated[Path, typer.Argument(help="Private identity to write; the public one gets .pub after it.")],
    as_json: Json = False,
) -> None:
    """Make the identity of one end: a private file that stays, a public one for the other end."""
    from qanat.cli.module import identity_new as run

    raise typer.Exit(run(file, as_json=as_json))


@identity.command("show")
def identity_show(
    file: Annotated[Path, typer.Argument(help="Either file of an identity.")], as_json: Json = False
) -> None:
    """Print an identity's fingerprint, to compare at both ends."""
    from qanat.cli.module import identity_show as run

    raise typer.Exit(run(file, as_json=as_json))


@app.command()
def record(
    link_name: Annotated[str, typer.Option("--link", help="The link in the network file.")],
    out: Annotated[Path, typer.Option(help="Folder for tx.qlight, rx.qlight and rx-tags.qlight.")],
    file: NetworkFile = None,
    blocks: Annotated[int, typer.Option(min=1, help="Pulse blocks to record.")] = 20,
    seed: Annotated[int, typer.Option(help="Same seed, same files.")] = 1,
    drift_ppm: Annotated[float, typer.Option(help="How much the time tagger's clock is slow.")] = 2.0,
    dense: Annotated[
        bool, typer.Option("--dense", help="Record the settings of all slots, not of clicks only.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Record simulated light of one link, pulse by pulse, into files that `qanat module` can replay."""
    from qanat.cli.module import record as run

    raise typer.Exit(
        run(
            file,
            link=link_name,
            folder=out,
            blocks=blocks,
            seed=seed,
            drift_ppm=drift_ppm,
            is_dense=dense,
            as_json=as_json,
        )
    )


@link.command("list")
def link_list(as_json: Json = False, state: State = None) -> None:
    """All links: state, QBER, rates, buffers."""
    from qanat.cli import live

    raise typer.Exit(live.link_list(state, as_json))


@link.command("show")
def link_show(
    name: str,
    block: Annotated[
        str | None,
        typer.Option(help="Derive the length of one key block: its number, its id, or `last`.", show_default=False),
    ] = None,
    as_json: Json = False,
    state: State = None,
) -> None:
    """One link, and how its last key blocks came about."""
    from qanat.cli import live

    if block is None:
        raise typer.Exit(live.link_show(state, name, as_json))
    raise typer.Exit(live.link_block(state, name, block, as_json))


@key.command("get")
def key_get(
    sae: Annotated[str, typer.Argument(help="Who asks (the master SAE).")],
    peer: Annotated[str, typer.Argument(help="Who shall fetch the same keys (the slave SAE).")],
    number: Annotated[int, typer.Option(help="How many keys.")] = 1,
    size: Annotated[int | None, typer.Option(help="Bits per key.", show_default=False)] = None,
    as_json: Json = False,
    reveal: Annotated[bool, typer.Option("--reveal", help="Print the keys themselves.")] = False,
    state: State = None,
) -> None:
    """Get new keys as the master SAE; prints key IDs, provenance and digests."""
    from qanat.cli import keys

    raise typer.Exit(keys.get(state, sae, peer, number=number, size_bits=size, as_json=as_json, is_revealing=reveal))


@key.command("take")
def key_take(
    sae: Annotated[str, typer.Argument(help="Who asks (the slave SAE).")],
    peer: Annotated[str, typer.Argument(help="Who got the keys first (the master SAE).")],
    key_ids: Annotated[list[str], typer.Argument(help="Key IDs.")],
    as_json: Json = False,
    reveal: Annotated[bool, typer.Option("--reveal", help="Print the keys themselves.")] = False,
    state: State = None,
) -> None:
    """Take keys by their IDs as the slave SAE."""
    from qanat.cli import keys

    raise typer.Exit(keys.take(state, sae, peer, key_ids, as_json=as_json, is_revealing=reveal))


@attack.command("list")
def attack_list(as_json: Json = False) -> None:
    """All attacks: what each takes, with defaults and units, and what it moves."""
    from qanat.cli import attacks

    raise typer.Exit(attacks.show(as_json))


@attack.command("start")
def attack_start(
    link_name: Annotated[str, typer.Argument(metavar="LINK")],
    kind: Annotated[str, typer.Argument(metavar="ATTACK", help="Its name; `qanat attack list` shows all.")],
    pairs: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE, as often as needed.", metavar="NAME=VALUE")
    ] = None,
    fraction: Annotated[float | None, typer.Option(help="Of the pulses (intercept-resend).")] = None,
    transmittance: Annotated[float | None, typer.Option(help="Of the light that goes on (tap).")] = None,
    rate_hz: Annotated[float | None, typer.Option(help="Photons per second (jamming).")] = None,
    as_json: Json = False,
    state: State = None,
) -> None:
    """Eve begins. Attacks of different names add up; the same name again replaces what it was."""
    from qanat.cli import attacks

    options = {"fraction": fraction, "transmittance": transmittance, "rate_hz": rate_hz}
    raise typer.Exit(attacks.start(state, as_json, link_name, kind, options, pairs or ()))


@attack.command("stop")
def attack_stop(
    link_name: Annotated[str, typer.Argument(metavar="LINK")],
    kind: Annotated[
        str | None, typer.Argument(metavar="ATTACK", help="Only this one; all of them when left out.")
    ] = None,
    as_json: Json = False,
    state: State = None,
) -> None:
    """Eve leaves."""
    from qanat.cli import attacks

    raise typer.Exit(attacks.stop(state, as_json, link_name, kind))


@fault.command("cut")
def fault_cut(fibre: str, as_json: Json = False, state: State = None) -> None:
    """Cut a fibre."""
    from qanat.cli import live

    raise typer.Exit(live.change(state, as_json, "cut", fibre=fibre))


@fault.command("mend")
def fault_mend(fibre: str, as_json: Json = False, state: State = None) -> None:
    """Mend it."""
    from qanat.cli import live

    raise typer.Exit(live.change(state, as_json, "mend", fibre=fibre))


def main() -> None:
    """The console script: one clear message for people, never a traceback for what can be expected."""
    try:
        app(standalone_mode=True)
    except QanatError as error:
        _end(str(error), error.exit_code)
    except KeyboardInterrupt:
        _end("interrupted", 130)
    except SystemExit as end:
        if end.code == 130:  # how typer passes Ctrl-C on, without a word
            _end("interrupted", 130)
        raise
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:  # a full disk, a file that may not be touched: not our bug, so no traceback
        _end(f"{error}; `qanat doctor` looks at the usual causes", EnvironmentProblem.exit_code)


def _end(text: str, code: int) -> NoReturn:
    typer.echo(f"qanat: {text}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
