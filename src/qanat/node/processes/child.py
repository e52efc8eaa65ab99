"""How a child process begins and ends.

Its configuration comes as one line on standard input, which then stays open: end of file there means that
the supervisor has gone, and the child leaves too. So no orphan survives, however the supervisor died.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import Awaitable, Callable

import msgspec

from qanat.core.errors import QanatError
from qanat.node.event_loop import loop_factory
from qanat.node.processes.config import ChildConfig
from qanat.node.processes.hardening import harden

KEYLESS = ("hub", "glass")  # all others hold keys, or bits that become keys

Main = Callable[[ChildConfig, Callable[[], None]], Awaitable[None]]


def read_config() -> ChildConfig:
    return msgspec.json.decode(sys.stdin.buffer.readline(), type=ChildConfig)


async def _lifeline(stop: asyncio.Event) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
    stop.set()


def _say_ready() -> None:
    gc.freeze()  # what is there now stays: a full collection would walk through it all, and stop everything meanwhile
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write("ready\n")
        sys.stdout.flush()


async def _run(main: Main, config: ChildConfig) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    lifeline = asyncio.create_task(_lifeline(stop))
    work = asyncio.ensure_future(main(config, _say_ready))
    stopped = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
    for task in (work, stopped, lifeline):
        task.cancel()
    # A KME may hold a commit or a slow client: five seconds to drain, then the supervisor ends us.
    await asyncio.wait({work}, timeout=5)
    if work in done:
        work.result()


def run(main: Main) -> int:
    """Run one child to its end; the exit code tells the supervisor whether to start it again."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    config = read_config()
    if config.process not in KEYLESS:
        logging.info("%s: %s", config.process, harden())
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_run(main, config))
    except Exception as error:
        told = _told(error)
        if told is None:
            logging.exception("%s stopped by an error of ours", config.process)
            return 1
        logging.error("%s", " ".join(str(told).split()))  # noqa: TRY400 - one line; the supervisor repeats it
        return told.exit_code
    return 0


def _told(error: BaseException) -> QanatError | None:
    """The error that has a sentence for people, if this is one or a group with one in it."""
    if isinstance(error, QanatError):
        return error
    if isinstance(error, BaseExceptionGroup):
        return next((found for inner in error.exceptions if (found := _told(inner)) is not None), None)
    return None
