"""SSH in a TLS 1.3 tunnel that only a delivered key opens. OpenSSH takes no key from outside, so stunnel carries it.

At the server stunnel passes connections on to sshd; at the client ssh starts it as its ``ProxyCommand``. Keys go into a
file of mode 0600 (``PSKsecrets``), never onto a command line, and the identity is the key_ID. Every handshake also
makes an ephemeral exchange (psk_dhe_ke), so a key that becomes known later does not open what was recorded before.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from qanat.core.errors import EnvironmentProblem, MisuseError
from qanat.crypto.pki import make_ca
from qanat.node.privatefile import private_folder, write_private
from qanat.sae.keys import DeliveredKey

CONF, KEYS, PID, NOBODY = "stunnel.conf", "keys.psk", "stunnel.pid", "nobody.pem"
KEY_BYTES_MIN = 32
RELOAD_S = 0.3  # stunnel reads its files again within milliseconds of SIGHUP and says nothing when it has
# OpenSSL gives an external key of this kind to SHA-256 suites only; of those this one has a key of 256 bits.
TLS = {"sslVersionMin": "TLSv1.3", "ciphersuites": "TLS_CHACHA20_POLY1305_SHA256", "sessionResume": "no"}

Address = tuple[str, int]
Install = Callable[[DeliveredKey], None]


def server(folder: Path, accept: Address, forward: Address) -> Install:
    """Installs keys at the end with sshd. The last two are valid, as the client changes a moment later than we.

    Args:
        folder: For stunnel's files; made, and only its owner may look in.
        accept: Where the tunnel listens.
        forward: Where sshd listens.
    """
    conf = {"foreground": "yes", "pid": str(folder.absolute() / PID), "syslog": "no", "debug": "notice"}
    service = {"accept": _spelled(accept), "connect": _spelled(forward), **TLS, **_secrets(folder)}
    _prepare(folder, _text(conf) + "\n[ssh]\n" + _text(service))
    held: list[str] = []

    def install(key: DeliveredKey) -> None:
        held.append(_line(key))
        del held[:-2]
        write_private(folder / KEYS, "".join(held).encode())
        _reload(folder)

    return install


def client(folder: Path, tunnel: Address) -> Install:
    """Installs keys at the end with ssh, which starts stunnel anew for each connection.

    Args:
        tunnel: Where the server's tunnel listens.

    An stunnel that got no certificate authority would talk to whoever shows any certificate and knows no key. So the
    client trusts a CA whose private key was never kept: no certificate is good, and only the key is left.
    """
    conf = {"syslog": "no", "debug": "warning", "pid": "", "client": "yes", "connect": _spelled(tunnel)}
    trust = {"verifyChain": "yes", "CAfile": str(folder.absolute() / NOBODY)}
    _prepare(folder, _text(conf | TLS | trust | _secrets(folder)))
    nobody, _forgotten = make_ca(common_name="nobody", now=datetime.now(UTC), days=3650)
    write_private(folder / NOBODY, nobody)

    def install(key: DeliveredKey) -> None:
        write_private(folder / KEYS, _line(key).encode())

    return install


def _prepare(folder: Path, conf: str) -> None:
    if any(mark in str(folder.absolute()) for mark in "\n;#"):
        raise MisuseError(f"{folder} has a character that stunnel's configuration cannot hold; name another folder")
    private_folder(folder)
    write_private(folder / CONF, conf.encode())


def _secrets(folder: Path) -> dict[str, str]:
    return {"PSKsecrets": str(folder.absolute() / KEYS)}


def _text(options: Mapping[str, str]) -> str:
    return "".join(f"{name} = {value}".rstrip() + "\n" for name, value in options.items())


def _spelled(address: Address) -> str:
    host, port = address
    return f"{f'[{host}]' if ':' in host else host}:{port}"


def _line(key: DeliveredKey) -> str:
    """One line of PSKsecrets; our other copy is wiped."""
    if key.bits.size_bytes < KEY_BYTES_MIN:
        raise MisuseError(f"the tunnel takes keys of 256 bits or more, key {key.key_id} has {key.bits.size_bits}")
    line = f"{key.key_id}:{key.bits.reveal().hex()}\n"  # the form that stunnel reads
    key.bits.wipe()
    return line


def _reload(folder: Path) -> None:
    """Have a running stunnel read its keys again; connections that are open stay.

    Raises:
        EnvironmentProblem: it may not be told.
    """
    try:
        pid = int((folder / PID).read_text())
        if not _is_stunnel(pid):
            return  # left behind by one that was killed; the number may be anybody's by now
        os.kill(pid, signal.SIGHUP)
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return  # not started yet: it will read them when it is
    except PermissionError:
        raise EnvironmentProblem(f"stunnel (process {pid}) belongs to another user. Run both as the same.") from None
    time.sleep(RELOAD_S)


def _is_stunnel(pid: int) -> bool:
    """As far as the system tells; without /proc it is believed."""
    if not Path("/proc/self").exists():
        return True
    try:
        return b"stunnel" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
