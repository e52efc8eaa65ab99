"""What an operator does to one KME."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qanat.cli.afar import asked, chosen
from qanat.cli.kme_status import print_tls
from qanat.cli.place import running_state
from qanat.cli.show import as_json_text
from qanat.core.errors import MisuseError
from qanat.core.ids import SiteId
from qanat.core.secret import SecretBits

if TYPE_CHECKING:
    from qanat.node.processes.seal_door import SealReply, SealRequest
    from qanat.node.statedir import StateDir


def recover(state: Path | None, site: str, *, is_discarding: bool, as_json: bool) -> int:
    from qanat.node.kek import kek_path  # noqa: PLC0415
    from qanat.node.store.recover import recover as recovered  # noqa: PLC0415

    if not is_discarding:
        raise MisuseError(
            f"recovering the KME of {site} destroys every key in its store that was not delivered yet. "
            "Say that you want this with --discard-keys."
        )
    place = running_state(state)
    root = _root(place, SiteId(site)) if kek_path(place, SiteId(site)).exists() else None
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
    from qanat.node.kek import TOKEN_LABEL  # noqa: PLC0415
    from qanat.node.store.opening import commit_seal, present_guard  # noqa: PLC0415
    from qanat.node.store.opening import init_seal as prepared  # noqa: PLC0415

    place = running_state(state)
    guard = present_guard(place, SiteId(site))
    root = _root(place, SiteId(site)) if guard == TOKEN_LABEL else None
    store, kek, made = prepared(place, SiteId(site), shares=shares, threshold=threshold, root=root)
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


def init_token(state: Path | None, site: str) -> int:
    """Put a KEK under the token that ``kek.toml`` names. The PIN comes from its file, or is asked for."""
    from qanat.node.token.change import to_token  # noqa: PLC0415
    from qanat.node.token.settings import token_settings  # noqa: PLC0415

    place = running_state(state)
    settings = token_settings(place, SiteId(site))
    key = to_token(
        place,
        SiteId(site),
        settings,
        root=lambda: _root(place, SiteId(site)),
        pin=lambda: None if settings.pin_file is not None else SecretBits(_typed("PIN").encode()),
    )
    print(f"The key encryption key of {site} is new, and guarded by token {key.token}, serial {key.serial}.")
    print(f"Key {key.key_id} on it is all that opens the store: see that the token has a backup.")
    if settings.pin_file is None:
        print(f"From now on the KME of {site} starts sealed; type the PIN with `qanat kme unseal {site}`.")
    return 0


def status(state: Path | None, site: str, *, as_json: bool) -> int:
    """Who guards the KEK, is the KME open, what does it hold? Exit code 1 while it is sealed."""
    afar = chosen(site)
    found = _local_status(state, site) if afar is None else afar.get("/admin/v1/kme")
    if as_json:
        as_json_text(found)
    else:
        _print_status(site, found)
    return int(found["is_sealed"])


def _local_status(state: Path | None, site: str) -> dict[str, Any]:
    """By its files, by the seal's socket, and by what the hub last heard of it."""
    from qanat.node.kek import KekFile, kek_path  # noqa: PLC0415
    from qanat.node.processes.seal_door import SealReply, SealRequest  # noqa: PLC0415
    from qanat.node.store.opening import present_guard  # noqa: PLC0415

    place = running_state(state)
    if not place.node(SiteId(site)).exists():
        raise MisuseError(f"{place.path} has no KME of site {site}; `qanat kme list` shows them")
    present_guard(place, SiteId(site))
    file = KekFile.load(kek_path(place, SiteId(site)))
    is_running = place.running_pid() is not None
    reply = _asked(state, site, SealRequest("state")) if is_running else SealReply()
    kmes = asked(state, "snapshot")["kmes"] if is_running else []
    report = next((kme for kme in kmes if kme["site"] == site), None)
    return {
        "site": site,
        "state": "not running" if not is_running else "sealed" if reply.is_sealed else "open",
        "is_sealed": reply.is_sealed,
        "missing": reply.missing,
        "problem": reply.problem,
        "guard": file.label,
        "guarded_by": file.guardian,
        "key_id": "" if file.token_key is None else file.token_key.key_id,
        "audit": report.pop("audit", None) if report else None,
        "report": report,
    }


def _print_status(site: str, found: dict[str, Any]) -> None:
    state = found.get("state") or ("sealed" if found["is_sealed"] else "open")
    guard = found.get("guarded_by") or found.get("guard")
    print(f"{site}: {state}" + (f"; the key encryption key is guarded by {guard}" if guard else ""))
    if found.get("problem"):
        print(found["problem"])
    elif found["is_sealed"]:
        print(f"{found['missing']} shares are missing")
    for pair in (found["report"] or {}).get("pairs", ()):
        print(f"    {pair['stored_keys']} keys stored for {pair['peer']}")
    if (found["report"] or {}).get("tls"):
        print_tls({site: found["report"]["tls"]})


def unseal(state: Path | None, site: str) -> int:
    """One share or PIN, typed unseen or piped in; never an argument, which every user of the machine could read."""
    from qanat.node.processes.seal_door import SealRequest  # noqa: PLC0415

    asks = _asked(state, site, SealRequest("state")).asks
    reply = _asked(state, site, SealRequest("unseal", _typed(asks) if asks else ""))
    print(f"{reply.missing} shares are still missing" if reply.is_sealed else f"the KME of {site} is unsealed")
    return 0


def rotate(state: Path | None, site: str, *, as_json: bool) -> int:
    from qanat.node.processes.seal_door import SealRequest  # noqa: PLC0415

    asks = _asked(state, site, SealRequest("state")).asks
    reply = _asked(state, site, SealRequest("rotate", _typed(asks) if asks == "PIN" else ""))
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

    if request.verb == "state":
        found = afar.get("/admin/v1/kme")
        return SealReply(is_sealed=found["is_sealed"], missing=found.get("missing", 0), asks=found.get("asks", ""))
    body = {"share": request.share} if request.share else {}
    return msgspec.convert(afar.post(f"/admin/v1/kme/{request.verb}", body), SealReply)


def _root(place: StateDir, site: SiteId) -> SecretBits | None:
    """The root key of a KME that does not run, from shares or token; None where the KEK lies in the open."""
    from qanat.node.sealing import sealing_of  # noqa: PLC0415

    sealing = sealing_of(place, site)
    while sealing.is_sealed:  # a token that refuses raises: its PIN is tried once
        sealing.add(_typed(sealing.asks) if sealing.asks else "")
    return sealing.root


def _typed(what: str) -> str:
    """One share or PIN, typed unseen or piped in.

    Raises:
        MisuseError: there is none.
    """
    text = (getpass.getpass(f"{what}: ") if sys.stdin.isatty() else sys.stdin.readline()).strip("\r\n")
    if what == "share":
        text = text.strip()
    if not text:
        raise MisuseError(f"no {what} was given. Type one, or pipe it into this command: one line each.")
    return text
