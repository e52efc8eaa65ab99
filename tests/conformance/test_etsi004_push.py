"""ETSI GS QKD 004 in push mode against two live KMEs: chunks come by HTTPS to applications, and only to them."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from live_pair import LivePair
from push_pair import ENDPOINTS, ask

from qanat.core.ids import SaeId, SiteId
from qanat.crypto.pki import issue
from qanat.km.push_documents import KEY_MATERIAL, PREFIX
from qanat.km.stream_types import StreamStatus
from qanat.node.pki import Credentials
from qanat.sae.chunk_receiver import ChunkReceiver
from qanat.sae.pushed_streams import AsyncPushedStream, PushedStream
from qanat.sae.streams import KeyStream, StreamEnded


def files_of(pair: LivePair, sae: str) -> dict[str, Path]:
    files = pair.kmes.credentials(sae)
    return {"certfile": files.certfile, "keyfile": files.keyfile, "cafile": files.cafile}


def place_of(pair: LivePair, me: str, peer: str, kind: str) -> dict[str, Any]:
    port = getattr(pair.kmes.ports, kind)[pair.site(me)]
    return {"me": SaeId(me), "peer": SaeId(peer), "host": "127.0.0.1", "port": port, "bps_max": 1_000_000}


@contextmanager
def receiver_of(pair: LivePair, sae: str) -> Iterator[ChunkReceiver]:
    with ChunkReceiver(host="127.0.0.1", port=ENDPOINTS[sae], **files_of(pair, sae)) as receiver:
        yield receiver


def pushed(pair: LivePair, me: str, peer: str, receiver: ChunkReceiver, **options: Any) -> PushedStream:
    return PushedStream(receiver=receiver, **files_of(pair, me), **(place_of(pair, me, peer, "push") | options))


def pulled(pair: LivePair, me: str, peer: str, **options: Any) -> KeyStream:
    return KeyStream(**files_of(pair, me), **(place_of(pair, me, peer, "streams") | options))


def opened(pair: LivePair, me: str, peer: str, **more: Any) -> str:
    body = {"source": f"http://{me}", "destination": f"http://{peer}", "qos": {"key_chunk_size": 32}} | more
    code, found = ask(pair, me, "POST", "open-connect", body)
    assert code == 201, found
    return str(found["key_stream_id"])


class Endpoint:
    """An application's endpoint that we did not build on our own receiver: the standard library's server.

    ``answers`` says how each push is answered, one after the other, the last one for all that follow.
    """

    def __init__(self, pair: LivePair, sae: str, answers: list[Any], credentials: Credentials | None = None) -> None:
        files = credentials or pair.kmes.credentials(sae)
        self.seen: list[tuple[str, Any]] = []
        self.peers: list[Any] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.peers.append(self.connection.getpeercert())  # type: ignore[attr-defined]
                outer.seen.append((self.path, body))
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                if callable(answer):
                    answer = answer(body)
                if isinstance(answer, bytes):
                    self.wfile.write(answer)
                    self.close_connection = True
                    return
                if answer is None:  # took it, and says nothing
                    self.close_connection = True
                    return
                self.send_response(answer)
                if answer == 307:
                    self.send_header("Location", f"https://127.0.0.1:{ENDPOINTS['m3']}{KEY_MATERIAL}")
                self.send_header("Content-Length", "13")
                self.end_headers()
                self.wfile.write(b'{"status": 0}')

            def log_message(self, *_: Any) -> None:
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certfile, files.keyfile)
        context.load_verify_locations(pair.kmes.credentials(sae).cafile)
        context.verify_mode = ssl.CERT_REQUIRED
        self._server = ThreadingHTTPServer(("127.0.0.1", ENDPOINTS[sae]), Handler)
        self._server.daemon_threads, self._server.block_on_close = True, False
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, count: int, limit_s: float = 10.0) -> list[Any]:
        end_s = time.monotonic() + limit_s
        while len(self.seen) < count and time.monotonic() < end_s:
            time.sleep(0.02)
        return [body for _, body in self.seen]


def test_both_ends_are_pushed_the_same_chunks_in_order(pushing: LivePair) -> None:
    with receiver_of(pushing, "m0") as one, receiver_of(pushing, "s0") as two:
        first = pushed(pushing, "m0", "s0", one)
        second = pushed(pushing, "s0", "m0", two, stream=first.stream)
        assert (first.is_peer_connected, second.is_peer_connected) == (False, True)
        with first, second:
            first.start()
            second.start()
            for index in range(20):
                sent, got = first.chunk(), second.chunk()
                assert sent.index == got.index == index
                assert sent.bits == got.bits
                assert sent.provenance == got.provenance
                assert sent.provenance.simulated


@pytest.mark.parametrize(("me", "peer"), [("s0", "m0"), ("m1", "s1"), ("s2", "m2")])
def test_one_end_by_rest_and_the_other_by_tcp_read_the_same_stream(pushing: LivePair, me: str, peer: str) -> None:
    with (
        receiver_of(pushing, me) as receiver,
        pulled(pushing, peer, me) as other,
        pushed(pushing, me, peer, receiver, stream=other.stream) as mine,
    ):
        mine.start(2)  # whatever stands before it stays to be taken
        for _ in range(5):
            got = mine.chunk()
            assert other.chunk(got.index).bits == got.bits
            assert got.index >= 2


def test_a_stream_opened_by_rest_is_joined_by_tcp_and_closed_for_both(pushing: LivePair) -> None:
    with receiver_of(pushing, "m0") as receiver:
        mine = pushed(pushing, "m0", "s0", receiver)
        other = pulled(pushing, "s0", "m0", stream=mine.stream)
        mine.start()
        assert other.chunk(0).bits == mine.chunk().bits
        mine.close()
        ends: list[StreamStatus] = []
        for _ in range(100):
            try:
                other.chunk()
            except StreamEnded as ended:
                ends.append(ended.status)
                if ended.status is StreamStatus.NO_QKD_CONNECTION:
                    break
        assert ends[-1] is StreamStatus.NO_QKD_CONNECTION


def test_a_chunk_that_was_pushed_is_gone_for_the_other_interfaces(pushing: LivePair) -> None:
    from qanat.km.stream_chunks import chunk_name  # noqa: PLC0415

    with (
        receiver_of(pushing, "m0") as receiver,
        pulled(pushing, "s0", "m0") as other,
        pushed(pushing, "m0", "s0", receiver, stream=other.stream) as mine,
    ):
        mine.start()
        got = mine.chunk()
        wanted = {"key_IDs": [{"key_ID": str(chunk_name(mine.stream, got.index))}]}
        assert pushing.etsi014("m0", "/api/v1/keys/s0/dec_keys", wanted)[0] == 400
        code, _, found = pushing.etsi014("s0", "/api/v1/keys/m0/dec_keys", wanted)
        assert code == 200
        assert base64.b64decode(found["keys"][0]["key"]) == got.bits.reveal()
        with pytest.raises(StreamEnded):
            other.chunk(got.index)


def test_asyncio_reads_a_pushed_stream(pushing: LivePair) -> None:
    async def read(receiver: ChunkReceiver) -> list[int]:
        options = place_of(pushing, "m0", "s0", "push") | {"receiver": receiver, **files_of(pushing, "m0")}
        async with await AsyncPushedStream.open(**options) as mine:
            other = await asyncio.to_thread(pulled, pushing, "s0", "m0", stream=mine.stream)
            await mine.start()
            indices = []
            async for chunk in mine:
                assert other.chunk(chunk.index).bits == chunk.bits
                indices.append(chunk.index)
                if len(indices) == 5:
                    break
            indices.append((await mine.chunk()).index)
            return indices

    with receiver_of(pushing, "m0") as receiver:
        assert asyncio.run(read(receiver)) == [0, 1, 2, 3, 4, 5]


def test_a_push_has_the_members_of_the_document_and_shows_the_kme(pushing: LivePair) -> None:
    with Endpoint(pushing, "m3", [201]) as endpoint, pulled(pushing, "s3", "m3") as other:
        stream = opened(pushing, "m3", "s3", key_stream_id=str(other.stream))
        assert ask(pushing, "m3", "GET", "get-key", {"key_stream_id": stream}) == (205, {"status": 0})
        body = endpoint.wait_for(3)[0]
        assert ask(pushing, "m3", "PUT", "close", {"key_stream_id": stream}) == (204, None)
    assert endpoint.seen[0][0] == KEY_MATERIAL == "/api/v1/qkd/etsi004/key-material"
    assert set(body) == {"status", "index", "key_buffer", "metadata"}
    assert (body["status"], body["index"], len(base64.b64decode(body["key_buffer"]))) == (0, 0, 32)
    buffer = body["metadata"]["buffer"]
    assert body["metadata"]["size"] == len(json.dumps(buffer, separators=(",", ":")))
    assert buffer["key_stream_id"] == stream
    assert buffer["provenance"]["qanat_simulated"] is True
    assert ("URI", "urn:qanat:kme:site0") in endpoint.peers[0]["subjectAltName"]


TOO_MUCH = b"HTTP/1.1 201 Created\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 40_000


@pytest.mark.parametrize("answer", [500, 200, 307, 404, None, b"nonsense\r\n\r\n", TOO_MUCH])
def test_what_is_not_confirmed_is_offered_again_the_same_and_nothing_else(pushing: LivePair, answer: Any) -> None:
    with Endpoint(pushing, "m3", [answer, answer, 201]) as endpoint, pulled(pushing, "s3", "m3") as other:
        stream = opened(pushing, "m3", "s3", key_stream_id=str(other.stream), qos={"max_bps": 1_000_000})
        assert ask(pushing, "m3", "GET", "get-key", {"key_stream_id": stream})[0] == 205
        seen = endpoint.wait_for(6)
        assert [body["index"] for body in seen[:6]] == [0, 0, 0, 1, 2, 3]
        assert seen[0] == seen[1] == seen[2]
        for body in seen[2:6]:
            assert other.chunk(body["index"]).bits.reveal() == base64.b64decode(body["key_buffer"])
        ask(pushing, "m3", "PUT", "close", {"key_stream_id": stream})


def test_keys_go_to_no_other_application_than_the_one_that_asked(pushing: LivePair, tmp_path: Path) -> None:
    """m2 has a good certificate of the same CA, even one that may serve at that host, and sits on m3's port."""
    ca = pushing.kmes.state.sae_ca
    cert, key = issue(
        ca_cert=(ca / "cert.pem").read_bytes(), ca_key=(ca / "key.pem").read_bytes(), role="sae", identity="m2",
        hosts=["127.0.0.1"], now=datetime.now(UTC), days=1, is_serving=True,
    )  # fmt: skip
    for name, data in (("cert.pem", cert), ("key.pem", key)):
        (tmp_path / name).write_bytes(data)
    thief = Credentials(tmp_path / "cert.pem", tmp_path / "key.pem", pushing.kmes.credentials("m2").cafile)
    with pulled(pushing, "s3", "m3") as other:
        stream = opened(pushing, "m3", "s3", key_stream_id=str(other.stream))
        with Endpoint(pushing, "m3", [201], thief) as endpoint:
            assert ask(pushing, "m3", "GET", "get-key", {"key_stream_id": stream})[0] == 205
            time.sleep(1.5)
            assert endpoint.seen == []
        with Endpoint(pushing, "m3", [201]) as endpoint:
            assert endpoint.wait_for(1)[0]["index"] == 0
            assert other.chunk(0).bits.reveal() == base64.b64decode(endpoint.seen[0][1]["key_buffer"])


