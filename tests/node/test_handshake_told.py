"""How each TLS handshake ended, told in few words: both kinds of TLS objects, every reason that a test can provoke."""

from __future__ import annotations

import logging
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from qanat.crypto.pki import issue, make_ca
from qanat.crypto.signing_keys import KeyKind
from qanat.crypto.tls_bytes import tls_context
from qanat.node.api.client_hello import HELLO_BYTES_MAX, FirstWords, Offer, offer_from_record
from qanat.node.api.handshake_told import NOT_HYBRID, REASONS, Handshake
from qanat.node.api.hybrid_tls import INSUFFICIENT_SECURITY
from qanat.node.api.server import TlsChoice, server_context
from qanat.node.api.tls_seen import LOG_INTERVAL_S, TlsSeen

NOW = datetime.now(UTC)
Files = dict[str, Path]


class Authority:
    """A CA and what it issues, as files."""

    def __init__(self, folder: Path, kind: KeyKind = "ecdsa-p256", age_days: int = 0) -> None:
        self.folder, self.now = folder, NOW - timedelta(days=age_days)
        self.cert, self.key = make_ca(common_name="test", now=self.now, days=300, kind=kind)
        self.cafile = folder / "ca.pem"
        folder.mkdir()
        self.cafile.write_bytes(self.cert)

    def leaf(self, name: str, role: str = "sae", **changes: Any) -> Files:
        times = {"now": self.now, "days": 30} | changes
        cert, key = issue(
            ca_cert=self.cert, ca_key=self.key, role=role, identity=name, hosts=["localhost"] * (role == "kme"), **times
        )  # type: ignore[arg-type]
        files = {"certfile": self.folder / f"{name}.pem", "keyfile": self.folder / f"{name}.key"}
        files["certfile"].write_bytes(cert)
        files["keyfile"].write_bytes(key)
        return files


