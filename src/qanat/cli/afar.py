"""Commands that may ask from afar: the options for it, and where a question then goes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qanat.cli.place import running_state
from qanat.core.errors import MisuseError

if TYPE_CHECKING:
    from qanat.node.admin_afar import Afar

_chosen: ContextVar[tuple[str, str, Path, Path, Path] | None] = ContextVar("afar", default=None)
FILES = {
    "cert": ("--cert", "The caller's certificate, with --{door}."),
    "key": ("--key", "Its private key, with --{door}."),
    "ca": ("--ca", "The CA by which the door is known (ca/cert.pem), with --{door}."),
}


def from_afar(door: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options to be asked over HTTPS.

    Args:
        door: "kme" or "registrar": whose door, and the name of the option.
    """
    help_ = f"Ask over HTTPS instead, https://HOST:PORT of {'the KME' if door == 'kme' else 'the registrar'}."
    shared = [
        ("url", Annotated[str | None, typer.Option(f"--{door}", help=help_, metavar="URL", show_default=False)]),
        *(
            (name, Annotated[Path | None, typer.Option(option, help=text.format(door=door), show_default=False)])
            for name, (option, text) in FILES.items()
        ),
    ]
    added = [
        Parameter(f"afar_{name}", Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in shared
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(**given: Any) -> None:
            values = [given.pop(parameter.name) for parameter in added]
            token = _chosen.set(_checked(door, *values, state=given.get("state")))
            try:
                command(**given)
            finally:
                _chosen.reset(token)

        own = inspect.signature(command, eval_str=True)
        parameters = [*own.parameters.values(), *added]
        parameters = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in parameters]
        run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def _checked(
    door: str, url: str | None, cert: Path | None, key: Path | None, ca: Path | None, *, state: Path | None
) -> tuple[str, str, Path, Path, Path] | None:
    if url is None and cert is None and key is None and ca is None:
        return None
    if url is None or cert is None or key is None or ca is None:
        raise MisuseError(
            f"to ask from afar, give all four: --{door} https://HOST:PORT --cert FILE --key FILE --ca FILE"
        )
    if state is not None:
        raise MisuseError(f"--state is for a network on this machine, --{door} for one elsewhere: give one of them")
    return door, url, cert, key, ca


def chosen(name: str | None = None) -> Afar | None:
    """The door that the command's options name; None: the network is here.

    Args:
        name: Whose it must be.
    """
    found = _chosen.get()
    if found is None:
        return None
    from qanat.node.admin_afar import Afar  # noqa: PLC0415
    from qanat.node.pki import Credentials  # noqa: PLC0415

    door, url, cert, key, ca = found
    return Afar(url=url, files=Credentials(cert, key, ca), role=door, name=name)  # type: ignore[arg-type]


def asked(state: Path | None, verb: str, **arguments: Any) -> Any:
    """Ask the running network, here or from afar."""
    afar = chosen()
    if afar is not None:
        return afar.network(verb, arguments)
    from qanat.node.admin_client import ask  # noqa: PLC0415

    return ask(running_state(state), verb, **arguments)
