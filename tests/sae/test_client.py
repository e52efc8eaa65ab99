"""The client against real KMEs over TLS, and against servers that lie, break off or do not listen."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from both import CLIENTS
from memory_kme import STOCK, Files, TwoKmes

from qanat.core.errors import EnvironmentProblem, KeyUnavailable, MisuseError
from qanat.core.ids import SaeId
from qanat.core.provenance import Origin
from qanat.sae.client import KeyDeliveryClient
from qanat.sae.errors import (
    AnswerLost,
    CalledTooOften,
    CertificateUnusable,
    KeysNotFound,
    KmeNotTrusted,
    KmeSpokeNonsense,
    KmeUnreachable,
    NotEntitled,
    OurCertificateRefused,
    RequestRefused,
)
from qanat.sae.keys import DeliveredKey
from qanat.sae.seal import open_file, seal_file

ALICE, BOB, CAROL = SaeId("alice"), SaeId("bob"), SaeId("carol")


@pytest.fixture(params=CLIENTS, autouse=True)
def each_client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test here runs twice, once with each client."""
    monkeypatch.setattr(sys.modules[__name__], "KeyDeliveryClient", CLIENTS[request.param])


def client(two: TwoKmes, sae: str, files: Files | None = None) -> KeyDeliveryClient:
    return KeyDeliveryClient(f"https://localhost:{two.server_of(sae).port}", **(files or two.saes[sae]).kwargs())


def test_two_applications_hold_the_same_labelled_keys(two: TwoKmes) -> None:
    with client(two, "alice") as alice, client(two, "bob") as bob:
        sent = alice.enc_keys(BOB, number=3, size_bits=512)
        got = bob.dec_keys(ALICE, [key.key_id for key in reversed(sent)])
        assert got == sent[::-1]
        assert [key.bits.size_bits for key in got] == [512] * 3
        assert (got[0].master, got[0].slave) == (ALICE, BOB)
        provenance = got[0].provenance
        assert provenance is not None
        assert (provenance.origin, provenance.route_type, provenance.simulated) == (Origin.QKD, "direct", True)
        assert alice.kme_id == "a"
        assert bob.kme_id == "b"


def test_a_key_shows_no_bits_when_printed(two: TwoKmes) -> None:
    with client(two, "alice") as alice:
        key = alice.enc_keys(BOB)[0]
        secret = key.bits.reveal()
        for shown in (repr(key), str(key), f"{key}"):
            assert secret.hex() not in shown
            assert repr(secret)[2:20] not in shown


def test_status_tells_the_limits(two: TwoKmes) -> None:
    with client(two, "alice") as alice:
        before = alice.status(BOB)
        alice.enc_keys(BOB, number=5)
        after = alice.status(BOB)
    assert (before.source_kme_id, before.target_kme_id, before.key_size_bits) == ("a", "b", 256)
    assert before.stored_key_count - after.stored_key_count == 5


def test_a_file_travels_sealed_from_alice_to_bob(two: TwoKmes, tmp_path: Path) -> None:
    (tmp_path / "plans.txt").write_bytes(b"the plans" * 20_000)
    with client(two, "alice") as alice, client(two, "bob") as bob:
        seal_file(tmp_path / "plans.txt", tmp_path / "plans.sealed", alice.enc_keys(BOB)[0])
        open_file(tmp_path / "plans.sealed", tmp_path / "opened.txt", bob.key_of)
        assert (tmp_path / "opened.txt").read_bytes() == (tmp_path / "plans.txt").read_bytes()
        with pytest.raises(KeysNotFound):  # the key was spent: nobody opens it a second time
            open_file(tmp_path / "plans.sealed", tmp_path / "again.txt", bob.key_of)


