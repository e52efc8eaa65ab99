"""The command line's side of a KME's operator door: one question, one answer, blocking."""

from __future__ import annotations

import msgspec

from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import SiteId
from qanat.node.admin_client import Refused, exchange
from qanat.node.processes.seal_door import SealReply, SealRequest, seal_socket
from qanat.node.statedir import StateDir


def ask_kme(state: StateDir, site: SiteId, request: SealRequest) -> SealReply:
    """Ask a running KME.

    Raises:
        Refused: it said no, in words.
        EnvironmentProblem: it does not answer.
    """
    path = state.socket_path(seal_socket(site))
    if not path.exists():
        raise EnvironmentProblem(f"no KME of {site} is running from {state.path}. Start it with `qanat up`.")
    reply = msgspec.json.decode(exchange(path, msgspec.json.encode(request), "the KME"), type=SealReply)
    if reply.error:
        raise Refused(reply.error, reply.exit_code)
    return reply
