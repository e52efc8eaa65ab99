"""The audit of one KME of a state directory, ready for its writer thread."""

from __future__ import annotations

import hashlib
import ssl

from qanat import __version__
from qanat.core.ids import SiteId
from qanat.core.ports import Entropy
from qanat.node.audit.chains import chain_id, chain_suffix
from qanat.node.audit.keys import provide_keys
from qanat.node.audit.log import AuditLog
from qanat.node.audit.place import audit_folder
from qanat.node.audit.trail import Trail
from qanat.node.pki import kme_credentials
from qanat.node.statedir import StateDir


def provide_trail(state: StateDir, site: SiteId, entropy: Entropy, network: str) -> Trail:
    """That of one instance of a KME.

    Raises:
        EnvironmentProblem: its folder or keys cannot be used.
    """
    folder, kme_id = audit_folder(state, site), chain_id(site)
    keys = provide_keys(folder, entropy)
    certificate = ssl.PEM_cert_to_DER_cert(kme_credentials(state, site).certfile.read_text("ascii"))
    started = {
        "version": __version__,
        "network": network,
        "certificate": hashlib.sha256(certificate).hexdigest(),
        "audit_key": keys.signing.verifying_key.fingerprint.hex(),
    }
    return Trail(
        opened=lambda head, now_ns, lost: AuditLog(folder, keys, kme_id=kme_id, now_ns=now_ns, head=head, lost=lost),
        key_id_key=keys.key_id_key,
        started=("started", dict(started)),
        chain=chain_suffix(site),
    )