def test_an_application_without_a_place_is_pushed_nothing(pushing: LivePair) -> None:
    with pulled(pushing, "s2", "m2") as other:
        stream = opened(pushing, "m2", "s2", key_stream_id=str(other.stream))
        code, found = ask(pushing, "m2", "GET", "get-key", {"key_stream_id": stream})
        assert (code, found["status"]) == (503, 4)
        assert "push_url" in found["message"]


def test_a_third_application_can_neither_start_nor_close_a_stream(pushing: LivePair) -> None:
    with pulled(pushing, "s0", "m0") as other:
        stream = opened(pushing, "m0", "s0", key_stream_id=str(other.stream))
        for verb, call in (("GET", "get-key"), ("PUT", "close")):
            code, found = ask(pushing, "m1", verb, call, {"key_stream_id": stream})
            assert (code, found["status"]) == (400, 4)
        code, found = ask(
            pushing, "m1", "POST", "open-connect",
            {"source": "http://m1", "destination": "http://s1", "qos": {}, "key_stream_id": stream},
        )  # fmt: skip
        assert (code, found["status"]) == (400, 5)
        assert other.chunk(0).index == 0


def test_without_the_other_application_the_answer_is_status_3(pushing: LivePair) -> None:
    stream = opened(pushing, "m0", "s0", qos={"timeout": 300})
    start_s = time.monotonic()
    code, found = ask(pushing, "m0", "GET", "get-key", {"key_stream_id": stream})
    assert (code, found["status"]) == (400, 3)
    assert time.monotonic() - start_s >= 0.3
    assert ask(pushing, "m0", "PUT", "close", {"key_stream_id": stream})[0] == 204


