"""The network file: TOML in, a checked ``Network`` out, or every error at once with its place.

What it is for: one door through which every network enters.
What it knows nothing about: files, datasheets' contents, photons. The caller reads the text and may
name the datasheets that exist.
Which file to read first: ``document.py`` (what may be written), then ``meaning.py`` (what must hold
between the parts). pydantic is imported only when a file is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qanat.core.errors import NetworkFileError
from qanat.core.netfile.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from qanat.core.topology import Network

__all__ = ["Problem", "network_from_toml", "problems_of", "schema"]


def network_from_toml(
    text: str,
    *,
    source: str = "network file",
    transmitters: Collection[str] | None = None,
    receivers: Collection[str] | None = None,
    misfit: Callable[[str, str, float, bool], str | None] | None = None,
) -> Network:
    """The network that a TOML text describes.

    Args:
        source: What to call the text in messages, usually the file's path.
        transmitters, receivers: Names of the datasheets that exist; None: any name goes.
        misfit: Why a transmitter and a receiver, by name, cannot work together at a clock rate, with an
            environment or without, or None.

    Raises:
        NetworkFileError: with every error in ``detail``, and as ``Problem`` in ``fields["problems"]``
            (``problems_of`` gives them typed).
    """
    from qanat.core.netfile.meaning import Known  # noqa: PLC0415 - as below
    from qanat.core.netfile.reader import read  # noqa: PLC0415 - pydantic only when a file is read

    network, problems = read(text, Known(transmitters=transmitters, receivers=receivers, misfit=misfit))
    if network is None:
        raise file_error(source, problems)
    return network


def file_error(source: str, problems: list[Problem]) -> NetworkFileError:
    count = f"{len(problems)} error" + ("s" if len(problems) != 1 else "")
    lines = "\n".join(f"  {problem}" for problem in problems)
    return NetworkFileError(f"{source} has {count}:\n{lines}", source=source, problems=tuple(problems))


def problems_of(error: NetworkFileError) -> list[Problem]:
    """The single errors of a network file."""
    return [problem for problem in error.problems if isinstance(problem, Problem)]


def schema() -> dict[str, object]:
    """JSON schema of the network file, for editors (``#:schema`` on its first line)."""
    from qanat.core.netfile.document import NetworkDocument  # noqa: PLC0415 - as above

    made = NetworkDocument.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}
