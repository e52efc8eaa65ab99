"""What an operator does to a key store while no KME uses it."""

from __future__ import annotations

from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import SiteId
from qanat.core.secret import SecretBits
from qanat.km.recovery import discard_keys
from qanat.node.entropy import SystemEntropy
from qanat.node.instance import site_of
from qanat.node.statedir import StateDir
from qanat.node.store.choice import has_store
from qanat.node.store.opening import open_store


def recover(state: StateDir, site: SiteId, root: SecretBits | None = None) -> int:
    """Destroy every undelivered key of a site's store and raise it above its fence.

    Args:
        root: The root key, if the site's KEK is sealed.

    Returns:
        Bits destroyed.

    Raises:
        EnvironmentProblem: there is no store, a KME uses it, or its KEK is missing.
    """
    if not has_store(state, site):
        raise EnvironmentProblem(
            f"site {site} has no key store at {state.store(site)}. Name a site of this state directory."
        )
    store = open_store(state, site, root=root, entropy=SystemEntropy(), is_recovering=True, patience_s=0)
    try:
        return discard_keys(site_of(site), store)
    finally:
        store.close()
