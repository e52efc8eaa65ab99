"""Frames on real sockets, with peers that cut, lie and talk nonsense."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qanat.core.errors import RemoteProtocolError
from qanat.core.ids import BlockId, LinkId
from qanat.core.provenance import Authentication, Origin, Provenance
from qanat.node.messages import HUB, KQ1, AdminRequest, Hello, KeyBlockStored, NewKeyBlock
from qanat.node.wire import FRAME_SIZE_BYTES_MAX, FrameTooLarge, frames, keep_connected, read_frame, served, write_frame

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def with_server(path: Path, handler: Talk, talk: Talk) -> None:
    server = await asyncio.start_unix_server(handler, str(path))
    async with server:
        reader, writer = await asyncio.open_unix_connection(str(path))
        try:
            await asyncio.wait_for(talk(reader, writer), 5)
        finally:
            writer.close()


def read_from(data: bytes) -> list[bytes]:
    """Frames in a byte string that ends there."""

    async def run() -> list[bytes]:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        return [frame async for frame in frames(reader)]

    return asyncio.run(run())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=6), st.integers(0, 2_000))
def test_frames_come_whole_or_not_at_all_wherever_the_stream_is_cut(sent: list[bytes], cut: int) -> None:
    data = b"".join(len(frame).to_bytes(4) + frame for frame in sent)
    got = read_from(data[:cut])
    assert got == sent[: len(got)]
    assert len(got) == len(sent) or sum(len(frame) + 4 for frame in sent[: len(got) + 1]) > cut


def test_an_announced_size_beyond_the_limit_is_refused_before_anything_is_read() -> None:
    with pytest.raises(FrameTooLarge, match="16 MiB"):
        read_from((FRAME_SIZE_BYTES_MAX + 1).to_bytes(4))
    assert read_from(FRAME_SIZE_BYTES_MAX.to_bytes(4) + b"half") == []


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_nonsense_is_a_protocol_error_and_nothing_else(data: bytes) -> None:
    for codec in (HUB, KQ1):
        with contextlib.suppress(RemoteProtocolError):
            codec.decode(data)  # type: ignore[attr-defined]


@pytest.mark.parametrize("wrong", [{"type": "nobody"}, {"type": "ask", "verb": 3}, [], None, "ask"])
def test_well_formed_messages_that_mean_nothing_are_refused(wrong: object) -> None:
    with pytest.raises(RemoteProtocolError):
        HUB.decode(msgspec.msgpack.encode(wrong))


def test_a_key_block_message_shows_no_bits() -> None:
    provenance = Provenance(
        origin=Origin.QKD,
        links=(LinkId("a-b"),),
        authentication=Authentication.PRE_SHARED,
        epsilon_total=1e-10,
        simulated=True,
    )
    message = NewKeyBlock(LinkId("a-b"), BlockId("a-b/1/2"), 0, 1, b"SECRET" * 8, provenance)
    assert KQ1.decode(KQ1.encode(message)) == message
    assert "SECRET" not in repr(message)
    assert "a-b/1/2" in repr(message)


def test_a_served_handler_closes_on_nonsense_and_the_server_goes_on(tmp_path: Path) -> None:
    heard: list[object] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for frame in frames(reader):
            heard.append(HUB.decode(frame))

    async def run() -> None:
        async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            write_frame(writer, b"\xc1 no message")
            assert await reader.read() == b""  # closed

        async def huge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"\xff\xff\xff\xff")
            assert await reader.read() == b""

        async def sense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            write_frame(writer, HUB.encode(Hello("test", 1)))
            writer.write_eof()
            assert await reader.read() == b""

        for number, talk in enumerate((nonsense, huge, sense)):
            await with_server(tmp_path / str(number), served(handler), talk)

    asyncio.run(run())
    assert heard == [Hello("test", 1)]


def test_a_line_comes_back_after_its_server_was_away(tmp_path: Path) -> None:
    path = tmp_path / "s"
    heard: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frame = await read_frame(reader)
        assert frame is not None
        heard.append(frame)
        writer.close()

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        write_frame(writer, str(len(heard)).encode())
        await reader.read()

    async def run() -> None:
        line = asyncio.create_task(
            keep_connected(lambda: asyncio.open_unix_connection(str(path)), session, pause_s=0.01, pause_s_max=0.05)
        )
        await asyncio.sleep(0.1)  # nobody is there yet
        for wanted in (1, 2):
            path.unlink(missing_ok=True)
            async with await asyncio.start_unix_server(handler, str(path)):
                while len(heard) < wanted:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
        line.cancel()

    asyncio.run(asyncio.wait_for(run(), 5))
    assert heard[:2] == [b"0", b"1"]


def test_writing_to_a_peer_that_has_gone_is_no_error(tmp_path: Path) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await read_frame(reader) is None
        writer.close()
        write_frame(writer, b"into the void")

    asyncio.run(with_server(tmp_path / "s", handler, talk))


def test_messages_survive_the_round_trip() -> None:
    for message in (Hello("kme mitte", 7, []), AdminRequest("cut", {"fibre": "f"})):
        assert HUB.decode(HUB.encode(message)) == message
    assert KQ1.decode(KQ1.encode(KeyBlockStored(BlockId("a/1/2")))) == KeyBlockStored(BlockId("a/1/2"))
