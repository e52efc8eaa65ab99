"""`qanat audit verify|show`: is what a KME wrote down whole, and what does it say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from qanat.cli.place import running_state
from qanat.cli.show import as_json_text
from qanat.core.errors import MisuseError
from qanat.core.ids import SiteId


def _names(state: Path | None, site: str | None) -> list[SiteId]:
    """A site's name stands for all instances of its KME."""
    from qanat.node.audit.place import audited_sites  # noqa: PLC0415
    from qanat.node.instance import site_of  # noqa: PLC0415

    names = audited_sites(running_state(state))
    found = [name for name in names if site in (None, name, site_of(name))]
    if not found:
        raise MisuseError(f"there is no audit of site {site}; there is one of {', '.join(names)}")
    return found


def _folders(texts: Sequence[str]) -> dict[SiteId, Path]:
    found = {}
    for text in texts:
        name, _, folder = text.partition("=")
        if not name or not folder or not Path(folder).is_dir():
            raise MisuseError(f"--chain is NAME=FOLDER, the folder of another instance's audit, not {text!r}")
        found[SiteId(name)] = Path(folder)
    return found


def _anchors(texts: list[str]) -> dict[SiteId, list[tuple[int, str]]]:
    found: dict[SiteId, list[tuple[int, str]]] = {}
    for text in texts:
        site, _, rest = text.partition(":")
        count, _, head = rest.partition(":")
        if not count.isdecimal() or len(head) != 64:
            raise MisuseError(f"--anchor is SITE:ENTRIES:HASH as `qanat audit verify` prints them, not {text!r}")
        found.setdefault(SiteId(site), []).append((int(count), head))
    return found


def verify(
    state: Path | None, site: str | None, anchors: list[str], as_json: bool, *, chains: Sequence[str] = ()
) -> int:
    """Exit code 0 when every audit is whole, else 1."""
    from qanat.node.audit.whole import verdicts_of  # noqa: PLC0415

    place, wanted, elsewhere = running_state(state), _anchors(anchors), _folders(chains)
    names = [] if elsewhere and not (place.path / "nodes").is_dir() else _names(state, site)
    verdicts = verdicts_of(place, names, elsewhere=elsewhere, anchors=wanted)
    is_whole = all(verdict.is_whole for verdict in verdicts)
    if as_json:
        as_json_text([{name: getattr(v, name) for name in v.__struct_fields__} for v in verdicts])
        return 0 if is_whole else 1
    for verdict in verdicts:
        print(
            f"{verdict.kme}: {'whole' if verdict.is_whole else 'NOT WHOLE'}, {verdict.entries} entries in "
            f"{verdict.files} files, {verdict.checkpoints} signatures by {verdict.signed_by[:16]}, "
            f"{verdict.unsigned_entries} entries not signed yet"
        )
        print(f"    anchor {verdict.kme.removeprefix('kme-')}:{verdict.entries}:{verdict.head}")
        for text in verdict.problems + verdict.notes:
            print(f"    {text}")
    return 0 if is_whole else 1


def show(state: Path | None, site: str | None, since: str | None, kind: str | None, as_json: bool) -> int:
    """Exit code 1 when nothing fits."""
    from qanat.node.audit.entry import Entry, entry_of  # noqa: PLC0415
    from qanat.node.audit.files import files_in, lines_of  # noqa: PLC0415
    from qanat.node.audit.place import audit_folder  # noqa: PLC0415

    place, since_ns = running_state(state), _since_ns(since)
    found: list[tuple[SiteId, Entry]] = []
    for name in _names(state, site):
        for line in lines_of(files_in(audit_folder(place, name))):
            entry = entry_of(line)
            if entry.at_ns >= since_ns and kind in (None, entry.kind):
                found.append((name, entry))
    found.sort(key=lambda item: item[1].at_ns)
    if as_json:
        as_json_text([{"site": s, "n": e.n, "at_ns": e.at_ns, "kind": e.kind, "facts": e.facts} for s, e in found])
    else:
        for name, entry in found:
            at = datetime.fromtimestamp(entry.at_ns / 1e9).astimezone().isoformat(timespec="milliseconds")
            facts = " ".join(f"{field}={value}" for field, value in entry.facts.items() if field != "signature")
            print(f"{at} {name} {entry.n} {entry.kind} {facts}")
    return 0 if found else 1


def _since_ns(text: str | None) -> int:
    if text is None:
        return 0
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1e9)
    except ValueError:
        raise MisuseError(f"--since is a time such as 2026-01-31T08:00, not {text!r}") from None
