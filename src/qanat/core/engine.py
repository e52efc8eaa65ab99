"""The shape of every party: bytes and the time go in, bytes and events come out."""

from __future__ import annotations

from typing import Protocol, TypeVar

EventT = TypeVar("EventT")


class Engine(Protocol[EventT]):
    """One end of a conversation, without I/O.

    The host calls; the engine never waits, never asks what time it is, never touches its peer. A host
    that stops calling loses nothing but time.
    """

    def receive(self, frame: bytes, now_ns: int) -> None:
        """A frame came from the peer. Never raises on what the peer sent: that becomes an event."""

    def frames_to_send(self, now_ns: int) -> list[bytes]:
        """Frames for the peer, drained, in order."""

    def deadline_ns(self) -> int | None:
        """When to call ``on_deadline``, or None."""

    def on_deadline(self, now_ns: int) -> None:
        """It is that time."""

    def events(self) -> list[EventT]:
        """What happened since the last call, drained."""
