"""The tree of commands and the options that many share. The commands hang themselves into it; see ``main.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
audit = typer.Typer(no_args_is_help=True, help="What the KMEs wrote down: is it whole, and what does it say.")
kme = typer.Typer(no_args_is_help=True, help="The key store of one KME.")
integrate = typer.Typer(no_args_is_help=True, help="Give delivered keys to WireGuard, strongSwan and OpenSSL.")
sae = typer.Typer(no_args_is_help=True, help="Applications' certificates: enroll, renew, revoke.")
skip = typer.Typer(no_args_is_help=True, help="Routers that fetch keys by SKIP.")
skip_psk = typer.Typer(no_args_is_help=True, help="Their pre-shared keys: add, list, remove.")
skip.add_typer(skip_psk, name="psk")
groups = {
    "link": link,
    "key": key,
    "attack": attack,
    "fault": fault,
    "identity": identity,
    "audit": audit,
    "kme": kme,
    "sae": sae,
    "skip": skip,
    "integrate": integrate,
}
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