def test_each_refusal_is_its_own_error(two: TwoKmes) -> None:
    with client(two, "alice") as alice, client(two, "carol") as carol, client(two, "bob") as bob:
        key = alice.enc_keys(BOB)[0]
        with pytest.raises(NotEntitled):
            carol.dec_keys(ALICE, [key.key_id])
        with pytest.raises(NotEntitled):
            alice.enc_keys(CAROL)
        with pytest.raises(KeysNotFound):
            bob.dec_keys(ALICE, [key.key_id, uuid.uuid4()])
        with pytest.raises(RequestRefused, match="multiple of 8"):
            alice.enc_keys(BOB, size_bits=7)
        with pytest.raises(RequestRefused, match="extension_mandatory"):
            alice.enc_keys(BOB, extension_mandatory=[{"acme_x": 1}])
        assert len(alice.enc_keys(BOB, extension_optional=[{"acme_x": 1}])) == 1
        two.pool.stock = 2
        with pytest.raises(KeyUnavailable, match="available: 2") as caught:
            alice.enc_keys(BOB, number=3)
        assert caught.value.retry_after_ms == 1500  # type: ignore[attr-defined]


def test_an_sae_id_with_a_slash_stays_in_its_place(two: TwoKmes) -> None:
    with client(two, "alice") as alice:
        assert alice.enc_keys(SaeId("team/red"))[0].slave == "team/red"


def test_one_connection_serves_many_calls_and_is_renewed_when_the_kme_closed_it(two: TwoKmes) -> None:
    server = two.servers["a"]
    with client(two, "alice") as alice:
        for _ in range(5):
            alice.status(BOB)
        assert len(server._state.connections) == 1
        two.thread.do(close_all(server))
        assert len(alice.enc_keys(BOB)) == 1  # taken once, on a new connection
        assert two.pool.stock == STOCK - 1


async def close_all(server: Any) -> None:
    for connection in list(server._state.connections):
        connection.transport.close()


def test_wrong_certificates_say_what_is_wrong(two: TwoKmes) -> None:
    url = f"https://localhost:{two.servers['a'].port}"
    ca = two.saes["alice"].ca
    cases: list[tuple[Files, type[Exception], str]] = [
        (Files(two.expired.cert, two.expired.key, ca), OurCertificateRefused, "our certificate has expired"),
        (Files(two.stranger.cert, two.stranger.key, ca), OurCertificateRefused, "comes from another CA"),
        (Files(two.saes["alice"].cert, two.saes["alice"].key, two.stranger.ca), KmeNotTrusted, "another CA|itself"),
        (two.kme_files["a"], CertificateUnusable, "certificate of a kme"),
    ]
    for files, kind, words in cases:
        with KeyDeliveryClient(url, **files.kwargs()) as wrong, pytest.raises(kind, match=words):
            wrong.enc_keys(BOB)
    with KeyDeliveryClient(url, **two.kme_files["a"].kwargs(), sae_id=ALICE) as wrong, pytest.raises(NotEntitled):
        wrong.enc_keys(BOB)
    assert two.pool.stock == STOCK


def test_a_kme_under_another_name_or_past_its_time_is_not_trusted(two: TwoKmes) -> None:
    files = two.saes["alice"]
    by_address = KeyDeliveryClient(host="127.0.0.2", port=two.servers["a"].port, **files.kwargs())
    with pytest.raises(KmeUnreachable, match="Nothing listens"):
        by_address.status(BOB)
    old = two.authority.files("kme", "old", days=10, label="-old")
    with serving(old, lambda _: b"") as port, pytest.raises(KmeNotTrusted, match="has expired"):
        KeyDeliveryClient(host="localhost", port=port, **files.kwargs()).status(BOB)
    with serving(two.kme_files["a"], lambda _: b"", host="127.0.0.3") as port:
        wrong = KeyDeliveryClient(host="127.0.0.3", port=port, **files.kwargs())
        with pytest.raises(KmeNotTrusted, match="another address"):
            wrong.status(BOB)


def test_unusable_files_are_named_before_anything_is_sent(two: TwoKmes, tmp_path: Path) -> None:
    files = two.saes["alice"]
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "pkcs8", "-topk8", "-in", files.key, "-out", locked, "-passout", "pass:secret"], check=True
    )
    cases = [
        (Files(tmp_path / "absent.pem", files.key, files.ca), r"absent\.pem is not there"),
        (Files(files.cert, two.saes["bob"].key, files.ca), "(?i)mismatch"),
        (Files(files.cert, files.cert, files.ca), "alice"),
        (Files(files.cert, locked, files.ca), "is encrypted"),
    ]
    for wrong, words in cases:
        with pytest.raises(CertificateUnusable, match=words):
            KeyDeliveryClient("https://localhost:1", **wrong.kwargs())


