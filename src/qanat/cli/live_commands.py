"""Commands for a running network: links, keys, Eve, fibres."""

from __future__ import annotations

from typing import Annotated

import typer

from qanat.cli.afar import from_afar
from qanat.cli.app import Json, State, attack, audit, fault, key, link
from qanat.cli.application import Told
from qanat.cli.application_options import asks_a_kme


@link.command("list")
@from_afar("kme")
def link_list(as_json: Json = False, state: State = None) -> None:
    """All links: state, QBER, rates, buffers."""
    from qanat.cli import live

    raise typer.Exit(live.link_list(state, as_json))


@link.command("show")
@from_afar("kme")
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


@key.command("status")
@asks_a_kme
def key_status(
    sae: Annotated[str, typer.Argument(help="Who asks.")],
    peer: Annotated[str, typer.Argument(help="The application at the other end.")],
    told: Told,
    as_json: Json = False,
) -> None:
    """Ask the KME how many keys wait for a pair, without taking one; exit code 1 when none does."""
    from qanat.cli import keys

    raise typer.Exit(keys.status(told, sae, peer, as_json=as_json))


@key.command("get")
@asks_a_kme
def key_get(
    sae: Annotated[str, typer.Argument(help="Who asks (the master SAE).")],
    peer: Annotated[str, typer.Argument(help="Who shall fetch the same keys (the slave SAE).")],
    told: Told,
    number: Annotated[int, typer.Option(help="How many keys.")] = 1,
    size: Annotated[int | None, typer.Option(help="Bits per key.", show_default=False)] = None,
    as_json: Json = False,
    reveal: Annotated[bool, typer.Option("--reveal", help="Print the keys themselves.")] = False,
) -> None:
    """Get new keys as the master SAE; prints key IDs, provenance and digests."""
    from qanat.cli import keys

    raise typer.Exit(keys.get(told, sae, peer, number=number, size_bits=size, as_json=as_json, is_revealing=reveal))


@key.command("take")
@asks_a_kme
def key_take(
    sae: Annotated[str, typer.Argument(help="Who asks (the slave SAE).")],
    peer: Annotated[str, typer.Argument(help="Who got the keys first (the master SAE).")],
    key_ids: Annotated[list[str], typer.Argument(help="Key IDs.")],
    told: Told,
    as_json: Json = False,
    reveal: Annotated[bool, typer.Option("--reveal", help="Print the keys themselves.")] = False,
) -> None:
    """Take keys by their IDs as the slave SAE."""
    from qanat.cli import keys

    raise typer.Exit(keys.take(told, sae, peer, key_ids, as_json=as_json, is_revealing=reveal))


@attack.command("list")
def attack_list(as_json: Json = False) -> None:
    """All attacks: what each takes, with defaults and units, and what it moves."""
    from qanat.cli import attacks

    raise typer.Exit(attacks.show(as_json))


@attack.command("start")
@from_afar("kme")
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
@from_afar("kme")
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
@from_afar("kme")
def fault_cut(fibre: str, as_json: Json = False, state: State = None) -> None:
    """Cut a fibre."""
    from qanat.cli import live

    raise typer.Exit(live.change(state, as_json, "cut", fibre=fibre))


@fault.command("mend")
@from_afar("kme")
def fault_mend(fibre: str, as_json: Json = False, state: State = None) -> None:
    """Mend it."""
    from qanat.cli import live

    raise typer.Exit(live.change(state, as_json, "mend", fibre=fibre))


Site = Annotated[str | None, typer.Option(help="Only this site's KME.", show_default=False)]


@audit.command("verify")
def audit_verify(
    site: Site = None,
    anchor: Annotated[
        list[str] | None,
        typer.Option(help="SITE:ENTRIES:HASH that you wrote down earlier; must still be in it.", show_default=False),
    ] = None,
    chain: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=FOLDER: the audit of another instance, brought here, such as mitte@2=/media/audit.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
    state: State = None,
) -> None:
    """Check files, hash chain, signatures, the heads that each key store remembers, and that the chains of a site's
    instances fit together; exit code 1 when not whole."""
    from qanat.cli import audit as shown

    raise typer.Exit(shown.verify(state, site, anchor or [], as_json, chains=chain or []))


@audit.command("show")
def audit_show(
    site: Site = None,
    since: Annotated[str | None, typer.Option(help="ISO time, local if it names no zone.", show_default=False)] = None,
    kind: Annotated[str | None, typer.Option(help="Only entries of this kind.", show_default=False)] = None,
    as_json: Json = False,
    state: State = None,
) -> None:
    """Print audit entries of all sites in the order of time; exit code 1 when none fits."""
    from qanat.cli import audit as shown

    raise typer.Exit(shown.show(state, site, since, kind, as_json))
