"""The command line's side of the hub's door: one question, one answer, blocking."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from qanat.core.errors import EnvironmentProblem, QanatError
from qanat.node.messages import HUB, AdminReply, AdminRequest
from qanat.node.statedir import StateDir

ANSWER_TIMEOUT_S = 5.0


class NotRunning(EnvironmentProblem):
    """No network is running here. Start one with `qanat up` or look at one with `qanat demo`."""


class Refused(QanatError):
    """The network did not do this; the sentence above says why."""

    def __init__(self, detail: str, exit_code: int) -> None:
        super().__init__(detail)
        self.exit_code = exit_code


def ask(state: StateDir, verb: str, **arguments: Any) -> Any:
    """Ask the running network.

    Raises:
        NotRunning: nobody holds the state directory.
        Refused: the hub said no, in words.
        EnvironmentProblem: the hub does not answer.
    """
    if state.running_pid() is None:
        raise NotRunning(f"state directory {state.path}")
    reply = HUB.decode(exchange(state.socket_path("hub"), HUB.encode(AdminRequest(verb, arguments)), "the hub"))
    if not isinstance(reply, AdminReply):
        raise EnvironmentProblem("the hub answered something else")
    if reply.error is not None:
        raise Refused(reply.error, reply.exit_code)
    return reply.data


def exchange(path: Path, frame: bytes, who: str) -> bytes:
    """One frame out, one in. Raises: EnvironmentProblem."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_TIMEOUT_S)
            connection.connect(str(path))
            connection.sendall(len(frame).to_bytes(4) + frame)
            with connection.makefile("rb") as stream:
                size_bytes = int.from_bytes(stream.read(4))
                answer = stream.read(size_bytes)
    except OSError as error:
        raise EnvironmentProblem(f"{who} does not answer ({error}); it may still be starting") from None
    if not size_bytes or len(answer) != size_bytes:
        raise EnvironmentProblem(f"{who} closed the connection")
    return answer