@pytest.mark.parametrize(
    "url", ["http://localhost:1", "localhost:1", "https://", "https://a:99999", "https://a:1/api", "https://[::1"]
)
def test_an_address_that_is_none_is_misuse(two: TwoKmes, url: str) -> None:
    with pytest.raises(MisuseError, match="https://host:port"):
        KeyDeliveryClient(url, **two.saes["alice"].kwargs())


def test_nothing_listening_and_no_such_host_are_told(two: TwoKmes) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(KmeUnreachable, match=f"Nothing listens on localhost:{port}"):
        KeyDeliveryClient(host="localhost", port=port, **two.saes["alice"].kwargs()).status(BOB)
    with pytest.raises(EnvironmentProblem, match="no-such-host"):
        KeyDeliveryClient(host="no-such-host.invalid", port=1, **two.saes["alice"].kwargs()).status(BOB)


@contextmanager
def serving(files: Files, answer: Callable[[bytes], bytes | None], host: str = "127.0.0.1") -> Iterator[int]:
    """A TLS server that reads one request per connection and sends what ``answer`` says, then closes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert, files.key)
    listener = socket.create_server((host, 0))
    listener.settimeout(5)

    def run() -> None:
        while True:
            try:
                raw, _ = listener.accept()
                with context.wrap_socket(raw, server_side=True) as sock:
                    data = answer(sock.recv(65536))
                    if data is not None:
                        sock.sendall(data)
                    sock.unwrap()
            except (ssl.SSLError, ConnectionError):
                continue
            except OSError:
                return

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(6)


@contextmanager
def alice_before(two: TwoKmes, files: Files, answer: Callable[[bytes], bytes | None]) -> Iterator[KeyDeliveryClient]:
    """Alice's client, connected to a server that answers like that."""
    ours = two.saes["alice"].kwargs()
    with serving(files, answer) as port, KeyDeliveryClient(host="localhost", port=port, **ours) as alice:
        yield alice


