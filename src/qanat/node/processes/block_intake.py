"""Key blocks from a site's QKD modules to its KME (Kq-1)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from qanat.core.errors import QanatError
from qanat.core.records import KeyBlock
from qanat.node.messages import KQ1, KeyBlockStored, NewKeyBlock, key_block_from_message
from qanat.node.processes.writer_thread import STORE_RETRY_S, StoreFailed, WriterThread
from qanat.node.wire import Handler, frames, write_frame


def block_intake(thread: WriterThread, tell: Callable[[str], None]) -> Handler:
    """The handler of one connection: a block is answered only after it is durable, or refused for good.

    Args:
        tell: Told in a sentence why a block was refused.
    """

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for frame in frames(reader):
            message = KQ1.decode(frame)
            if not isinstance(message, NewKeyBlock):
                continue
            block = key_block_from_message(message)
            try:
                await _add(thread, block)
            except StoreFailed:
                await asyncio.sleep(STORE_RETRY_S)
                return  # unanswered: the module keeps the block and sends it again on its next connection
            except QanatError as error:
                tell(str(error))
            finally:
                block.bits.wipe()
            write_frame(writer, KQ1.encode(KeyBlockStored(message.block)))
            await writer.drain()

    return take


async def _add(thread: WriterThread, block: KeyBlock) -> None:
    await thread.call(lambda kme, now_ns: kme.add_block(block, now_ns))
