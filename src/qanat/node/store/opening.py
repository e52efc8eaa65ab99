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
from qanat.node.kek import (
    SHAMIR_LABEL,
    KekFile,
    Sealed,
    WrongRoot,
    kek_path,
    new_kek,
    next_path,
    shared_kek,
    write_next,
)
from qanat.node.privatefile import sync_folder
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
    next_root: SecretBits | None = None,
    entropy: Entropy,
    is_recovering: bool = False,
    patience_s: float | None = None,
    waiting: Waiting | None = None,
    on_deposed: Callable[[], None] | None = None,
) -> SiteStore:
    """The store of a site, as one instance of its KME opens it: beside another one it returns when its turn has come.

    Args:
        root: The root key, if the site's KEK is sealed.
        next_root: That of ``kek.next``, where it has another.
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
        entropy=entropy,
        is_recovering=is_recovering,
        patience_s=patience_s,
        waiting=waiting,
        on_deposed=on_deposed,
    )
    try:
        store = opened(KekFile.load(path), root=root)
    except WrongKek:
        if not next_path(path).exists():
            raise
        return _opened_with_next(path, next_root or root, opened)
    next_path(path).unlink(missing_ok=True)  # of a change that was not committed
    return store


def _opened_with_next(path: Path, root: SecretBits | None, opened: Callable[..., SiteStore]) -> SiteStore:
    file = KekFile.load(next_path(path))
    if root is not None and file.label != KekFile.load(path).label:
        # From one guard to another, and the first one no longer opens the store: the change was committed.
        _exchange(path)
        raise Sealed(f"the change of guard is finished: {file.needs}")
    try:
        store = opened(file, root=root)
    except Sealed:
        # The development KEK no longer opens the store, so the change to shares was committed.
        os.replace(next_path(path), path)
        raise
    # An instance that shares this folder may have finished its own change while we waited for our turn.
    with suppress(FileNotFoundError):
        os.replace(next_path(path), path)
    return store


def _exchange(path: Path) -> None:
    """Both files stay, so that nothing is lost if the store is another one than it seems."""
    aside = path.with_name("kek.before")
    aside.unlink(missing_ok=True)
    os.link(path, aside)  # not renamed: at no moment is there no kek
    os.replace(next_path(path), path)
    os.replace(aside, next_path(path))


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


def check_no_change(state: StateDir, site: SiteId) -> None:
    """Raises: EnvironmentProblem: an earlier change is not finished; its ``kek.next`` may be what opens the store."""
    if next_path(kek_path(state, site)).exists():
        raise EnvironmentProblem(
            f"an earlier change of the key encryption key of {site} was not finished. Restart its KME, which finishes "
            "or forgets it, and try again."
        )


def rotate(
    state: StateDir,
    site: SiteId,
    store: SiteStore,
    root: SecretBits | None,
    entropy: Entropy,
    guard: KekFile | None = None,
) -> int:
    """First half of a rotation: inside an open transaction of this store. ``finish`` after its commit.

    Args:
        guard: Around the new KEK, ``root`` being its root key; None keeps the one there is.

    Returns:
        Data keys re-wrapped.

    Raises:
        EnvironmentProblem: as ``check_no_change``.
    """
    check_no_change(state, site)
    path = kek_path(state, site)
    kek = new_kek(entropy)
    try:
        write_next(path, (guard or KekFile.load(path)).with_kek(kek, root, entropy))
        return store.rewrap(kek.reveal())
    finally:
        kek.wipe()


def finish(state: StateDir, site: SiteId) -> None:
    """Second half: the new KEK is the one that holds."""
    path = kek_path(state, site)
    os.replace(next_path(path), path)
    sync_folder(path.parent)  # before a token forgets what opened the old file


def init_seal(
    state: StateDir, site: SiteId, *, shares: int, threshold: int, root: SecretBits | None = None
) -> tuple[SiteStore, SecretBits, list[Share]]:
    """Prepare the change to a KEK under shares, on a store that no KME uses.

    The KEK is a new one: whoever copied the old file has nothing. ``commit_seal`` does it, after the shares were
    shown: a kill between leaves a store without shares rather than shares that nobody saw.

    Args:
        root: The root key, if a token guards the KEK now.

    Raises:
        MisuseError: such shares cannot be made.
        EnvironmentProblem: a KME uses the store, or it is under shares already.
    """
    if present_guard(state, site) == SHAMIR_LABEL:
        raise EnvironmentProblem(f"the KME of {site} is sealed already. Unseal it with the shares that it has.")
    made: list[Share] = []

    def guarded(kek: SecretBits) -> KekFile:
        file, given = shared_kek(kek, shares=shares, threshold=threshold, entropy=SystemEntropy())
        made.extend(given)
        return file

    store, kek = begin_guard(state, site, root, guarded)
    return store, kek, made


def present_guard(state: StateDir, site: SiteId) -> str:
    """The label of a site's kek file. Raises: EnvironmentProblem: it has none yet, or it is damaged."""
    path = kek_path(state, site)
    if not path.exists():
        raise EnvironmentProblem(f"site {site} has no key encryption key at {path}. Start the network once before.")
    return KekFile.load(path).label


def begin_guard(
    state: StateDir, site: SiteId, root: SecretBits | None, guarded: Callable[[SecretBits], KekFile]
) -> tuple[SiteStore, SecretBits]:
    """Write ``kek.next`` with a new KEK under another guard; ``commit_seal`` does the rest.

    Args:
        root: The root key of the present guard, if it has one.
        guarded: Puts a KEK under the new guard. Called once the store is ours.

    Raises:
        EnvironmentProblem: a KME uses the store.
    """
    entropy = SystemEntropy()
    store = open_store(state, site, root=root, entropy=entropy, patience_s=0)  # told at once that a KME uses it
    try:
        kek = new_kek(entropy)
        write_next(kek_path(state, site), guarded(kek))
    except BaseException:
        store.close()
        raise
    return store, kek


def commit_seal(state: StateDir, site: SiteId, store: SiteStore, kek: SecretBits) -> None:
    """The second half of ``begin_guard``."""
    with store.transaction():
        store.rewrap(kek.reveal())
    kek.wipe()
    finish(state, site)
