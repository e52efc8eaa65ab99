"""The key store of one turn: opened when the turn begins, its key encryption key changed while it serves."""

from __future__ import annotations

import asyncio
from functools import partial

from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import SiteId
from qanat.core.ports import Entropy
from qanat.node.audit.chains import turn_facts
from qanat.node.audit.trail import Trail
from qanat.node.instance import site_of
from qanat.node.processes.writer_thread import WriterThread
from qanat.node.sealing import AnySealing
from qanat.node.statedir import StateDir
from qanat.node.store.choice import choice_path
from qanat.node.store.opening import SiteStore, check_no_change, finish, open_store, rotate
from qanat.node.store.sqlite import SqliteStore
from qanat.node.store.waiting import Waiting, store_in_turn


class TurnOver(Exception):
    """Another instance serves now, or the database is away."""


class OwnStore:
    """Of one instance of a site's KME.

    Attributes:
        waiting: Tells of, and ends, the wait for our turn.
    """

    def __init__(
        self,
        state: StateDir,
        instance: SiteId,
        *,
        sealing: AnySealing,
        entropy: Entropy,
        trail: Trail,
        is_one_of_several: bool,
    ) -> None:
        self._state, self._instance, self._sealing = state, instance, sealing
        self._entropy, self._trail, self._is_one_of_several = entropy, trail, is_one_of_several
        self._one_rotation = asyncio.Lock()
        self._deposed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.waiting = Waiting()

    def open(self) -> SiteStore:
        """In the writer thread. With several instances it returns when our turn begins.

        Raises:
            EnvironmentProblem: it cannot be used, or several instances have no database.
        """
        opened = partial(
            open_store,
            self._state,
            self._instance,
            root=self._sealing.root,
            next_root=self._sealing.next_root,
            entropy=self._entropy,
        )
        if self._is_one_of_several:
            in_turn = partial(opened, waiting=self.waiting, on_deposed=self._on_deposed)
            self._opened = store_in_turn(in_turn, self.waiting)
        else:
            self._opened = opened()
        self._sealing.settle()
        if not isinstance(self._opened, SqliteStore):
            self._trail.begin_turn(turn_facts(self._opened.facts("audit"), self._instance, self._opened.epoch))
        elif self._is_one_of_several:
            self._opened.close()
            site = site_of(self._instance)
            raise EnvironmentProblem(
                f"site {site} has several KMEs (kme_count), and those share a database: name it in "
                f"{choice_path(self._state, site)}. The how-to guide on PostgreSQL shows how."
            )
        return self._opened

    def _on_deposed(self) -> None:
        self._loop.call_soon_threadsafe(self._deposed.set)

    async def until_deposed(self) -> None:
        """Raises: TurnOver."""
        await self._deposed.wait()
        raise TurnOver

    async def rotate(self, thread: WriterThread, pin: str) -> int:
        """Change the KEK between two groups of keys: what is being served waits for it, nothing is refused.

        Returns:
            How many data keys were wrapped anew.
        """
        return await asyncio.shield(asyncio.ensure_future(self._rotated(thread, pin)))  # whoever asked may hang up

    async def _rotated(self, thread: WriterThread, pin: str) -> int:
        async with self._one_rotation:
            check_no_change(self._state, self._instance)
            renewed = await asyncio.to_thread(self._sealing.renewed, pin, self._entropy)  # a token; served meanwhile
            store, (guard, root) = self._opened, renewed or (None, self._sealing.root)
            count = await thread.call(
                lambda _kme, _now_ns: rotate(self._state, self._instance, store, root, self._entropy, guard)
            )
            finish(self._state, self._instance)
            if renewed is not None:
                await asyncio.to_thread(self._sealing.adopt, pin, renewed[1])
            return count
