"""Where the made keys go: to the site's KME, or nowhere. Each key block is wiped by who had it last."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from qanat.core.ids import SiteId
from qanat.core.records import KeyBlock
from qanat.node.processes.key_outlet import KeyOutlet
from qanat.sae.keys import spoken_digest

DRAIN_S = 5.0


class KeySink(Protocol):
    """Takes key blocks over, secret bits included.

    Attributes:
        sentence: What becomes of the keys, for people.
    """

    sentence: str

    def put(self, block: KeyBlock) -> str | None:
        """Take a block; a digest to show, or None."""

    async def run(self) -> None:
        """Work beside the session until cancelled."""

    async def drain(self) -> str | None:
        """Hand on what waits; a sentence if something could not be."""


class Counted:
    """Counted and destroyed. ``is_compared``: a short digest of each is shown first, to compare both ends."""

    def __init__(self, *, is_compared: bool) -> None:
        self._is_compared = is_compared
        self.sentence = "keys are " + ("compared by digest and " if is_compared else "counted and ") + "destroyed"

    def put(self, block: KeyBlock) -> str | None:
        digest = spoken_digest(block.bits) if self._is_compared else None
        block.bits.wipe()
        return digest

    async def run(self) -> None:
        """Nothing to do."""

    async def drain(self) -> str | None:
        return None


class ToKme:
    """Handed to the KME of the site on its Kq-1 socket, each until it says that it is stored.

    Args:
        sockets: Of the instances of that KME, of which one serves.
    """

    def __init__(self, sockets: Sequence[str], site: SiteId) -> None:
        self._outlet = KeyOutlet(sockets, site)
        self.sentence = f"keys go to the KME of {site} at {' or '.join(sockets)}"

    def put(self, block: KeyBlock) -> str | None:
        self._outlet.put(block)
        return None

    async def run(self) -> None:
        await self._outlet.run()

    async def drain(self) -> str | None:
        loop = asyncio.get_running_loop()
        end_s = loop.time() + DRAIN_S
        while self._outlet.waiting_count and loop.time() < end_s:
            await asyncio.sleep(0.05)
        lost_count = self._outlet.waiting_count + self._outlet.given_up_count
        return f"{lost_count} key blocks were never taken by the KME and are lost" if lost_count else None
