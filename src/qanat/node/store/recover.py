"""What an operator does to a key store while no KME uses it."""

from __future__ import annotations

from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import SiteId
from qanat.km.recovery import discard_keys
from qanat.node.entropy import SystemEntropy
from qanat.node.kek import read_kek
from qanat.node.statedir import StateDir
from qanat.node.store.sqlite import SqliteStore


def recover(state: StateDir, site: SiteId) -> int:
    """Destroy every undelivered key of a site's store and raise it above its fence.

    Returns:
        Bits destroyed.

    Raises:
        EnvironmentProblem: there is no store, a KME uses it, or its KEK is missing.
    """
    path = state.store(site)
    if not path.exists():
        raise EnvironmentProblem(f"site {site} has no key store at {path}. Name a site of this state directory.")
    kek = read_kek(state, site)
    try:
        store = SqliteStore(
            path, kek=kek.reveal(), entropy=SystemEntropy(), fence=state.fence(site), is_recovering=True
        )
        try:
            return discard_keys(site, store)
        finally:
            store.close()
    finally:
        kek.wipe()
