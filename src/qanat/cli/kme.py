"""What an operator does to one KME."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from qanat.cli.afar import asked, chosen
from qanat.cli.kme_status import print_tls
from qanat.cli.place import running_state
from qanat.cli.show import as_json_text
from qanat.core.errors import MisuseError
from qanat.core.ids import SiteId

if TYPE_CHECKING:
    from qanat.node.processes.seal_door import SealReply, SealRequest


def recover(state: Path | None, site: str, *, is_discarding: bool, as_json: bool) -> int:
    from qanat.node.kek import kek_path  # noqa: PLC0415
    from qanat.node.sealing import Sealing  # noqa: PLC0415
    from qanat.node.store.recover import recover as recovered  # noqa: PLC0415

    if not is_discarding:
        raise MisuseError(
            f"recovering the KME of {site} destroys every key in its store that was not delivered yet. "
            "Say that you want this with --discard-keys."
        )
    place = running_state(state)
    root = None
    if kek_path(place, SiteId(site)).exists():
        sealing = Sealing(SiteId(site), kek_path(place, SiteId(site)))
        while sealing.is_sealed:
            sealing.add(_share())
        root = sealing.root
    size_bits = recovered(place, SiteId(site), root)
    if as_json:
        as_json_text({"site": site, "discarded_bits": size_bits})
    else:
        print(
            f"{size_bits} bits of key at {site} are destroyed. The next start tells the other KMEs, and new keys "
            "come from the links."
        )
    return 0


def init_seal(state: Path | None, site: str, *, shares: int, threshold: int) -> int:
    """Prints the shares: this is the one moment at which they exist outside of their holders."""
    from qanat.node.store.opening import commit_seal  # noqa: PLC0415
    from qanat.node.store.opening import init_seal as prepared  # noqa: PLC0415

    place = running_state(state)
    store, kek, made = prepared(place, SiteId(site), shares=shares, threshold=threshold)
    try:
        print(f"Shares of {site}; any {threshold} of them unseal it. They are shown once: give each to another person.")
        for share in made:
            print(share.reveal(), flush=True)  # to the people who will hold them
            share.value.wipe()
        commit_seal(place, SiteId(site), store, kek)
    finally:
        store.close()
    print(f"From now on the KME of {site} starts sealed; give shares with `qanat kme unseal {site}`.")
    return 0


def status(state: Path | None, site: str, *, as_json: bool) -> int:
    """At its own machine the seal's socket and the hub say it, from afar the KME's door."""
    from qanat.node.processes.seal_door import SealRequest  # noqa: PLC0415

    afar = chosen(site)
    if afar is not None:
        found = afar.get("/admin/v1/kme")
    else:
        if not running_state(state).node(SiteId(site)).exists():
            raise MisuseError(f"no KME of site {site} runs here; `qanat kme list` shows them")
        reply = _asked(state, site, SealRequest("state"))
        kmes = asked(state, "snapshot")["kmes"]
        report = next((kme for kme in kmes if kme["site"] == site), None)
        found = {"site": site, "is_sealed": reply.is_sealed, "missing": reply.missing, "guard": reply.label}
        found |= {"audit": report.pop("audit", None) if report else None, "report": report}
    if as_json:
        as_json_text(found)
    elif found["is_sealed"]:
        print(f"the KME of {site} is sealed: {found['missing']} shares are missing")
    else:
        print(f"the KME of {site} is open, its key guarded by {found['guard']}")
        for pair in (found["report"] or {}).get("pairs", ()):
            print(f"    {pair['stored_keys']} keys stored for {pair['peer']}")
        if (found["report"] or {}).get("tls"):
            print_tls({site: found["report"]["tls"]})
    return 1 if found["is_sealed"] else 0


def unseal(state: Path | None, site: str) -> int:
    """One share, typed unseen or piped in; never an argument, which every user of the machine could read."""
    from qanat.node.processes.seal_door import SealRequest  # noqa: PLC0415

    reply = _asked(state, site, SealRequest("unseal", _share()))
    print(f"{reply.missing} shares are still missing" if reply.is_sealed else f"the KME of {site} is unsealed")
    return 0


def rotate(state: Path | None, site: str, *, as_json: bool) -> int:
    from qanat.node.processes.seal_door import SealRequest  # noqa: PLC0415

    reply = _asked(state, site, SealRequest("rotate"))
    if as_json:
        as_json_text({"site": site, "rewrapped": reply.rewrapped, "guard": reply.label})
    else:
        print(f"{reply.rewrapped} data keys of {site} are under a new key encryption key, guarded by {reply.label}")
    return 0


def _asked(state: Path | None, site: str, request: SealRequest) -> SealReply:
    """At its socket, or from afar: then only of the KME that proves to be this site's."""
    afar = chosen(site)
    if afar is None:
        from qanat.node.seal_client import ask_kme  # noqa: PLC0415

        return ask_kme(running_state(state), SiteId(site), request)
    import msgspec  # noqa: PLC0415

    from qanat.node.processes.seal_door import SealReply  # noqa: PLC0415

    body = {"share": request.share} if request.verb == "unseal" else {}
    return msgspec.convert(afar.post(f"/admin/v1/kme/{request.verb}", body), SealReply)


def _share() -> str:
    """One share, typed unseen or piped in.

    Raises:
        MisuseError: there is none.
    """
    share = (getpass.getpass("share: ") if sys.stdin.isatty() else sys.stdin.readline()).strip()
    if not share:
        raise MisuseError("no share was given. Type one, or pipe one line per share into this command.")
    return share
