"""Where snapshots come from: the one port of this room."""

from __future__ import annotations

from typing import Any, Protocol

Snapshot = dict[str, Any]
"""One public picture of the network; docs/reference/live-page.md lists its fields. Holds no secret."""


class SnapshotSource(Protocol):
    """Makes snapshots; the hub is one."""

    def snapshot(self) -> Snapshot:
        """The newest picture, JSON values only. Its ``sequence`` rises with every change."""
        ...

    async def wait_next(self, last: int) -> int:
        """Wait until a snapshot newer than `last` exists; its sequence number."""
        ...
