"""A hub that only commands: the real controller plans routes, a bench says the rest, over the hub's own socket."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

from qanat.control.controller import Controller
from qanat.core.alarms import Action, Command
from qanat.core.ids import LinkId, SiteId
from qanat.core.topology import Network
from qanat.node.messages import HUB, Commanded, Hello


class RouteHub:
    """Answers each KME's hello with the commands for its sites, and reads the rest without looking.

    Args:
        path: The hub's socket. Start this before the KMEs.
    """

    def __init__(self, path: str, network: Network) -> None:
        self._commands = Controller(network=network).initial_commands(0)
        self._lines: dict[SiteId, socket.socket] = {}
        self._revision = 1000  # above the routes'
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
            self._lines.update(dict.fromkeys(hello.sites, line))
            for command in self._commands:
                if command.site in hello.sites:
                    self.command(command)
            while stream.read(65_536):
                pass

    def tell(self, site: SiteId, action: Action, link: LinkId, since_ns: int) -> None:
        """A new command about a link."""
        self._revision += 1
        self.command(
            Command(
                revision=self._revision,
                site=site,
                action=action,
                reason="bench",
                at_ns=time.time_ns(),
                link=link,
                since_ns=since_ns,
            )
        )

    def command(self, command: Command) -> None:
        """To the KME of that site, which must be connected."""
        frame = HUB.encode(Commanded(command))
        self._lines[command.site].sendall(len(frame).to_bytes(4) + frame)

    def close(self) -> None:
        self._server.close()
