"""ETSI GS QKD 004 against two live KMEs: our client, the reference implementation's bytes, and hostile ones."""

from __future__ import annotations

import random
import socket
import ssl
import struct
import time
import uuid
from typing import Any

import pytest
from live_pair import LivePair, context_of

from qanat.core.ids import SaeId, SiteId
from qanat.km import stream_wire as wire
from qanat.km.stream_types import StreamQos, StreamStatus
from qanat.node.pki import kme_credentials
from qanat.sae.streams import KeyStream, StreamEnded


def stream_of(live: LivePair, me: str, peer: str, **options: Any) -> KeyStream:
    files = live.kmes.credentials(me)
    return KeyStream(
        me=SaeId(me),
        peer=SaeId(peer),
        host="127.0.0.1",
        port=live.kmes.ports.streams[live.site(me)],
        certfile=files.certfile,
        keyfile=files.keyfile,
        cafile=files.cafile,
        **({"bps_max": 1_000_000} | options),
    )


@pytest.mark.parametrize(("one", "two"), [("m0", "s0"), ("s1", "m1")])
def test_two_applications_read_the_same_stream(live: LivePair, one: str, two: str) -> None:
    with stream_of(live, one, two) as first, stream_of(live, two, one, stream=first.stream) as second:
        assert (first.is_peer_connected, second.is_peer_connected) == (False, True)
        for _ in range(5):
            sent, got = first.chunk(), second.chunk()
            assert sent.index == got.index
            assert sent.bits == got.bits
            assert sent.provenance == got.provenance
            assert sent.provenance.simulated
        with pytest.raises(StreamEnded) as caught:
            first.chunk(0)
        assert caught.value.status is StreamStatus.INSUFFICIENT_KEY


def test_a_call_waits_for_the_other_end_as_long_as_was_agreed(live: LivePair) -> None:
    with stream_of(live, "m2", "s2", timeout_ms=400) as alone:
        start = time.monotonic()
        with pytest.raises(StreamEnded) as caught:
            alone.chunk()
        assert caught.value.status is StreamStatus.TIMEOUT
        assert time.monotonic() - start >= 0.4


def test_a_counter_proposal_comes_back_and_is_accepted(live: LivePair) -> None:
    with pytest.raises(StreamEnded) as caught:
        stream_of(live, "m2", "s2", chunk_bytes=4096, bps_min=10**6)
    assert caught.value.status is StreamStatus.QOS_NOT_MET
    assert caught.value.qos is not None
    assert (caught.value.qos.chunk_bytes, caught.value.qos.bps_min) == (512, 1000)
    stream_of(live, "m2", "s2", chunk_bytes=512, bps_min=1000).close()


def test_a_third_application_gets_nothing_of_a_stream(live: LivePair) -> None:
    with stream_of(live, "m0", "s0") as first, stream_of(live, "s0", "m0", stream=first.stream):
        for me, peer in (("m1", "s1"), ("s1", "m1")):
            with pytest.raises(StreamEnded) as caught:
                stream_of(live, me, peer, stream=first.stream)
            assert caught.value.status is StreamStatus.KSID_IN_USE
        with stream_of(live, "s1", "m1") as thief:
            thief.stream = first.stream
            with pytest.raises(StreamEnded) as caught:
                thief.chunk(0)
            assert caught.value.status is StreamStatus.NO_QKD_CONNECTION
        assert first.chunk(0).index == 0


def test_nobody_opens_a_stream_in_another_s_name(live: LivePair) -> None:
    request = wire.OpenRequest(
        source="qkd://m1@x", destination="qkd://s1@x", qos=StreamQos(chunk_bytes=32, bps_max=0, bps_min=0),
        stream=uuid.UUID(int=0),
    )  # fmt: skip
    with raw(live, "m0") as line:
        line.sendall(wire.bytes_from_request(request))
        assert status(answer(line)) is StreamStatus.NO_QKD_CONNECTION


def raw(live: LivePair, sae: str) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", live.kmes.ports.streams[live.site(sae)]), timeout=10)
    return context_of(live.kmes.credentials(sae)).wrap_socket(plain, server_hostname="127.0.0.1")


def answer(line: ssl.SSLSocket) -> bytes:
    """One whole frame, or what came before the end."""
    data = b""
    while len(data) < 8 or len(data) < 8 + int.from_bytes(data[4:8]):
        more = line.recv(65_536)
        if not more:
            break
        data += more
    return data


def status(data: bytes) -> StreamStatus:
    return StreamStatus(int.from_bytes(data[8:12]))