def http_answer(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    """The servers here close after each answer and say so: else the next request may meet the closing."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n"
    return head.encode() + body


def test_a_request_that_takes_keys_is_never_sent_twice(two: TwoKmes) -> None:
    requests: list[bytes] = []
    with alice_before(two, two.kme_files["a"], lambda data: requests.append(data) or b"") as alice:
        with pytest.raises(AnswerLost, match="closed the connection"):
            alice.enc_keys(BOB)
        with pytest.raises(AnswerLost):
            alice.dec_keys(BOB, [uuid.uuid4()])
    assert [data.split()[0:2] for data in requests] == [
        [b"POST", b"/api/v1/keys/bob/enc_keys"],
        [b"POST", b"/api/v1/keys/bob/dec_keys"],
    ]


def test_a_kme_that_does_not_answer_in_time_is_told_apart_from_one_that_refuses(two: TwoKmes) -> None:
    two.kmes["a"].delay_s = 2
    files = two.saes["alice"]
    with (
        KeyDeliveryClient(host="localhost", port=two.servers["a"].port, timeout_s=0.3, **files.kwargs()) as alice,
        pytest.raises(AnswerLost, match=r"within 0\.3 s"),
    ):
        alice.enc_keys(BOB)


UUID = str(uuid.uuid4())
GOOD = {"key_ID": UUID, "key": "AAAA"}
LABEL = {
    "qanat_key_origin": "qkd",
    "qanat_links": ["a-b"],
    "qanat_trusted_nodes": [],
    "qanat_authentication": "pre-shared",
    "qanat_algorithms": [],
    "qanat_epsilon_total": 1e-9,
    "qanat_simulated": False,
}
LIES: list[Any] = [
    b"",
    b"<html>",
    b"[]",
    b"\xff",
    b"[" * 50_000,
    {},
    {"keys": {}},
    {"keys": ["x"]},
    {"keys": []},
    {"keys": [GOOD, GOOD]},
    {"keys": [{"key_ID": UUID}]},
    {"keys": [{"key_ID": "x", "key": "AAAA"}]},
    {"keys": [GOOD | {"key": "A"}]},
    {"keys": [GOOD | {"key": "AA AA"}]},
    {"keys": [GOOD | {"key": 1}]},
    {"keys": [GOOD | {"key_extension": "x"}]},
    {"keys": [GOOD | {"key_extension": LABEL | {"qanat_key_origin": "magic"}}]},
    {"keys": [GOOD | {"key_extension": LABEL | {"qanat_links": "a-b"}}]},
    {"keys": [GOOD | {"key_extension": LABEL | {"qanat_simulated": "no"}}]},
    {"keys": [GOOD | {"key_extension": LABEL | {"qanat_epsilon_total": 2}}]},
    {"keys": [GOOD | {"key_extension": {"qanat_key_origin": "qkd"}}]},
]


@pytest.mark.parametrize("lie", LIES, ids=range(len(LIES)))
def test_an_answer_that_014_does_not_know_is_not_used(two: TwoKmes, lie: Any) -> None:
    body = lie if isinstance(lie, bytes) else json.dumps(lie).encode()
    with alice_before(two, two.kme_files["a"], lambda _: http_answer(body)) as alice, pytest.raises(KmeSpokeNonsense):
        alice.enc_keys(BOB)


def test_keys_that_were_not_asked_for_are_not_used(two: TwoKmes) -> None:
    body = json.dumps({"keys": [GOOD]}).encode()
    with alice_before(two, two.kme_files["a"], lambda _: http_answer(body)) as alice:
        with pytest.raises(KmeSpokeNonsense, match="256 bits"):
            alice.enc_keys(BOB, size_bits=256)
        with pytest.raises(KmeSpokeNonsense, match="Other keys"):
            alice.dec_keys(BOB, [uuid.uuid4()])
        plain: DeliveredKey = alice.enc_keys(BOB)[0]  # another maker's KME: no label, and the key says so
        assert plain.provenance is None


def test_a_server_that_speaks_no_014_or_no_http_is_told(two: TwoKmes) -> None:
    for answer, words in ((http_answer(b"<html>", "500 Oops"), "without an Error object"), (b"SSH-2.0\r\n", "HTTP")):
        speak: Callable[[bytes], bytes] = lambda _, said=answer: said  # type: ignore[misc]  # noqa: E731
        with alice_before(two, two.kme_files["a"], speak) as alice, pytest.raises(KmeSpokeNonsense, match=words):
            alice.status(BOB)


def test_the_retry_time_may_come_from_the_header_alone(two: TwoKmes) -> None:
    late = http_answer(b'{"message": "later"}', "429 Too Many Requests", "Retry-After: 3\r\n")
    with alice_before(two, two.kme_files["a"], lambda _: late) as alice, pytest.raises(CalledTooOften) as caught:
        alice.enc_keys(BOB)
    assert caught.value.retry_after_ms == 3000


def test_an_sae_cannot_pose_as_a_kme(two: TwoKmes) -> None:
    with alice_before(two, two.saes["carol"], lambda _: http_answer(b"{}")) as alice, pytest.raises(KmeNotTrusted):
        alice.enc_keys(BOB)


def test_a_controller_cannot_pose_as_a_kme(two: TwoKmes) -> None:
    controller = two.authority.files("controller", "controller", days=3600, label="-posing")
    seen: list[bytes] = []
    with (
        alice_before(two, controller, lambda data: seen.append(data) or http_answer(b"{}")) as alice,
        pytest.raises(KmeNotTrusted, match="names no KME"),
    ):
        alice.enc_keys(BOB)
    assert not any(data.startswith(b"POST") for data in seen)


def test_importing_the_client_is_light() -> None:
    heavy = {"numpy", "scipy", "numba", "starlette", "uvicorn", "cryptography", "pydantic", "msgspec"}
    code = "import sys, qanat.sae.client, qanat.sae.async_client, qanat.sae.seal; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not heavy & set(loaded)