def told(server: ssl.SSLContext, client: SSL.Context, heard: list[Handshake]) -> tuple[Handshake, bytes]:
    """One handshake in memory: what the server told, and the last bytes it sent."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    end: Any = server.wrap_bio(incoming, outgoing, server_side=True)
    caller = SSL.Connection(client, None)
    caller.set_connect_state()
    sent = b""
    for _ in range(6):
        for step in (caller.do_handshake, end.do_handshake):
            with suppress(SSL.Error, ssl.SSLError):
                step()
            with suppress(SSL.WantReadError):
                incoming.write(caller.bio_read(65_536))
            if outgoing.pending:
                sent = outgoing.read()
                caller.bio_write(sent)
        if heard and not heard[0].refused:
            break  # a loop does not ask again; after a refusal it does
    assert len(heard) == 1, heard
    return heard[0], sent


def client_of(ca: Authority, files: Files, **options: Any) -> SSL.Context:
    return tls_context(cafile=ca.cafile, is_server=False, **files, **options)


def server_of(ca: Authority, heard: list[Handshake], tls: TlsChoice = "pq", **options: Any) -> ssl.SSLContext:
    files = ca.leaf("site", "kme", now=NOW)
    return server_context(cafile=ca.cafile, **files, tls=tls, on_handshake=heard.append, **options)


@pytest.mark.parametrize("kind", ["ecdsa-p256", "ml-dsa-65"])
def test_a_handshake_tells_its_group_and_the_kind_of_certificate(tmp_path: Path, kind: KeyKind) -> None:
    ca, heard = Authority(tmp_path / "ca", kind), list[Handshake]()
    found, _ = told(server_of(ca, heard), client_of(ca, ca.leaf("m0")), heard)
    assert found == Handshake(group="X25519MLKEM768", certificate=kind, version="TLSv1.3")


def test_pythons_own_tls_tells_the_certificate_and_admits_that_it_does_not_know_the_group(tmp_path: Path) -> None:
    ca, heard = Authority(tmp_path / "ca"), list[Handshake]()
    found, _ = told(server_of(ca, heard, "stdlib"), client_of(ca, ca.leaf("m0")), heard)
    assert (found.certificate, found.version, found.refused) == ("ecdsa-p256", "TLSv1.3", "")
    assert found.group == "unknown" or hasattr(ssl.SSLObject, "group")


@pytest.mark.parametrize("tls", ["pq", "stdlib"])
@pytest.mark.parametrize("why", ["expired", "not-yet-good", "other-ca", "no-certificate", "wrong-certificate"])
def test_a_refused_certificate_is_told_by_its_reason(tmp_path: Path, tls: TlsChoice, why: str) -> None:
    ca, heard = Authority(tmp_path / "ca", age_days=100), list[Handshake]()
    other = Authority(tmp_path / "other")
    files = {
        "expired": lambda: ca.leaf("m0"),
        "not-yet-good": lambda: ca.leaf("m0", now=NOW + timedelta(days=2)),
        "other-ca": lambda: other.leaf("m0"),
        "no-certificate": lambda: ca.leaf("m0", now=NOW),
        "wrong-certificate": lambda: _for_servers(ca),
    }[why]()
    client = client_of(ca, files)
    if why == "no-certificate":
        client = SSL.Context(SSL.TLS_CLIENT_METHOD)
    assert told(server_of(ca, heard, tls), client, heard)[0].refused == why


def _for_servers(ca: Authority) -> Files:
    """A leaf of the right CA that may serve and not call."""
    from qanat.crypto import pki  # noqa: PLC0415

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(pki._USAGES, pki.CertificateRole.SAE, (pki.ExtendedKeyUsageOID.SERVER_AUTH,))
        return ca.leaf("m0", now=NOW)


def test_a_client_that_is_not_hybrid_gets_the_alert_that_says_so_before_anything_is_agreed_on(tmp_path: Path) -> None:
    ca, heard = Authority(tmp_path / "ca"), list[Handshake]()
    client = client_of(ca, ca.leaf("m0"))
    client.set_tmp_ecdh(ec.SECP256R1())
    found, sent = told(server_of(ca, heard, "auto", is_pq_required=True), client, heard)
    assert found == Handshake(refused=NOT_HYBRID, detail="offered: TLS 1.3, P-256")
    assert sent == INSUFFICIENT_SECURITY


def test_a_client_of_tls_12_is_not_hybrid_whatever_groups_it_names(tmp_path: Path) -> None:
    ca, heard = Authority(tmp_path / "ca"), list[Handshake]()
    client = client_of(ca, ca.leaf("m0"))
    client.set_max_proto_version(SSL.TLS1_2_VERSION)
    found, sent = told(server_of(ca, heard, "auto", is_pq_required=True), client, heard)
    assert (found.refused, sent) == (NOT_HYBRID, INSUFFICIENT_SECURITY)
    assert "TLS 1.2 or older" in found.detail


def test_a_client_that_cannot_verify_ml_dsa_is_told_apart_from_other_disagreements(tmp_path: Path) -> None:
    new, old = Authority(tmp_path / "new", "ml-dsa-65"), Authority(tmp_path / "old")
    heard: list[Handshake] = []
    client = client_of(old, old.leaf("m0"))
    from cryptography.hazmat.bindings.openssl.binding import Binding  # noqa: PLC0415

    assert Binding.lib.SSL_CTX_set1_sigalgs_list(client._context, b"ecdsa_secp256r1_sha256") == 1
    assert told(server_of(new, heard), client, heard)[0].refused == "no-ml-dsa"


def test_plain_http_gets_no_alert_and_is_noise(tmp_path: Path) -> None:
    ca, heard = Authority(tmp_path / "ca"), list[Handshake]()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    end: Any = server_of(ca, heard).wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    with pytest.raises(ssl.SSLError):
        end.do_handshake()
    assert [one.refused for one in heard] == ["not-tls"]


# --- what a client offers


def hello(**options: Any) -> bytes:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if options.get("is_old"):
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
    caller = SSL.Connection(context, None)
    caller.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        caller.do_handshake()
    return caller.bio_read(65_536)


def test_the_hello_of_a_new_openssl_is_read() -> None:
    offer = offer_from_record(hello())
    assert offer is not None
    assert (offer.is_hybrid, offer.has_mldsa, offer.is_tls13) == (True, True, True)
    assert 0x11EC in offer.groups
    old = offer_from_record(hello(is_old=True))
    assert old is not None
    assert (old.is_hybrid, old.is_tls13) == (False, False)


def test_a_hello_that_is_cut_anywhere_is_unknown_and_never_an_error() -> None:
    whole = hello()
    assert all(offer_from_record(whole[:size]) is None for size in range(len(whole)))


@given(st.binary(max_size=200), st.integers(0, 300))
def test_no_bytes_break_the_reader(noise: bytes, at: int) -> None:
    offer_from_record(noise)
    bent = hello()
    offer = offer_from_record(bent[:at] + noise + bent[at + len(noise) :])
    assert offer is None or len(offer.in_words()) < 120


@given(st.lists(st.integers(1, 400), min_size=1, max_size=30))
def test_a_hello_is_read_whatever_pieces_it_comes_in(sizes: list[int]) -> None:
    record, words = hello(), FirstWords()
    ends = []
    while record:
        size = sizes[len(ends) % len(sizes)]
        ends.append(words.take(record[:size]))
        record = record[size:]
    assert ends == [False] * (len(ends) - 1) + [True]
    assert words.offer is not None
    assert words.offer.is_hybrid


def test_what_never_becomes_a_record_is_not_kept() -> None:
    words = FirstWords()
    for _ in range(HELLO_BYTES_MAX):
        words.take(b"\x16\x03\x01\xff\xff")
    assert words._data is None
    assert words.offer is None


def test_an_offer_of_many_groups_is_told_in_few_words() -> None:
    offer = Offer(groups=tuple(range(2000)), schemes=(), is_tls13=True)
    assert offer.in_words() == "TLS 1.3, P-256, P-384, P-521, X25519, X448, ffdhe2048 and 1994 more"


# --- what is counted and told


def test_refusals_are_counted_all_and_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now_s, audited = [0.0], list[tuple[str, str, str]]()
    seen = TlsSeen(on_refused=lambda *row: audited.append(row), clock_s=lambda: now_s[0])
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            seen.at("etsi014")(Handshake(refused=NOT_HYBRID, detail="offered: TLS 1.3, X25519"))
        now_s[0] = LOG_INTERVAL_S
        seen.at("etsi014")(Handshake(refused=NOT_HYBRID))
    assert seen.counts()["refused"] == [["etsi014", NOT_HYBRID, 51]]
    assert len(audited) == 51
    assert [record.getMessage() for record in caplog.records] == [
        "TLS refused at door etsi014: the client offers no post-quantum key exchange, and policy.pq_tls is "
        '"required" (offered: TLS 1.3, X25519). Give it OpenSSL 3.5 or newer, or write pq_tls = "preferred" into the '
        "network file.",
        "TLS refused at door etsi014: the client offers no post-quantum key exchange, and policy.pq_tls is "
        '"required". Give it OpenSSL 3.5 or newer, or write pq_tls = "preferred" into the network file.',
    ]


def test_noise_is_counted_and_neither_logged_nor_audited(caplog: pytest.LogCaptureFixture) -> None:
    audited: list[object] = []
    seen = TlsSeen(on_refused=lambda *row: audited.append(row))
    with caplog.at_level(logging.INFO):
        seen.at("skip")(Handshake(refused="not-tls"))
    assert seen.counts()["refused"] == [["skip", "not-tls", 1]]
    assert (audited, caplog.records) == ([], [])


def test_a_line_to_another_kme_is_told_when_it_differs_from_the_one_before() -> None:
    told_of: list[tuple[str, str]] = []
    seen = TlsSeen(on_peer=lambda peer, handshake: told_of.append((peer, handshake.certificate)))
    for kind in ("ecdsa-p256", "ecdsa-p256", "ml-dsa-65", "ml-dsa-65"):
        seen.line_stands("lyon", Handshake(group="X25519MLKEM768", certificate=kind, version="TLSv1.3"))
    assert told_of == [("lyon", "ecdsa-p256"), ("lyon", "ml-dsa-65")]


def test_every_reason_is_a_word_fit_for_a_label() -> None:
    assert all(reason.replace("-", "").isalnum() and reason.islower() for reason in REASONS)