def test_the_reference_implementation_s_layout_is_understood_byte_for_byte(live: LivePair) -> None:
    """As QUBIP/etsi-qkd-004's client packs and unpacks it, written down here without our own codec."""
    qos = struct.pack("!7I", 64, 40_000, 500, 10, 0, 5_000, 3_600) + b"application/json".ljust(256, b"\0")
    ends = [raw(live, sae) for sae in ("m3", "s3")]
    stream = uuid.uuid4().bytes
    for line, source, target in ((ends[0], b"client://m3", b"server://s3"), (ends[1], b"client://s3", b"server://m3")):
        payload = source + b"\0" + target + b"\0" + qos + stream
        line.sendall(b"\x01\x00\x01\x02" + struct.pack("!I", len(payload)) + payload)
    for line in ends:  # the name is known to both: the first call waits for the second
        opened = answer(line)
        assert opened[:4] == b"\x01\x00\x01\x03"
        assert int.from_bytes(opened[4:8]) == len(opened) - 8 == 4 + 28 + 256 + 16
        assert status(opened) is StreamStatus.OK
        assert opened[12 : 12 + 284] == qos
        assert opened[-16:] == stream
    chunks = []
    for line in ends:
        line.sendall(b"\x01\x00\x01\x04" + struct.pack("!I", 24) + stream + struct.pack("!II", 0, 1024))
        data = answer(line)
        assert data[:4] == b"\x01\x00\x01\x05"
        code, index, size = struct.unpack("!III", data[8:20])
        assert (code, index, size) == (0, 0, 64)
        chunks.append(data[20:84])
        assert int.from_bytes(data[84:88]) == len(data) - 88
    assert chunks[0] == chunks[1]
    ends[0].sendall(b"\x01\x00\x01\x08" + struct.pack("!I", 16) + stream)
    assert answer(ends[0]) == b"\x01\x00\x01\x09" + struct.pack("!II", 4, 0)
    for line in ends:
        line.close()


def test_too_little_room_for_metadata_is_told_with_the_size_needed(live: LivePair) -> None:
    with stream_of(live, "m0", "s0") as first, stream_of(live, "s0", "m0", stream=first.stream):
        data = first._call(wire.Service.GET_KEY, wire.GetKeyRequest(stream=first.stream, index=0, metadata_bytes=10))
        found = wire.chunk_answer_from_bytes(data)
        assert (found.status, found.metadata_bytes) == (StreamStatus.METADATA_SIZE_INSUFFICIENT, 1024)
        assert first.chunk(0).index == 0


def test_random_bytes_end_a_connection_and_nothing_else(live: LivePair) -> None:
    rng = random.Random(4)
    for _ in range(200):
        with raw(live, "m0") as line:
            body = rng.randbytes(rng.randrange(400))
            version = rng.choice((b"\x01\x00\x01", rng.randbytes(3)))
            line.sendall(version + rng.randbytes(1) + struct.pack("!I", len(body)) + body)
            line.shutdown(socket.SHUT_WR)
            answer(line)
    with stream_of(live, "m0", "s0") as first, stream_of(live, "s0", "m0", stream=first.stream) as second:
        assert first.chunk().bits == second.chunk().bits


def test_a_frame_that_announces_too_much_is_not_waited_for(live: LivePair) -> None:
    with raw(live, "m0") as line:
        line.sendall(b"\x01\x00\x01\x02\xff\xff\xff\xff")
        start = time.monotonic()
        assert answer(line) == b""
        assert time.monotonic() - start < 5


def test_a_key_manager_may_not_read_streams(live: LivePair) -> None:
    files = kme_credentials(live.kmes.state, SiteId("site1"))
    plain = socket.create_connection(("127.0.0.1", live.kmes.ports.streams[SiteId("site0")]), timeout=10)
    try:
        with context_of(files).wrap_socket(plain, server_hostname="127.0.0.1") as line:
            line.sendall(wire.bytes_from_request(wire.CloseRequest(stream=uuid.uuid4())))
            assert answer(line) == b""
    except OSError:
        pass  # refused in the handshake already: its certificate is another CA's


@pytest.mark.parametrize("seed", range(3))
def test_the_parser_knows_every_frame_or_refuses_it(seed: int) -> None:
    rng = random.Random(seed)
    request = wire.bytes_from_request(
        wire.OpenRequest(
            source="qkd://a@x",
            destination="qkd://b@y",
            qos=StreamQos(chunk_bytes=32, bps_max=1, bps_min=0, mimetype="application/json"),
            stream=uuid.UUID(int=7),
        )
    )[8:]
    read = 0
    for _ in range(10_000):
        data = bytearray(request)
        for _ in range(rng.randrange(4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.3:
            data = data[: rng.randrange(len(data))]
        try:
            found = wire.request_from_bytes(rng.choice((2, 4, 8, 9)), bytes(data))
        except wire.BadFrame:
            continue
        read += 1
        assert wire.request_from_bytes(wire.bytes_from_request(found)[3], wire.bytes_from_request(found)[8:]) == found
    assert read > 100
