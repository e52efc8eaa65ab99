"""Certificates with ML-DSA-65 at live KMEs, and what the KMEs tell of the TLS that they speak: over real TLS."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hostile import hostile
from live_pair import LINK, LiveKmes, LivePair, context_of, network_text
from OpenSSL import SSL
from prometheus_client.parser import text_string_to_metric_families
from test_access import qanat

from qanat.core.ids import SaeId, SiteId
from qanat.crypto.tls_bytes import kind_in_file
from qanat.node.dashboard.metrics import metrics_text
from qanat.node.messages import HUB, Note, StoreStatus
from qanat.node.pki import Credentials, kme_credentials, peer_credentials
from qanat.node.processes.config import hub_socket
from qanat.sae.client import KeyDeliveryClient
from qanat.sae.errors import AnswerLost, KmeUnreachable, OurCertificateRefused
from qanat.sae.tls import client_context

HYBRID, HERE, THERE = "X25519MLKEM768", SiteId("site0"), SiteId("site1")


@dataclass
class Ear:
    """Plays the hub: hears what KMEs report."""

    path: str
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(self.path)
        self._door.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            line, _ = self._door.accept()
            threading.Thread(target=self._listen, args=(line.makefile("rb"),), daemon=True).start()

    def _listen(self, stream: Any) -> None:
        while head := stream.read(4):
            message = HUB.decode(stream.read(int.from_bytes(head)))
            if isinstance(message, StoreStatus):
                self.reports[message.site] = message.report
            if isinstance(message, Note):
                self.notes.append(message.text)

    def metric(self, name: str, **labels: str) -> float:
        """One sample, as the scrape shows it."""
        snapshot = {
            "network": {"name": "n", "is_simulation": True},
            "at_ns": 0, "link_time_ns": 0, "stretch": None, "sites": [], "links": [], "pairs": [], "alarms": [],
            "totals": {"keys_delivered": 0, "keys_relayed": 0, "bits_quarantined": 0, "burned": 0},
            "kmes": list(self.reports.values()),
        }  # fmt: skip
        families = text_string_to_metric_families(metrics_text(snapshot)[0].decode())
        found = [s.value for family in families for s in family.samples if s.name == name and s.labels == labels]
        return found[0] if found else 0.0

    def until(self, **wanted: Any) -> None:
        name, labels = wanted.pop("name"), wanted
        end = time.monotonic() + 5
        while not self.metric(name, **labels):
            assert time.monotonic() < end, (name, labels, self.reports)
            time.sleep(0.1)


@pytest.fixture(scope="module", params=["ml-dsa-65", "ml-dsa-65-between-kmes"])
def gate(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LivePair, Ear]]:
    policy = f'[policy]\npki = "{request.param}"\npq_tls = "required"'
    text = network_text(2, 2).replace("[policy]", policy)
    kmes = LiveKmes(tmp_path_factory.mktemp("mldsa"), text=text)
    ear = Ear(kmes.sockets[hub_socket()])
    with kmes:
        kmes.feed(LINK, 2)
        pair = LivePair(kmes)
        _wait_for_keys(pair)
        yield pair, ear


def _wait_for_keys(pair: LivePair) -> None:
    """As ``LivePair.wait_for_keys``, by a client that offers what these KMEs demand."""
    end = time.monotonic() + 10
    for sae, other in (("m0", "s0"), ("s0", "m0")):
        with client(pair, sae) as mine:
            while not mine.status(SaeId(other)).stored_key_count:
                assert time.monotonic() < end
                time.sleep(0.05)


def client(pair: LivePair, sae: str, files: Credentials | None = None) -> KeyDeliveryClient:
    chosen = files or pair.kmes.credentials(sae)
    return KeyDeliveryClient(
        host="127.0.0.1",
        port=pair.kmes.port(pair.site(sae)),
        certfile=chosen.certfile,
        keyfile=chosen.keyfile,
        cafile=chosen.cafile,
    )


def is_let_in(port: int, files: Credentials) -> bool:
    """As ``shaken``, by a client that offers all that a KME may demand."""
    context = client_context(certfile=files.certfile, keyfile=files.keyfile, cafile=files.cafile)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
        try:
            line: Any = context.wrap_socket(plain, server_hostname="127.0.0.1")
            line.settimeout(1.0)
            return bool(line.recv(1))
        except TimeoutError:
            return True
        except (ssl.SSLError, ConnectionError):
            return False


def expected_kind(pair: LivePair) -> str:
    return "ml-dsa-65" if pair.kmes.network.policy.pki == "ml-dsa-65" else "ecdsa-p256"


def to_peers(pair: LivePair, site: SiteId) -> Credentials:
    return peer_credentials(pair.kmes.state, site, pair.kmes.network.policy.pki)


def test_two_applications_get_the_same_key_over_the_certificates_of_the_network_file(
    gate: tuple[LivePair, Ear],
) -> None:
    pair, _ = gate
    state = pair.kmes.state
    shown = [pair.kmes.credentials("m0"), pair.kmes.credentials("s0"), kme_credentials(state, HERE)]
    assert {kind_in_file(files.certfile) for files in shown} == {expected_kind(pair)}
    assert {kind_in_file(files.cafile) for files in shown} == {expected_kind(pair)}
    with client(pair, "m0") as master, client(pair, "s0") as slave:
        sent = master.enc_keys(SaeId("s0"), number=3)
        got = slave.dec_keys(SaeId("m0"), [key.key_id for key in sent])
        assert [key.bits for key in got] == [key.bits for key in sent]
        assert len({key.digest for key in sent}) == 3


def test_the_handshakes_of_an_application_are_counted_by_group_and_certificate(gate: tuple[LivePair, Ear]) -> None:
    pair, ear = gate
    with client(pair, "m0") as master:
        master.status(SaeId("s0"))
    ear.until(
        name="qanat_kme_handshakes_total", site=HERE, door="etsi014", group=HYBRID, certificate=expected_kind(pair)
    )


def test_key_managers_show_each_other_ml_dsa_and_say_so_once(gate: tuple[LivePair, Ear]) -> None:
    pair, ear = gate
    ear.until(name="qanat_kme_handshakes_total", site=HERE, door="peers", group=HYBRID, certificate="ml-dsa-65")
    said = f"{HERE}: line to {THERE}: TLSv1.3, key exchange {HYBRID}, certificate ml-dsa-65"
    assert ear.notes.count(said) == 1
    wanted = {THERE: {"group": HYBRID, "certificate": "ml-dsa-65", "version": "TLSv1.3"}}
    end = time.monotonic() + 5  # a report comes twice a second
    while ear.reports[HERE]["tls"]["peers"] != wanted:
        assert time.monotonic() < end, ear.reports[HERE]["tls"]["peers"]
        time.sleep(0.05)
    assert is_let_in(pair.kmes.ports.peers[HERE], to_peers(pair, THERE))


def test_where_key_managers_talk_a_p256_certificate_is_worth_nothing(
    gate: tuple[LivePair, Ear], tmp_path: Path
) -> None:
    pair, ear = gate
    state, ours = pair.kmes.state, to_peers(pair, THERE)
    made = hostile(tmp_path, urns=[f"urn:qanat:kme:{THERE}"], signer=None)
    assert not is_let_in(pair.kmes.ports.peers[HERE], Credentials(*made, ours.cafile))
    ear.until(name="qanat_kme_handshakes_refused_total", site=HERE, door="peers", reason="other-ca")
    if expected_kind(pair) == "ecdsa-p256":
        shown_to_applications = kme_credentials(state, THERE)
        files = Credentials(shown_to_applications.certfile, shown_to_applications.keyfile, ours.cafile)
        assert not is_let_in(pair.kmes.ports.peers[HERE], files)


def test_a_client_without_a_post_quantum_group_reads_an_alert_and_the_operator_reads_why(
    gate: tuple[LivePair, Ear],
) -> None:
    pair, ear = gate
    with pytest.raises(SSL.Error, match="insufficient security"):
        classical(pair)
    ear.until(name="qanat_kme_handshakes_refused_total", site=HERE, door="etsi014", reason="not-post-quantum")
    log = (pair.kmes.state.logs / f"{HERE}.log").read_text()
    assert "TLS refused at door etsi014: the client offers no post-quantum key exchange" in log
    assert 'offered: TLS 1.3, P-256). Give it OpenSSL 3.5 or newer, or write pq_tls = "preferred"' in log
    end = time.monotonic() + 15
    while time.monotonic() < end:
        with client(pair, "m0") as master:
            master.status(SaeId("s0"))
        shown = qanat("audit", "show", "--kind", "refused", state=pair.kmes.state.path).stdout
        if "TLS at etsi014" in shown and "not-post-quantum" in shown:
            return
        time.sleep(0.3)
    raise AssertionError(shown)


def classical(pair: LivePair) -> None:
    """A client of an older OpenSSL, played by what it puts on the wire: no group with ML-KEM."""
    files = pair.kmes.credentials("m0")
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.use_certificate_chain_file(str(files.certfile))
    context.use_privatekey_file(str(files.keyfile))
    context.set_tmp_ecdh(ec.SECP256R1())  # and with that no other group
    with socket.create_connection(("127.0.0.1", pair.kmes.port(HERE)), timeout=5) as plain:
        plain.setblocking(True)
        line = SSL.Connection(context, plain)
        line.set_connect_state()
        line.do_handshake()


@pytest.mark.skipif(ssl.OPENSSL_VERSION_INFO >= (3, 5), reason="Python's own OpenSSL has the group")
def test_python_whose_own_openssl_is_too_old_is_refused_with_an_alert_too(gate: tuple[LivePair, Ear]) -> None:
    pair, _ = gate
    if expected_kind(pair) == "ml-dsa-65":
        pytest.skip("it cannot load the certificate either")
    plain = socket.create_connection(("127.0.0.1", pair.kmes.port(HERE)), timeout=5)
    with pytest.raises(ssl.SSLError) as caught:
        context_of(pair.kmes.credentials("m0")).wrap_socket(plain, server_hostname="127.0.0.1")
    assert caught.value.reason == "TLSV1_ALERT_INSUFFICIENT_SECURITY"
    plain.close()


def test_a_certificate_of_another_ca_gets_no_key(gate: tuple[LivePair, Ear], tmp_path: Path) -> None:
    pair, ear = gate
    made = hostile(tmp_path, urns=["urn:qanat:sae:m0"], signer=None)  # ECDSA P-256, whatever the network's kind
    files = Credentials(*made, pair.kmes.state.ca / "cert.pem")
    with client(pair, "m0", files) as wrong, pytest.raises((OurCertificateRefused, AnswerLost, KmeUnreachable)):
        wrong.enc_keys(SaeId("s0"))
    ear.until(name="qanat_kme_handshakes_refused_total", site=HERE, door="etsi014", reason="other-ca")
