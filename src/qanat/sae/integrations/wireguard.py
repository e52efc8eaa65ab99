"""WireGuard: the preshared key of one peer. It mixes into each handshake, so that a tunnel whose Curve25519 falls
to a quantum computer stays closed. A session that runs lives on; the next handshake (every 120 s) uses the new key.
"""

from __future__ import annotations

import base64
import os
import subprocess
import tempfile
from collections.abc import Callable

from qanat.core.errors import EnvironmentProblem
from qanat.sae.keys import DeliveredKey

PSK_BYTES = 32


def installer(
    interface: str, peer_public_key: str, *, command: tuple[str, ...] = ("wg",)
) -> Callable[[DeliveredKey], None]:
    """What gives a key to ``wg``, through a file of mode 0600 in memory: command lines can be read by everybody.

    Args:
        command: How ``wg`` is run, for example inside a network namespace.
    """

    def install(key: DeliveredKey) -> None:
        if key.bits.size_bytes != PSK_BYTES:
            raise EnvironmentProblem(f"WireGuard takes keys of 256 bits, key {key.key_id} has {key.bits.size_bits}.")
        folder = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108 - memory, not disk; mkstemp makes it 0600
        fd, path = tempfile.mkstemp(prefix="qanat-psk-", dir=folder)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(base64.b64encode(key.bits.reveal()) + b"\n")  # the form that wg reads
            _run([*command, "set", interface, "peer", peer_public_key, "preshared-key", path])
        finally:
            os.unlink(path)
            key.bits.wipe()

    return install


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentProblem(f"{command[0]} cannot be run: {error}. Install wireguard-tools.") from None
    if done.returncode:
        raise EnvironmentProblem(f"wg refused the key: {done.stderr.strip()}. Check interface and peer.")
