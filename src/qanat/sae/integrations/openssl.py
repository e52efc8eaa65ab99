"""OpenSSL: an external preshared key for TLS 1.3 (RFC 8446, section 4.2.11), identity = key_ID.

``openssl s_server`` and ``s_client`` take one on the command line (``-psk``), where every user of the machine reads it.
They also take a session file (``-psk_session``), which we write with mode 0600.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path

from qanat.core.errors import MisuseError
from qanat.sae.files import replacing
from qanat.sae.keys import DeliveredKey

TLS_1_3 = b"\x03\x04"
AES_256_GCM_SHA384 = b"\x13\x02"  # RFC 8446, B.4; a PSK belongs to its suite's hash
KEY_BYTES_MAX = 64


def session_pem(key: DeliveredKey) -> bytes:
    """The key as OpenSSL's SSL_SESSION: SEQUENCE { version 1, protocol, cipher, session ID, master key }.

    Raises:
        MisuseError: the key is shorter than 256 bits or longer than 512.
    """
    secret = key.bits.reveal()  # this file is the one place OpenSSL reads it from
    if not 32 <= len(secret) <= KEY_BYTES_MAX:
        raise MisuseError(f"an external PSK has 256 to 512 bits here, key {key.key_id} has {8 * len(secret)}")
    fields = (
        _der(0x02, b"\x01")
        + _der(0x02, TLS_1_3)
        + _der(0x04, AES_256_GCM_SHA384)
        + _der(0x04, b"")
        + _der(0x04, secret)
    )
    text = base64.encodebytes(_der(0x30, fields))
    return b"-----BEGIN SSL SESSION PARAMETERS-----\n" + text + b"-----END SSL SESSION PARAMETERS-----\n"


def write_session(path: str | os.PathLike[str], key: DeliveredKey) -> list[str]:
    """Write the session file (0600), wipe our copy, and give the options for ``s_server`` and ``s_client``.

    Raises:
        EnvironmentProblem: the file cannot be written.
    """
    with replacing(path) as file:
        file.write(session_pem(key))
    key.bits.wipe()
    return ["-tls1_3", "-psk_identity", str(key.key_id), "-psk_session", str(Path(path))]


def _der(tag: int, content: bytes) -> bytes:
    assert len(content) < 128  # the short form of a DER length; KEY_BYTES_MAX keeps us there
    return bytes([tag, len(content)]) + content
