"""Our clients over the OpenSSL of ``cryptography``: whom they trust, and that they read like Python's own sockets."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from qanat.crypto.pki import issue, make_ca
from qanat.crypto.signing_keys import KEY_KINDS, KeyKind, key_from_pem
from qanat.crypto.tls_bytes import EncryptedKey
from qanat.node.api.server import server_context
from qanat.sae.errors import CertificateUnusable
from qanat.sae.failures import failed_start
from qanat.sae.hybrid_tls import hybrid_context
from qanat.sae.tls import client_context

NOW = datetime.now(UTC)


class Pki:
    """A CA, a KME at the hosts given, an application, and a client's context."""

    def __init__(self, folder: Path, kind: KeyKind = "ecdsa-p256", hosts: tuple[str, ...] = ("kme.test", "127.0.0.1")):
        self.folder = folder
        ca = make_ca(common_name="test", now=NOW, days=30, kind=kind)
        self.ca = self.put("ca.pem", ca[0])
        for name, role in (("kme", "kme"), ("sae", "sae")):
            chosen = list(hosts) if role == "kme" else []
            cert, key = issue(
                ca_cert=ca[0],
                ca_key=ca[1],
                role=role,
                identity=name,
                hosts=chosen,
                now=NOW,
                days=9,  # type: ignore[arg-type]
            )
            self.put(f"{name}.pem", cert)
            self.put(f"{name}.key", key)

    def put(self, name: str, data: bytes) -> Path:
        (self.folder / name).write_bytes(data)
        return self.folder / name

    def client(self) -> ssl.SSLContext:
        return hybrid_context(self.folder / "sae.pem", self.folder / "sae.key", self.ca)

    def server(self) -> ssl.SSLContext:
        return server_context(
            certfile=self.folder / "kme.pem", keyfile=self.folder / "kme.key", cafile=self.ca, tls="pq"
        )


@contextmanager
def connected(pki: Pki, host: str, answer: bytes = b"") -> Iterator[Any]:
    """A client's socket at a server that says ``answer`` and closes without a word."""
    near, far = socket.socketpair()
    near.settimeout(5)
    thread = threading.Thread(target=_serve, args=(pki.server(), far, answer))
    thread.start()
    try:
        yield pki.client().wrap_socket(near, server_hostname=host)
    finally:
        near.close()
        thread.join(5)
        far.close()


def _serve(context: ssl.SSLContext, far: socket.socket, answer: bytes) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    end: Any = context.wrap_bio(incoming, outgoing, server_side=True)
    pieces = [answer[at : at + 16_384] for at in range(0, len(answer), 16_384)]  # one record each
    steps = [end.do_handshake, lambda: end.read(65_536), *(partial(end.write, piece) for piece in pieces)]
    far.settimeout(5)
    try:
        while steps:
            try:
                steps[0]()
                steps.pop(0)
            except ssl.SSLWantReadError:
                far.sendall(outgoing.read())
                data = far.recv(65_536)
                if not data:
                    return
                incoming.write(data)
            far.sendall(outgoing.read())
    except OSError:
        return
    finally:
        far.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("kind", KEY_KINDS)
@pytest.mark.parametrize("host", ["kme.test", "KME.test", "127.0.0.1"])
def test_a_kme_is_trusted_under_the_names_in_its_certificate(tmp_path: Path, kind: KeyKind, host: str) -> None:
    with connected(Pki(tmp_path, kind), host) as line:
        assert line.group() == "X25519MLKEM768"
        assert ("URI", "urn:qanat:kme:kme") in line.getpeercert()["subjectAltName"]


@pytest.mark.parametrize(
    ("host", "words"),
    [("other.test", "another host name"), ("127.0.0.2", "another address"), ("x.kme.test", "another host name")],
)
def test_a_kme_under_another_name_is_not_trusted(tmp_path: Path, host: str, words: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError) as caught, connected(Pki(tmp_path), host):
        pass
    assert words in str(failed_start(host, caught.value, 1.0))


def test_a_kme_of_another_ca_is_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    pki, other = Pki(tmp_path / "a"), Pki(tmp_path / "b")
    pki.client = lambda: hybrid_context(pki.folder / "sae.pem", pki.folder / "sae.key", other.ca)  # type: ignore[method-assign]
    with pytest.raises(ssl.SSLCertVerificationError) as caught, connected(pki, "kme.test"):
        pass
    assert "comes from another CA" in str(failed_start("kme.test", caught.value, 1.0))


@pytest.mark.parametrize("host", ["", "."])
def test_no_name_is_no_licence_to_trust_everybody(tmp_path: Path, host: str) -> None:
    with pytest.raises((ssl.SSLError, UnicodeError)), connected(Pki(tmp_path), host):
        pass


def test_an_answer_is_read_to_its_end_after_http_client_has_closed_the_socket(tmp_path: Path) -> None:
    body = bytes(range(256)) * 300  # several records
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    with connected(Pki(tmp_path), "kme.test", head + body) as line:
        asking = http.client.HTTPConnection("kme.test")
        asking.sock = line
        asking.request("GET", "/")
        answer = asking.getresponse()
        assert asking.sock is None
        assert answer.read() == body


def test_no_more_is_taken_from_the_kernel_than_the_record_that_was_asked_for(tmp_path: Path) -> None:
    """``select`` on the socket then tells whether the KME has sent something since."""
    with connected(Pki(tmp_path), "kme.test", b"x" * 40_000) as line:
        line.sendall(b"say it")
        assert line.recv(1) == b"x"
        got = 1
        while got < 40_000:
            assert line._incoming.pending == 0
            got += len(line.recv(65_536))
        assert line.recv(1) == b""


def test_a_silent_kme_is_waited_for_no_longer_than_told(tmp_path: Path) -> None:
    near, far = socket.socketpair()
    near.settimeout(0.05)
    with pytest.raises(TimeoutError):
        Pki(tmp_path).client().wrap_socket(near, server_hostname="kme.test")
    near.close()
    far.close()


def test_an_encrypted_key_is_refused_without_asking_for_its_password(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    locked = key_from_pem((tmp_path / "sae.key").read_bytes()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    pki.put("sae.key", locked)
    with pytest.raises(EncryptedKey):
        pki.client()
    with pytest.raises(CertificateUnusable, match="is encrypted"):
        client_context(certfile=tmp_path / "sae.pem", keyfile=tmp_path / "sae.key", cafile=pki.ca)


def test_the_alert_of_a_kme_that_demands_more_is_told_in_words() -> None:
    error = ssl.SSLError(1, "alert")
    error.reason = "TLSV1_ALERT_INSUFFICIENT_SECURITY"
    assert "kme:1 demands post-quantum key exchange (X25519MLKEM768)" in str(failed_start("kme:1", error, 1.0))
