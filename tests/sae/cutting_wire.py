"""A wire between a client and its KME that breaks where it is told to."""

from __future__ import annotations

import contextlib
import socket
import threading


class CuttingWire:
    """Carries bytes to a port, and cuts where it is told to: after so many bytes towards the client."""

    def __init__(self, port: int, own_port: int = 0) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", own_port))
        self.port = self._listener.getsockname()[1]
        self.left: int | None = None
        self.is_shut = False  # new connections are closed at once
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self.is_shut:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._carry, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._carry, args=(far, near, True), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        try:
            while data := source.recv(65536):
                left = self.left if is_answer else None
                is_cut = left is not None and left <= len(data)
                if left is not None:  # before the bytes leave: whoever has them may set it anew
                    self.left = None if is_cut else left - len(data)
                target.sendall(data[:left])
                if is_cut:
                    break
        except OSError:
            pass
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