def test_a_quality_that_cannot_be_met_brings_an_offer_that_can(pushing: LivePair) -> None:
    asked = {"source": "http://m0", "destination": "http://s0", "qos": {"key_chunk_size": 4096, "min_bps": 10**6}}
    code, found = ask(pushing, "m0", "POST", "open-connect", asked)
    assert (code, found["status"]) == (400, 7)
    assert (found["qos"]["key_chunk_size"], found["qos"]["min_bps"]) == (512, 1000)
    stream = opened(pushing, "m0", "s0", qos=found["qos"])
    ask(pushing, "m0", "PUT", "close", {"key_stream_id": stream})


NAME = "00000000-0000-0000-0000-000000000007"
GOOD = {"source": "http://m0", "destination": "http://s0", "qos": {}}
BAD: list[tuple[str, str, Any, int]] = [
    ("GET", "/", None, 404),
    ("POST", f"{PREFIX}/open_connect", GOOD, 404),
    ("POST", f"{PREFIX}/open-connect/", GOOD, 404),
    ("GET", "open-connect", GOOD, 405),
    ("POST", "get-key", {"key_stream_id": NAME}, 405),
    ("DELETE", "close", {"key_stream_id": NAME}, 405),
    ("POST", "open-connect?x=1", GOOD, 400),
    ("POST", "open-connect", b"", 400),
    ("POST", "open-connect", b"[]", 400),
    ("POST", "open-connect", b'{"source": "http://m0", "source": "http://m1"}', 400),
    ("POST", "open-connect", {"source": "http://m0", "destination": "http://s0"}, 400),
    ("POST", "open-connect", GOOD | {"source": "http://m1"}, 400),
    ("POST", "open-connect", GOOD | {"source": ""}, 400),
    ("POST", "open-connect", GOOD | {"destination": "http://nobody"}, 400),
    ("POST", "open-connect", GOOD | {"destination": "http://m0"}, 400),
    ("POST", "open-connect", GOOD | {"key_stream_id": "7"}, 400),
    ("POST", "open-connect", GOOD | {"qos": {"ttl": -1}}, 400),
    ("POST", "open-connect", GOOD | {"qos": {"ttl": 2**32}}, 400),
    ("POST", "open-connect", GOOD | {"qos": {"timeout": "50"}}, 400),
    ("GET", "get-key", {}, 400),
    ("GET", "get-key", {"key_stream_id": NAME}, 400),
    ("GET", "get-key", {"key_stream_id": NAME, "index": -1}, 400),
    ("PUT", "close", {"key_stream_id": NAME}, 400),
    ("PUT", "close", b"x" * 70_000, 413),
]


