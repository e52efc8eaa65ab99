"""The audit of the network's CAs: who got a certificate, from whom, and whose were taken back.

Whoever holds a CA's key writes it, a command at the shell as well as the registrar: each entry is signed and on the
disk before the certificate or the list that it tells of leaves. What cannot be written down does not happen.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import msgspec

from qanat.node.audit.keys import provide_keys
from qanat.node.audit.kinds import Row
from qanat.node.audit.log import AuditLog
from qanat.node.audit.place import HEAD, REGISTRAR, audit_folder, head_on_disk
from qanat.node.entropy import SystemEntropy
from qanat.node.issued import held
from qanat.node.privatefile import private_folder, write_private
from qanat.node.statedir import StateDir

LOCAL = f"user {os.getuid()} at the shell" if hasattr(os, "getuid") else "the shell"


def note(state: StateDir, rows: Sequence[Row]) -> None:
    """Write, sign, bring to the disk. Of two at once one waits.

    Raises:
        EnvironmentProblem: it cannot be written; what it tells of must not be done.
    """
    private_folder(state.registrar)
    with held(state.registrar):
        keys, now_ns = provide_keys(audit_folder(state, REGISTRAR), SystemEntropy()), time.time_ns()
        log = AuditLog(
            audit_folder(state, REGISTRAR), keys, kme_id=f"kme-{REGISTRAR}", now_ns=now_ns, head=head_on_disk(state)
        )
        try:
            log.append(rows, now_ns, is_signed=True)
            log.flush()
            write_private(state.registrar / HEAD, msgspec.msgpack.encode((log.count, log.head)))
        finally:
            log.close()
