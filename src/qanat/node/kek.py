"""The key that encrypts a site's store (key encryption key), as a file beside it.

It is drawn by the operating system and lies next to what it encrypts: that guards a store that is copied or
backed up alone, not this machine. Its label says so.
"""

from __future__ import annotations

import os
from pathlib import Path

from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import SiteId
from qanat.core.secret import SecretBits
from qanat.node.privatefile import create_private
from qanat.node.statedir import StateDir

KEK_BYTES = 32
KEK_LABEL = "development"


def provide_kek(state: StateDir, site: SiteId) -> None:
    """Draw the site's key at its first start.

    Raises:
        EnvironmentProblem: it is damaged, or missing while there is a store that needs it.
    """
    path = state.node(site) / "kek"
    if path.exists():
        read_kek(state, site).wipe()
        return
    if state.store(site).exists():
        raise _unreadable_kek(path)
    create_private(path, f"{KEK_LABEL}\n{os.urandom(KEK_BYTES).hex()}".encode())


def read_kek(state: StateDir, site: SiteId) -> SecretBits:
    """The key that encrypts a site's store.

    Raises:
        EnvironmentProblem: it is missing or damaged.
    """
    path = state.node(site) / "kek"
    try:
        label, _, digits = path.read_text("ascii").partition("\n")
        secret = SecretBits(bytes.fromhex(digits))
    except (OSError, ValueError):
        raise _unreadable_kek(path) from None
    if label != KEK_LABEL or secret.size_bytes != KEK_BYTES:
        raise _unreadable_kek(path)
    return secret


def _unreadable_kek(path: Path) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"{path}, the key that encrypts {path.parent / 'store.db'}, is missing or damaged. Bring it back from a "
        "backup, or move both away: the keys stored at this site are then lost, and new ones are made."
    )