@pytest.mark.parametrize(("verb", "call", "body", "code"), BAD)
def test_a_bad_call_gets_a_status_and_a_sentence(pushing: LivePair, verb: str, call: str, body: Any, code: int) -> None:
    found = ask(pushing, "m0", verb, call, body)
    assert found[0] == code
    assert found[1]["status"] in range(9)
    assert found[1]["message"]


def test_curl_opens_starts_and_closes_a_stream(pushing: LivePair) -> None:
    files = pushing.kmes.credentials("m3")
    base = f"https://127.0.0.1:{pushing.kmes.ports.push[SiteId('site0')]}{PREFIX}"

    def curl(verb: str, call: str, body: dict[str, Any]) -> tuple[int, str]:
        command = ["curl", "--silent", "--show-error", "--http1.1", "--request", verb, "--cacert", files.cafile]
        command += ["--cert", files.certfile, "--key", files.keyfile, "--header", "Content-Type: application/json"]
        command += ["--write-out", "\n%{http_code}", "--data", json.dumps(body), f"{base}/{call}"]
        found = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=20, check=True)
        text, _, code = found.stdout.rpartition("\n")
        return int(code), text

    with Endpoint(pushing, "m3", [201]) as endpoint, pulled(pushing, "s3", "m3") as other:
        asked = {"source": "http://m3", "destination": "http://s3", "qos": {}, "key_stream_id": str(other.stream)}
        code, text = curl("POST", "open-connect", asked)
        assert (code, json.loads(text)["status"]) == (201, 0)
        assert curl("GET", "get-key", {"key_stream_id": str(other.stream)}) == (205, '{"status":0}')
        body = endpoint.wait_for(1)[0]
        assert other.chunk(0).bits.reveal() == base64.b64decode(body["key_buffer"])
        assert curl("PUT", "close", {"key_stream_id": str(other.stream)}) == (204, "")


