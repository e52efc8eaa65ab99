"""`qanat kme status`: how the TLS connections of the running KMEs are protected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qanat.cli.place import running_state
from qanat.cli.show import as_json_text, table
from qanat.core.errors import MisuseError


def status(state: Path | None, site: str | None, *, as_json: bool) -> int:
    """Raises: MisuseError: no such site, or its KME has not reported yet."""
    from qanat.node.admin_client import ask  # noqa: PLC0415

    kmes = {kme["site"]: kme["tls"] for kme in ask(running_state(state), "snapshot")["kmes"]}
    if site is not None and site not in kmes:
        raise MisuseError(f"no KME of site {site} has reported; those that have: {', '.join(sorted(kmes)) or 'none'}")
    chosen = {name: kmes[name] for name in sorted(kmes) if site in (None, name)}
    if as_json:
        as_json_text(chosen)
        return 0
    _print(chosen)
    return 0


def _print(kmes: dict[str, Any]) -> None:
    lines = [
        (site, peer, line["version"], line["group"], line["certificate"])
        for site, tls in kmes.items()
        for peer, line in tls["peers"].items()
    ]
    table("Lines to other KMEs", ("site", "to", "TLS", "key exchange", "certificate"), lines)
    done = [(site, *labels, str(count)) for site, tls in kmes.items() for *labels, count in tls["done"]]
    table("\nConnections that came in", ("site", "door", "key exchange", "certificate", "count"), done)
    refused = [(site, *labels, str(count)) for site, tls in kmes.items() for *labels, count in tls["refused"]]
    if refused:
        table("\nHandshakes refused", ("site", "door", "reason", "count"), refused)
