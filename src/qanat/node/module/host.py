"""Runs one end: meets the peer, begins sessions, feeds light, and leaves in good order.

    meeting   -> session  both showed who they are; a slice of the pre-shared secret is spent, where there is one
    session   -> meeting  the connection broke, or the protocol was: the next session begins anew
    any       -> leaving  all is done, the light has ended, or somebody said stop

A connection without a key block makes the next one wait longer, and too many of them in a row end the process: a
flapping line must not eat the pre-shared secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from qanat.core.errors import EnvironmentProblem, LightEnded, QanatError
from qanat.core.records import Role
from qanat.node.drivers.ports import ReceiverDriver, TransmitterDriver
from qanat.node.module.door import Agreement, PeerDiffers, greeting, meet
from qanat.node.module.end import LINE, Farewell, ModuleEnd
from qanat.node.module.keys import KeySink
from qanat.node.module.light import Changes, Light
from qanat.node.module.place import Address
from qanat.node.module.telling import Teller
from qanat.node.processes.auth_reserve import ReserveExhausted
from qanat.node.processes.link_end import Frame
from qanat.node.wire import close, frames, write_frame

TICK_S = 0.02
DRAIN_S = 5.0
BARREN_MAX = 16  # sessions in a row without a key block; then something is wrong that more of them will not mend
PAUSE_S, PAUSE_S_MAX = 0.2, 30.0
MEETINGS_MAX = 8  # strangers at the door at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What this end was asked to do.

    Attributes:
        listen, connect: One of them is given.
        blocks: End after so many key blocks; None: never.
        duration_s: End after so long; None: never.
    """

    listen: Address | None
    connect: Address | None
    blocks: int | None = None
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    sentence: str
    exit_code: int


