"""What an operator does to one KME."""

from __future__ import annotations

from pathlib import Path

from qanat.cli.place import running_state
from qanat.cli.show import as_json_text
from qanat.core.errors import MisuseError
from qanat.core.ids import SiteId


def recover(state: Path | None, site: str, *, is_discarding: bool, as_json: bool) -> int:
    from qanat.node.store.recover import recover as recovered  # noqa: PLC0415

    if not is_discarding:
        raise MisuseError(
            f"recovering the KME of {site} destroys every key in its store that was not delivered yet. "
            "Say that you want this with --discard-keys."
        )
    size_bits = recovered(running_state(state), SiteId(site))
    if as_json:
        as_json_text({"site": site, "discarded_bits": size_bits})
    else:
        print(
            f"{size_bits} bits of key at {site} are destroyed. The next start tells the other KMEs, and new keys "
            "come from the links."
        )
    return 0
