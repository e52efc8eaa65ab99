"""Putting a site's KEK under its token, from the open or from shares, while no KME uses the store."""

from __future__ import annotations

from collections.abc import Callable

from qanat.core.ids import SiteId
from qanat.core.secret import SecretBits
from qanat.node.entropy import SystemEntropy
from qanat.node.kek import KEK_LABEL, TOKEN_LABEL, KekFile, TokenKey
from qanat.node.statedir import StateDir
from qanat.node.store.opening import begin_guard, commit_seal, present_guard
from qanat.node.token.device import Token
from qanat.node.token.settings import TokenProblem, TokenSettings


def to_token(
    state: StateDir,
    site: SiteId,
    settings: TokenSettings,
    *,
    root: Callable[[], SecretBits | None],
    pin: Callable[[], SecretBits | None],
) -> TokenKey:
    """Make a key on the token, and put a new KEK under it. Killed at any moment, old or new guard opens the store.

    Args:
        root: Asks for the root key of the present guard, if it has one.
        pin: Asks for the PIN; None takes it from its file.

    Raises:
        TokenProblem: the token guards it already, or refuses.
        EnvironmentProblem: a KME uses the store, or there is none yet.
    """
    label = present_guard(state, site)
    if label == TOKEN_LABEL:
        raise TokenProblem(
            f"a token guards the KEK of {site} already. For a new key on it use `qanat kme rotate {site}`; for another "
            f"token go back to shares first, `qanat kme init-seal {site}`, and then change kek.toml."
        )
    present = None if label == KEK_LABEL else root()
    typed = pin()
    made: list[TokenKey] = []

    def guarded(kek: SecretBits) -> KekFile:
        key, token_root = Token(site, settings).create(typed, SystemEntropy())
        try:
            made.append(key)
            return KekFile.of_token(key).with_kek(kek, token_root, SystemEntropy())
        finally:
            token_root.wipe()

    store, kek = begin_guard(state, site, present, guarded)
    try:
        commit_seal(state, site, store, kek)
    finally:
        store.close()
    return made[0]
