"""Opening a site's store with the KEK it has, and changing that KEK so that a kill at any moment harms nothing.

A change writes ``kek.next``, re-wraps all data keys in one transaction, and renames ``kek.next`` to ``kek``.
Killed before the commit, the store opens with ``kek``; killed after it, with ``kek.next``, which then takes its
place. So one of the two files always opens the store.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import SiteId
from qanat.core.ports import Entropy
from qanat.core.secret import SecretBits
from qanat.crypto.shamir import Share
from qanat.node.entropy import SystemEntropy
from qanat.node.instance import site_of
from qanat.node.kek import KekFile, Sealed, WrongRoot, kek_path, new_kek, next_path, shared_kek, write_next
from qanat.node.statedir import StateDir
from qanat.node.store.choice import chosen_server
from qanat.node.store.sqlite import SqliteStore, WrongKek
from qanat.node.store.waiting import Waiting

if TYPE_CHECKING:
    from qanat.node.store.postgres import PostgresStore

SiteStore: TypeAlias = "SqliteStore | PostgresStore"


def open_store(
    state: StateDir,
    site: SiteId,
    *,
    root: SecretBits | None,
    entropy: Entropy,
    is_recovering: bool = False,
    patience_s: float | None = None,
    waiting: Waiting | None = None,
    on_deposed: Callable[[], None] | None = None,
) -> SiteStore:
    """The store of a site, as one instance of its KME opens it: beside another one it returns when its turn has come.

    Args:
        root: The root key, if the site's KEK is sealed.
        patience_s: How long to wait for another instance; None is for ever.
        waiting, on_deposed: As ``PostgresStore``.

    Raises:
        Sealed: the KEK needs a root key.
        EnvironmentProblem: as ``SqliteStore`` or ``PostgresStore``; or ``store.toml`` cannot be used.
    """
    path = kek_path(state, site)
    opened = partial(
        _opened,
        state,
        site,
        root=root,
        entropy=entropy,
        is_recovering=is_recovering,
        patience_s=patience_s,
        waiting=waiting,
        on_deposed=on_deposed,
    )
    try:
        store = opened(KekFile.load(path))
    except WrongKek:
        if not next_path(path).exists():
            raise
        return _opened_with_next(path, opened)
    next_path(path).unlink(missing_ok=True)  # of a change that was not committed
    return store


def _opened_with_next(path: Path, opened: Callable[[KekFile], SiteStore]) -> SiteStore:
    file = KekFile.load(next_path(path))
    try:
        store = opened(file)
    except Sealed:
        # The development KEK no longer opens the store, so the change to shares was committed.
        os.replace(next_path(path), path)
        raise
    # An instance that shares this folder may have finished its own change while we waited for our turn.
    with suppress(FileNotFoundError):
        os.replace(next_path(path), path)
    return store


def _opened(
    state: StateDir,
    site: SiteId,
    file: KekFile,
    *,
    root: SecretBits | None,
    entropy: Entropy,
    is_recovering: bool,
    patience_s: float | None,
    waiting: Waiting | None,
    on_deposed: Callable[[], None] | None,
) -> SiteStore:
    try:
        kek = file.kek(root)
    except WrongRoot:
        raise WrongKek(f"the KEK of {site} is sealed under another root key") from None
    try:
        server = chosen_server(state, site)
        if server is not None:
            from qanat.node.store.postgres import PostgresStore  # noqa: PLC0415 - the driver only where it is used

            return PostgresStore(
                server,
                site=site_of(site),
                kek=kek.reveal(),  # as below
                entropy=entropy,
                fence=state.fence(site),
                patience_s=patience_s,
                is_recovering=is_recovering,
                waiting=waiting,
                on_deposed=on_deposed,
            )
        return SqliteStore(
            state.store(site),
            kek=kek.reveal(),  # AES wants bytes; the store keeps them while it is open
            entropy=entropy,
            fence=state.fence(site),
            is_recovering=is_recovering,
        )
    finally:
        kek.wipe()


def rotate(state: StateDir, site: SiteId, store: SiteStore, root: SecretBits | None, entropy: Entropy) -> int:
    """First half of a rotation: inside an open transaction of this store. ``finish`` after its commit.

    Returns:
        Data keys re-wrapped.

    Raises:
        EnvironmentProblem: an earlier change is not finished; its ``kek.next`` may be all that opens the store.
    """
    path = kek_path(state, site)
    if next_path(path).exists():
        raise EnvironmentProblem(
            f"an earlier change of the key encryption key of {site} was not finished. Restart its KME, which finishes "
            "or forgets it, and try again."
        )
    kek = new_kek(entropy)
    try:
        write_next(path, KekFile.load(path).with_kek(kek, root, entropy))
        return store.rewrap(kek.reveal())
    finally:
        kek.wipe()


def finish(state: StateDir, site: SiteId) -> None:
    """Second half: the new KEK is the one that holds."""
    path = kek_path(state, site)
    os.replace(next_path(path), path)


def init_seal(
    state: StateDir, site: SiteId, *, shares: int, threshold: int
) -> tuple[SiteStore, SecretBits, list[Share]]:
    """Prepare the change from a KEK in the open to one under shares, on a store that no KME uses.

    The KEK is a new one: whoever copied the old file has nothing. ``commit_seal`` does it, after the shares were
    shown: a kill between leaves a store without shares rather than shares that nobody saw.

    Raises:
        MisuseError: such shares cannot be made.
        EnvironmentProblem: a KME uses the store, or it is sealed already.
    """
    path, entropy = kek_path(state, site), SystemEntropy()
    if not path.exists():
        raise EnvironmentProblem(f"site {site} has no key encryption key at {path}. Start the network once before.")
    if KekFile.load(path).is_sealed:
        raise EnvironmentProblem(f"the KME of {site} is sealed already. Unseal it with the shares that it has.")
    store = open_store(state, site, root=None, entropy=entropy, patience_s=0)  # told at once that a KME uses it
    try:
        kek = new_kek(entropy)
        file, made = shared_kek(kek, shares=shares, threshold=threshold, entropy=entropy)
        write_next(path, file)
    except BaseException:
        store.close()
        raise
    return store, kek, made


def commit_seal(state: StateDir, site: SiteId, store: SiteStore, kek: SecretBits) -> None:
    """The second half of ``init_seal``."""
    with store.transaction():
        store.rewrap(kek.reveal())
    kek.wipe()
    finish(state, site)
