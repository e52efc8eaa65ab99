"""A hub that only sends routes: the real controller plans them, live KMEs get them over the hub's own socket."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

from qanat.control.controller import Controller
from qanat.core.topology import Network
from qanat.node.messages import HUB, Commanded, Hello


class RouteHub:
    """Answers each KME's hello with the commands for its sites, and reads the rest without looking.

    Args:
        path: The hub's socket. Start this before the KMEs.
    """

    def __init__(self, path: str, network: Network) -> None:
        self._commands = Controller(network=network).initial_commands(0)
        Path(path).unlink(missing_ok=True)
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(path)
        self._server.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._server.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        with line, line.makefile("rwb") as stream:
            hello = HUB.decode(stream.read(int.from_bytes(stream.read(4))))
            assert isinstance(hello, Hello)
            for command in self._commands:
                if command.site in hello.sites:
                    frame = HUB.encode(Commanded(command))
                    stream.write(len(frame).to_bytes(4) + frame)
            stream.flush()
            while stream.read(65_536):
                pass

    def close(self) -> None:
        self._server.close()