def test_a_full_receiver_makes_the_kme_wait_and_loses_nothing(pushing: LivePair) -> None:
    with (
        receiver_of(pushing, "m0") as receiver,
        pulled(pushing, "s0", "m0") as other,
        pushed(pushing, "m0", "s0", receiver, stream=other.stream) as mine,
    ):
        mine.start()
        time.sleep(5)  # 64 wait here, and one is refused after three seconds
        indices = [mine.chunk().index for _ in range(100)]
        assert indices == list(range(100))


def waited(stream: KeyStream, index: int) -> bytes:
    """The chunk at the other end, which hears of it when its KME has the owner's frames again."""
    for _ in range(100):
        with suppress(StreamEnded):
            return stream.chunk(index).bits.reveal()
        time.sleep(0.05)
    raise AssertionError(f"chunk {index} did not come within five seconds")


def test_pushing_goes_on_after_the_kme_was_killed(pushing: LivePair) -> None:
    name = uuid.uuid4()
    with Endpoint(pushing, "m3", [201]) as endpoint:
        other = pulled(pushing, "s3", "m3", stream=name, timeout_ms=1)
        stream = opened(pushing, "m3", "s3", key_stream_id=str(name), qos={"max_bps": 10_000, "timeout": 2000})
        assert ask(pushing, "m3", "GET", "get-key", {"key_stream_id": stream})[0] == 205
        before = endpoint.wait_for(3)
        pushing.kmes.kill(SiteId("site0"))
        count = len(endpoint.seen)
        pushing.kmes.start(SiteId("site0"))
        after = endpoint.wait_for(count + 3, 20)
        indices = [body["index"] for body in after]
        assert len(indices) >= count + 3
        assert indices == sorted(set(indices))  # nothing twice, nothing back
        last = after[-1]
        assert len(before) >= 3
        assert waited(other, last["index"]) == base64.b64decode(last["key_buffer"])
        ask(pushing, "m3", "PUT", "close", {"key_stream_id": stream})