class Host:
    """See the module."""

    def __init__(
        self, *, task: Task, end: ModuleEnd, light: ReceiverDriver | TransmitterDriver, sink: KeySink, teller: Teller
    ) -> None:
        self._task, self._end, self._sink, self._teller, self._driver = task, end, sink, teller, light
        self._changes = Changes()
        self._light = Light(light, end, self._changes) if end.role is Role.RECEIVER else None  # type: ignore[arg-type]
        self._writer: asyncio.StreamWriter | None = None
        self._ending: Ending | None = None
        self._is_leaving = self._has_peer_left = False
        self._farewell: asyncio.Task[None] | None = None
        self._meetings = 0

    async def run(self, say_ready: Callable[[str | None], None]) -> Ending:
        """Until the end; ``say_ready`` is told where we listen, or None."""
        server = await self._listening() if self._task.listen is not None else None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupted)
        workers = [asyncio.create_task(work) for work in self._work()]
        say_ready(_name(server) if server is not None else None)
        watched, sink = asyncio.create_task(self._watch(workers)), asyncio.create_task(self._sink.run())
        try:
            await self._changes.until(lambda: self._ending is not None)
            await self._leave()
        finally:
            if server is not None:
                server.close()
            await _cancelled(*workers, watched)
            self._end.end()
            self._light.close() if self._light is not None else self._driver.close()
            if sentence := await self._sink.drain():
                self._teller.note(sentence)
            await _cancelled(sink)
        return self._ending or Ending("interrupted", 130)

    def _work(self) -> list[Coroutine[Any, Any, Any]]:
        work: list[Coroutine[Any, Any, Any]] = [self._wake()]
        work += [self._connecting(self._task.connect)] if self._task.connect is not None else []
        work += [self._shining(self._light)] if self._light is not None else []
        work += [self._timing(self._task.duration_s)] if self._task.duration_s is not None else []
        return work

    # Meeting the peer.

    async def _listening(self) -> asyncio.Server:
        address = self._task.listen
        if address is None:
            raise EnvironmentProblem("no address to listen on")
        try:
            return await asyncio.start_server(self._serve, address.host, address.port)
        except OSError as error:
            raise EnvironmentProblem(f"cannot listen on {address}: {error.strerror or error}") from None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A caller; strangers are told off and forgotten, a proven peer replaces the one before."""
        peer = _peer(writer)
        if self._meetings >= MEETINGS_MAX or self._is_leaving:
            await close(writer)
            return
        self._meetings += 1
        try:
            await self._talk(reader, writer)
        except (QanatError, OSError) as error:
            if not self._is_leaving:
                self._teller.note(f"caller {peer}: {_sentence(error)}")
            if isinstance(error, ReserveExhausted):
                self._finish(Ending(_sentence(error), error.exit_code))
        except Exception as error:
            self._finish(_bug(error))
            raise  # asyncio logs where it came from
        finally:
            self._meetings -= 1
            await close(writer)

    async def _connecting(self, address: Address) -> None:
        """Connect again whenever the connection ends; the pause grows while nothing comes of it."""
        misses = 0
        while not self._is_leaving:
            try:
                reader, writer = await asyncio.open_connection(address.host, address.port)
            except OSError as error:
                if misses == 0:
                    self._teller.note(f"nobody answers at {address} ({error.strerror or error}); trying again")
                misses += 1
                await asyncio.sleep(min(PAUSE_S * 2**misses, 2.0))
                continue
            misses = 0
            try:
                await self._talk(reader, writer)
            except (PeerDiffers, ReserveExhausted) as error:
                self._finish(Ending(_sentence(error), error.exit_code))
            except (QanatError, OSError) as error:
                if not self._is_leaving:
                    self._teller.note(f"{address}: {_sentence(error)}")
            finally:
                await close(writer)
            await asyncio.sleep(self._pause_s())

    def _pause_s(self) -> float:
        return min(PAUSE_S * 2.0 ** min(16, self._end.barren_count), PAUSE_S_MAX)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from the door to its end."""
        end = self._end
        ours = greeting(
            link=end.link.id,
            role=end.role,
            plan_digest=end.plan_digest(),
            starter=end.starter,
            is_simulated=self._driver.is_simulated,
        )
        agreed = await meet(reader, writer, ours, end.starter)
        if self._is_leaving:
            return
        if self._writer is not None:
            self._writer.close()  # the peer called anew: the old connection is a half-open ghost
        self._begin(agreed, writer)
        try:
            async for frame in frames(reader):
                if self._writer is not writer:
                    return
                self._hear(LINE.decode(frame))
                await writer.drain()
                if end.session is None:
                    break
        finally:
            if self._writer is writer:
                self._ended()

    def _begin(self, agreed: Agreement, writer: asyncio.StreamWriter) -> None:
        end = self._end
        if end.role is Role.TRANSMITTER:
            self._driver.begin(agreed.epoch)
        end.open(agreed)
        end.send = lambda frame: write_frame(writer, frame)
        self._writer, self._has_peer_left = writer, False
        mark = "SIMULATED light" if agreed.is_simulated else "light"
        self._teller.note(f"session {agreed.epoch} with {_peer(writer)} begins, {mark}, {end.starter.sentence}")
        end.pump()
        self._changes.tell()

    def _hear(self, message: Frame | Farewell) -> None:
        if isinstance(message, Farewell):
            self._peer_leaves(message.is_finished)
        else:
            self._end.receive(message)
            self._look()

    def _peer_leaves(self, is_finished: bool) -> None:
        """Goodbye: for good, or until it comes back. Then the key block under way may still end."""
        self._has_peer_left = True
        if is_finished:
            self._finish(self._judged("the other end has finished"))
        elif self._writer is not None and not self._is_leaving:
            self._farewell = asyncio.create_task(self._let_go(self._writer))
        self._changes.tell()

    async def _let_go(self, writer: asyncio.StreamWriter) -> None:
        if self._light is not None:
            self._light.hold(True)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changes.until(self._is_idle), DRAIN_S - 1)
        writer.close()

    def _ended(self) -> None:
        """The connection is over; say why, and whether to go on."""
        end, self._writer = self._end, None
        end.end()
        end.send = lambda _frame: None
        problem: QanatError | None = getattr(self._driver, "problem", None)  # transmitters' drivers have one
        if self._light is not None:
            self._light.hold(self._is_leaving)
        if self._ending is None:
            self._teller.note(f"session {end.epoch} has ended: {end.failed or 'the connection is gone'}")
        if problem is not None:
            self._light_ended(problem)
        elif end.barren_count >= BARREN_MAX:
            last = end.failed or "the connection broke"
            self._finish(Ending(f"{BARREN_MAX} sessions in a row made no key block; the last one: {last}", 1))
        self._changes.tell()

    # Work beside the connection.

    async def _wake(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._end.wake()
            self._look()

    def _look(self) -> None:
        """After something happened: is the session broken, are we done?"""
        if self._end.session is None and self._end.failed and self._writer is not None:
            self._writer.close()
        wanted = self._task.blocks
        if wanted is not None and self._teller.totals.key_blocks >= wanted:
            self._finish(Ending(f"{wanted} key blocks are made", 0))
        self._changes.tell()

    async def _shining(self, light: Light) -> None:
        problem = await light.run()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changes.until(self._is_idle), 60)
        self._light_ended(problem)

    def _is_idle(self) -> bool:
        return self._end.session is None or self._end.session.is_idle

    def _light_ended(self, problem: QanatError) -> None:
        judged = self._judged(f"the light has ended: {_sentence(problem)}")
        is_bad = not isinstance(problem, LightEnded)
        self._finish(Ending(judged.sentence, problem.exit_code) if is_bad else judged)

    async def _timing(self, duration_s: float) -> None:
        await asyncio.sleep(duration_s)
        self._finish(self._judged("the time is over"))

    async def _watch(self, workers: list[asyncio.Task[Any]]) -> None:
        """An error of ours in a worker ends the process, in words."""
        done, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            error = None if task.cancelled() else task.exception()
            if isinstance(error, QanatError):
                self._finish(Ending(_sentence(error), error.exit_code))
            elif error is not None:
                self._finish(_bug(error))

    # Leaving.

    def _judged(self, sentence: str) -> Ending:
        """0 when what was asked for is made (one key block, unless a number was named), else 1."""
        wanted, made = self._task.blocks or 1, self._teller.totals.key_blocks
        if made >= wanted:
            return Ending(sentence, 0)
        return Ending(f"{sentence}; {made} of {wanted} key blocks were made", 1)

    def _finish(self, ending: Ending) -> None:
        if self._ending is None:
            self._ending = ending
            self._changes.tell()

    def _interrupted(self) -> None:
        if self._ending is not None:
            self._end.end()  # a second Ctrl-C: no more patience
        self._finish(Ending("interrupted", 130))

    async def _leave(self) -> None:
        """Let the key block under way end if we were interrupted, say goodbye, wait for the peer to close."""
        self._is_leaving = True
        is_interrupted = self._ending is not None and self._ending.exit_code == 130
        if self._light is not None:
            self._light.hold(True)
        with contextlib.suppress(TimeoutError):
            if is_interrupted and self._light is not None:
                await asyncio.wait_for(self._changes.until(self._is_idle), DRAIN_S)
            writer = self._writer
            if writer is not None:
                write_frame(writer, LINE.encode(Farewell(is_finished=not is_interrupted)))
                await asyncio.wait_for(
                    self._changes.until(lambda: self._has_peer_left or self._writer is not writer), DRAIN_S
                )
                await close(writer)


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    """Cancel until all have ended: until Python 3.12, ``wait_for`` may swallow a cancellation."""
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=0.2)


def _bug(error: BaseException) -> Ending:
    return Ending(f"this end is stopped by an error of ours: {type(error).__name__}: {_sentence(error)}", 1)


def _peer(writer: asyncio.StreamWriter) -> str:
    name = writer.get_extra_info("peername")
    return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else "somebody"


def _name(server: asyncio.Server) -> str:
    name = server.sockets[0].getsockname()
    return str(Address(name[0], name[1]))


def _sentence(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
