"""Frames on a byte stream: four bytes of length, then the frame. Used on every socket of the live host."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

import msgspec

from qanat.core.errors import RemoteProtocolError
from qanat.core.malformed import MALFORMED

# A key block's sifting frames are the largest: 1e6 slots of up to 5 bytes. Twice that, rounded up.
FRAME_SIZE_BYTES_MAX = 16 * 1024 * 1024

MessageT = TypeVar("MessageT")


class FrameTooLarge(RemoteProtocolError):
    """A peer announced a frame beyond the limit of 16 MiB, or one too large for a greeting. The connection is
    closed."""


class Codec(Generic[MessageT]):
    """Messages of one tagged union, as msgpack."""

    def __init__(self, union: object) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[MessageT] = msgspec.msgpack.Decoder(union)

    def encode(self, message: MessageT) -> bytes:
        return self._encoder.encode(message)

    def decode(self, frame: bytes) -> MessageT:
        """Raises: RemoteProtocolError."""
        try:
            return self._decoder.decode(frame)
        except MALFORMED as error:
            raise RemoteProtocolError(f"a frame of {len(frame)} bytes is not a message: {error}") from None


async def read_frame(reader: asyncio.StreamReader, size_bytes_max: int = FRAME_SIZE_BYTES_MAX) -> bytes | None:
    """The next frame, or None when the peer has closed.

    Raises:
        FrameTooLarge: the announced size is over the limit.
    """
    try:
        size_bytes = int.from_bytes(await reader.readexactly(4))
        if size_bytes > size_bytes_max:
            raise FrameTooLarge(f"{size_bytes} bytes announced")
        return await reader.readexactly(size_bytes)
    except (asyncio.IncompleteReadError, ConnectionError, OSError):
        return None


def write_frame(writer: asyncio.StreamWriter, frame: bytes) -> None:
    """Queue a frame for sending; silently nothing when the peer has gone (engines resend)."""
    if not writer.is_closing():
        writer.write(len(frame).to_bytes(4) + frame)


async def send_all(writer: asyncio.StreamWriter, queue: deque[bytes], filled: asyncio.Event) -> None:
    """Send what is put into this queue, for ever; whoever puts it there sets ``filled``."""
    while True:
        while queue:
            write_frame(writer, queue.popleft())
        await writer.drain()
        filled.clear()
        if not queue:
            await filled.wait()


async def frames(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """All frames until the peer closes."""
    while (frame := await read_frame(reader)) is not None:
        yield frame


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def served(handler: Handler) -> Handler:
    """A server's handler that ends quietly when its peer goes or talks nonsense, and always closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (OSError, RemoteProtocolError) as error:
            logging.info("a connection ended: %s", " ".join(str(error).split()))
        except asyncio.CancelledError:
            pass  # the process is ending
        finally:
            await close(writer)

    return serve


async def close(writer: asyncio.StreamWriter) -> None:
    """Close without complaint; bounded, because a TLS peer may never answer."""
    with contextlib.suppress(Exception):
        writer.close()
        await asyncio.wait_for(writer.wait_closed(), 1.0)


async def keep_connected(
    connect: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]],
    session: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    *,
    pause_s: float = 0.1,
    pause_s_max: float = 1.0,
) -> None:
    """Connect, run the session until it ends, connect again; the pause doubles while nobody answers."""
    wait_s = pause_s
    while True:
        try:
            reader, writer = await connect()
        except (OSError, TimeoutError):
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, pause_s_max)
            continue
        wait_s = pause_s
        try:
            await session(reader, writer)
        except (OSError, RemoteProtocolError):
            pass  # the peer went or talked nonsense; a new connection is the only cure either way
        finally:
            await close(writer)
        await asyncio.sleep(pause_s)
