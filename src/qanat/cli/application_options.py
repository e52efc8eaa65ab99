"""The options by which a command learns for which application it acts, hung onto a command by one decorator."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any

import typer

from qanat.cli.app import State
from qanat.cli.application import Told

OPTIONS: dict[str, tuple[Any, Any]] = {
    "profile": (
        Annotated[
            Path | None,
            typer.Option(help="The application's profile, application.toml. Or QANAT_PROFILE.", show_default=False),
        ],
        None,
    ),
    "kmes": (
        Annotated[
            list[str] | None,
            typer.Option(
                "--kme",
                help="https://HOST:PORT of the KME; again for each that stands by. Or QANAT_KME.",
                show_default=False,
                metavar="URL",
            ),
        ],
        None,
    ),
    "certfile": (
        Annotated[
            Path | None,
            typer.Option("--cert", help="The application's certificate. Or QANAT_CERTFILE.", show_default=False),
        ],
        None,
    ),
    "keyfile": (
        Annotated[
            Path | None,
            typer.Option("--key", help="Its private key, mode 0600. Or QANAT_KEYFILE.", show_default=False),
        ],
        None,
    ),
    "cafile": (
        Annotated[
            Path | None,
            typer.Option("--ca", help="The CA by which the KME is known. Or QANAT_CAFILE.", show_default=False),
        ],
        None,
    ),
    "state": (State, None),
}


def asks_a_kme(command: Callable[..., None]) -> Callable[..., None]:
    """Replaces a command's parameter ``told`` by the options that it stands for."""

    @wraps(command)
    def run(**given: Any) -> None:
        said = {name: given.pop(name) for name in OPTIONS}
        command(**given, told=Told(**said | {"kmes": tuple(said["kmes"] or ())}))

    own = inspect.signature(command, eval_str=True)
    kept = [parameter for name, parameter in own.parameters.items() if name != "told"]
    assert len(kept) == len(own.parameters) - 1
    shared = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in OPTIONS.items()
    ]
    run.__signature__ = own.replace(parameters=[*kept, *shared])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*kept, *shared)}
    return run
