"""Who is revoked is out at every door: an application's certificates and its routers' pre-shared keys go together."""

from __future__ import annotations

from qanat.core.errors import MisuseError
from qanat.core.ids import SaeId
from qanat.node.audit.identities import LOCAL, note
from qanat.node.revocation import revoke
from qanat.node.skip_psk import listed, remove
from qanat.node.statedir import StateDir


def shut_out(state: StateDir, name: str, *, by: str = LOCAL) -> tuple[int, list[str]]:
    """How many certificates were revoked, and the identities of the pre-shared keys that are gone.

    Raises:
        MisuseError: the name had neither.
        EnvironmentProblem: a list or file cannot be read or written.
    """
    found = [row.identity for _, row in listed(state) if row.sae == name]
    if found:
        note(state, [("revoked", {"role": "sae", "name": name, "psks": found, "by": by})])
    identities = remove(state, sae=SaeId(name))
    try:
        return revoke(state, name, by=by), identities
    except MisuseError:
        if not identities:
            raise
        return 0, identities
