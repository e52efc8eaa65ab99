"""OpenSSL's own ``s_client`` as a router: a TLS client with a pre-shared key that we did not write."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from typing import Any

REQUEST = "GET {path} HTTP/1.1\r\nHost: kme\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class Said:
    """What one connection came to."""

    output: str

    @property
    def status(self) -> int:
        """The HTTP status, 0 without an answer."""
        found = re.search(r"HTTP/1\.1 (\d+)", self.output)
        return int(found[1]) if found else 0

    @property
    def json(self) -> Any:
        answer = self.output[self.output.index("HTTP/1.1") :]
        return json.JSONDecoder().raw_decode(answer, answer.index("{"))[0]  # s_client's own words follow

    @property
    def cipher(self) -> str:
        found = re.search(r"Cipher is (\S+)", self.output)
        return found[1] if found else ""

    @property
    def alert(self) -> str:
        """The server's alert, as a number."""
        found = re.search(r"SSL alert number (\d+)", self.output)
        return found[1] if found else ""


def command(port: int, identity: str | None, key: str | None, *options: str) -> list[str]:
    known = ["-psk_identity", identity, "-psk", key] if identity is not None and key is not None else []
    return ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-ign_eof", *known, *options]


def ask(port: int, identity: str | None, key: str | None, path: str, *options: str) -> Said:
    """One request on a connection of its own."""
    done = subprocess.run(
        command(port, identity, key, *options),
        input=REQUEST.format(path=path).encode(),
        capture_output=True,
        timeout=30,
        check=False,
    )
    return Said((done.stdout + b"\n" + done.stderr).decode(errors="replace"))
