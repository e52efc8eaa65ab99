"""What certificates with ML-DSA-65 cost: bytes on the wire, CPU per handshake at each end, and at a live KME.

Behind docs/decisions/0062. Run: ``python design/tls_certificates.py`` (half a minute).
"""

from __future__ import annotations

import socket
import ssl
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from qanat.core.ids import SiteId
from qanat.crypto.pki import issue, make_ca
from qanat.crypto.signing_keys import KEY_KINDS, KeyKind
from qanat.crypto.tls_bytes import tls_context
from qanat.sae.tls import client_context

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
from support.kmes import LiveKmes, network_text  # noqa: E402

HANDSHAKES, ROUNDS = 200, 5


def contexts(folder: Path, kind: KeyKind) -> tuple[SSL.Context, SSL.Context, int]:
    """Server's and client's, and the size of a KME's certificate."""
    now = datetime.now(UTC)
    ca = make_ca(common_name="cost", now=now, days=9, kind=kind)
    (folder / "ca.pem").write_bytes(ca[0])
    for role in ("kme", "sae"):
        hosts = ["localhost", "127.0.0.1", "::1"] if role == "kme" else []
        pair = issue(ca_cert=ca[0], ca_key=ca[1], role=role, identity="lyon", hosts=hosts, now=now, days=9)  # type: ignore[arg-type]
        (folder / f"{role}.pem").write_bytes(pair[0])
        (folder / f"{role}.key").write_bytes(pair[1])
    made = [
        tls_context(
            certfile=folder / f"{role}.pem",
            keyfile=folder / f"{role}.key",
            cafile=folder / "ca.pem",
            is_server=is_server,
        )
        for role, is_server in (("kme", True), ("sae", False))
    ]
    leaf = x509.load_pem_x509_certificate((folder / "kme.pem").read_bytes())
    return made[0], made[1], len(leaf.public_bytes(Encoding.DER))


def one(server: SSL.Context, client: SSL.Context) -> tuple[list[float], list[int], str]:
    """CPU seconds and bytes sent of client and server, and the key exchange, of one handshake in memory."""
    ends = [SSL.Connection(client, None), SSL.Connection(server, None)]
    ends[0].set_connect_state()
    ends[1].set_accept_state()
    cpu_s, sent, is_done = [0.0, 0.0], [0, 0], [False, False]
    while not all(is_done):
        for index, end in enumerate(ends):
            begin = time.process_time()
            try:
                end.do_handshake()
                is_done[index] = True
            except SSL.WantReadError:
                pass
            cpu_s[index] += time.process_time() - begin
            try:
                while data := end.bio_read(65_536):
                    sent[index] += len(data)
                    ends[1 - index].bio_write(data)
            except SSL.WantReadError:
                pass
    return cpu_s, sent, ends[0].get_group_name() or ""


def in_memory(kind: KeyKind) -> None:
    with tempfile.TemporaryDirectory() as name:
        server, client, size_bytes = contexts(Path(name), kind)
        best = [9.0, 9.0]
        for _ in range(ROUNDS):
            found = [one(server, client) for _ in range(HANDSHAKES)]
            best = [min(best[i], sum(cpu[i] for cpu, _, _ in found) / HANDSHAKES) for i in (0, 1)]
        _, sent, group = one(server, client)
        print(
            f"{kind:11} {group}: KME certificate {size_bytes} bytes; client sends {sent[0]}, server {sent[1]} bytes; "
            f"CPU client {best[0] * 1e3:.2f} ms, server {best[1] * 1e3:.2f} ms"
        )


def live(kind: KeyKind) -> None:
    """The KME's own CPU per new connection with one status request."""
    text = network_text(2, 1).replace("[policy]", f'[policy]\npki = "{kind}"')
    with tempfile.TemporaryDirectory() as name, LiveKmes(Path(name), text=text) as kmes:
        files = kmes.credentials("m0")
        context = client_context(certfile=files.certfile, keyfile=files.keyfile, cafile=files.cafile)
        ask(kmes.port("site0"), context)
        best = 9.0
        for _ in range(3):
            begin = kmes.cpu_s(SiteId("site0"))
            for _ in range(HANDSHAKES):
                ask(kmes.port("site0"), context)
            best = min(best, (kmes.cpu_s(SiteId("site0")) - begin) / HANDSHAKES)
        print(f"{kind:11} live KME: {best * 1e3:.2f} ms of CPU per connection with one request")


def ask(port: int, context: ssl.SSLContext) -> None:
    plain = socket.create_connection(("127.0.0.1", port))
    line: Any = context.wrap_socket(plain, server_hostname="127.0.0.1")
    line.sendall(b"GET /api/v1/keys/s0/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    while line.recv(65_536):
        pass
    line.close()


if __name__ == "__main__":
    for each in KEY_KINDS:
        in_memory(each)
    for each in KEY_KINDS:
        live(each)
