"""Listening sockets and who is connected to them, so that all can be closed when an instance's turn is over."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Protocol

from qanat.node.wire import Handler, served

FAREWELL_S = 1.5  # ``wire.close`` gives a TLS peer one second


class Door(Protocol):
    """A listening socket, of whatever kind."""

    def close(self) -> None: ...


class Guests:
    """Hands out handlers and remembers their connections; leaving the context closes doors, then connections."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._doors: list[Door] = []

    def come_by(self, door: Door) -> None:
        """This listening socket is to be closed with the context."""
        self._doors.append(door)

    def served(self, handler: Handler) -> Handler:
        """As ``wire.served``."""
        inner = served(handler)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            try:
                await inner(reader, writer)
            finally:
                self._tasks.discard(task)

        return serve

    async def __aenter__(self) -> Guests:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for door in self._doors:
            door.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=FAREWELL_S)
