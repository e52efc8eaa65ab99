"""What an operator does to one KME."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from qanat.cli.place import running_state
from qanat.cli.show import as_json_text
from qanat.core.errors import MisuseError
from qanat.core.ids import SiteId
from qanat.core.secret import SecretBits

if TYPE_CHECKING:
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
    """Who guards the KEK, and whether the KME is open. Exit code 1 while it is sealed."""
    from qanat.node.kek import KekFile, kek_path  # noqa: PLC0415
    from qanat.node.processes.seal_door import SealRequest  # noqa: PLC0415
    from qanat.node.seal_client import ask_kme  # noqa: PLC0415
    from qanat.node.store.opening import present_guard  # noqa: PLC0415

    place = running_state(state)
    present_guard(place, SiteId(site))
    file = KekFile.load(kek_path(place, SiteId(site)))
    key = file.token_key
    reply = None if place.running_pid() is None else ask_kme(place, SiteId(site), SealRequest("state"))
    found = {
        "site": site,
        "guard": file.label,
        "guarded_by": file.guardian,
        "key_id": "" if key is None else key.key_id,
        "state": "not running" if reply is None else "sealed" if reply.is_sealed else "open",
        "problem": "" if reply is None else reply.problem,
    }
    if as_json:
        as_json_text(found)
    else:
        print(f"{site}: {found['state']}; the key encryption key is guarded by {file.guardian}")
        if found["problem"]:
            print(found["problem"])
    return int(reply is not None and reply.is_sealed)


def unseal(state: Path | None, site: str) -> int:
    """One share or PIN, typed unseen or piped in; never an argument, which every user of the machine could read."""
    from qanat.node.processes.seal_door import SealRequest  # noqa: PLC0415
    from qanat.node.seal_client import ask_kme  # noqa: PLC0415

    place = running_state(state)
    asks = ask_kme(place, SiteId(site), SealRequest("state")).asks
    reply = ask_kme(place, SiteId(site), SealRequest("unseal", _typed(asks) if asks else ""))
    print(f"{reply.missing} shares are still missing" if reply.is_sealed else f"the KME of {site} is unsealed")
    return 0


def rotate(state: Path | None, site: str, *, as_json: bool) -> int:
    from qanat.node.processes.seal_door import SealRequest  # noqa: PLC0415
    from qanat.node.seal_client import ask_kme  # noqa: PLC0415

    place = running_state(state)
    asks = ask_kme(place, SiteId(site), SealRequest("state")).asks
    reply = ask_kme(place, SiteId(site), SealRequest("rotate", _typed(asks) if asks == "PIN" else ""))
    if as_json:
        as_json_text({"site": site, "rewrapped": reply.rewrapped, "guard": reply.label})
    else:
        print(f"{reply.rewrapped} data keys of {site} are under a new key encryption key, guarded by {reply.label}")
    return 0


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
