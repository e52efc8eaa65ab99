"""Bytes that no decoder takes, from whoever is at the other end: refused in words, and nothing else happens."""

from __future__ import annotations

import uuid

import msgspec
import pytest
from tests.km.pairing import S, World, a_network

from qanat.core.errors import RemoteProtocolError
from qanat.core.ids import SaeId, SiteId
from qanat.km.events import PeerMisbehaved
from qanat.km.messages import StreamOpen, encoded, frame_from_bytes
from qanat.km.push_documents import is_confirmation
from qanat.km.stream_types import StreamQos
from qanat.node.messages import HUB

DEEP = 5000
# msgpack: text that is no UTF-8, and more levels than any decoder goes down.
NO_TEXT, TOO_DEEP = b"\x81\xa4type\xa1\xff", b"\x81\xa1x" + b"\x91" * DEEP + b"\x01"

# A message as it should be, but for a name.
OPEN = StreamOpen(uuid.UUID(int=7), SaeId("zz"), SaeId("a1"), StreamQos(chunk_bytes=32, bps_max=1, bps_min=0))
NO_NAME = encoded(OPEN).replace(b"zz", b"\xff\xff")


@pytest.mark.parametrize(
    "body",
    [
        b'{"status": 0, "a": ' + b"[" * DEEP + b"]" * DEEP + b"}",
        b'{"status": 0, "\xff": 1}',
        b'{"status": 0, "a": "\xc0\x80"}',
        b'{"status": ' + b"9" * DEEP + b"}",
        b"thank you",
    ],
)
def test_an_endpoint_that_confirms_in_nonsense_has_confirmed(body: bytes) -> None:
    assert is_confirmation(201, body)
    assert not is_confirmation(500, body)


@pytest.mark.parametrize("data", [NO_TEXT, NO_NAME, TOO_DEEP, b"", b"\xc1"])
def test_a_peer_that_sends_nonsense_is_told_of_and_not_believed(data: bytes) -> None:
    world = World(a_network(["a-b"], [("a1", "b1")]))
    world.distil("a-b", 1)
    world.run(S)
    last = frame_from_bytes(next(frame for sender, _, frame in reversed(world.sent) if sender == "b"))
    held = msgspec.structs.replace(last, number=last.number + len(last.messages), messages=[data])
    for frame in (data, encoded(held)):
        world.call("a", lambda kme, frame=frame: kme.receive(SiteId("b"), frame, world.now_ns))
    told = [event.reason for event in world.events["a"] if isinstance(event, PeerMisbehaved)]
    assert len(told) == 2
    assert all("cannot be read" in reason for reason in told)


@pytest.mark.parametrize("data", [NO_TEXT, TOO_DEEP, b"", b"\xc1"])
def test_a_message_between_processes_that_is_none_is_a_broken_rule(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        HUB.decode(data)
