"""Who may hold a certificate of this network: which CA issues it, for which role, and which list takes it back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qanat.core.ids import SaeId, SiteId
from qanat.node.statedir import StateDir

if TYPE_CHECKING:
    from qanat.crypto.pki import RoleName


@dataclass(frozen=True, slots=True, kw_only=True)
class Holders:
    """One kind of them.

    Attributes:
        one: As a sentence names one of them.
        ca: The folder of the CA that issues their certificates.
        own: Where the state directory keeps one's certificate and key.
        crl: Name of the revocation list in ``access/``, signed by that CA.
        command: The commands about them.
        also: Further CAs whose certificates the same list takes back.
    """

    role: RoleName
    one: str
    ca: Callable[[StateDir], Path]
    own: Callable[[StateDir, str], Path]
    crl: str
    command: str
    also: Callable[[StateDir], tuple[Path, ...]] = lambda _state: ()

    def list_of(self, state: StateDir) -> Path:
        """The revocation list."""
        return state.access / self.crl


APPLICATIONS = Holders(
    role="sae",
    one="application",
    ca=lambda state: state.sae_ca,
    own=lambda state, name: state.sae(SaeId(name)),
    crl="revoked.crl",
    command="qanat sae",
)
KMES = Holders(
    role="kme",
    one="KME",
    ca=lambda state: state.ca,
    own=lambda state, name: state.node(SiteId(name)),
    crl="revoked-kmes.crl",
    command="qanat kme",
    also=lambda state: (state.peer_ca,),
)
# What KMEs show each other, where that is of another kind. Taken back with the rest, by the list of ``KMES``.
PEERS = Holders(
    role="kme",
    one="KME",
    ca=lambda state: state.peer_ca,
    own=lambda state, name: state.node_to_peers(SiteId(name)),
    crl="revoked-kmes.crl",
    command="qanat kme",
)
OPERATORS = Holders(
    role="admin",
    one="operator",
    ca=lambda state: state.operator_ca,
    own=lambda state, name: state.identity(name),
    crl="revoked-operators.crl",
    command="qanat operator",
)
