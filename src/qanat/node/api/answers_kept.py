"""The hook between HTTP and ``km.redelivery``: one request that takes keys, answered once or again."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from qanat.core.ids import SaeId
from qanat.core.timebase import NS_PER_S
from qanat.km.documents import KeyContainer, KeyDeliveryError
from qanat.km.redelivery import (
    REQUEST_AGAIN,
    REQUEST_DONE,
    REQUEST_ID,
    NotRepeatable,
    Redelivery,
)

if TYPE_CHECKING:
    from starlette.types import Scope

PENDING_PAUSE_S = 0.01
RETRY_AFTER_MS = 1000
_ID = re.compile(r"[0-9A-Za-z-]{16,64}")


class _Kept:
    """A container as ``km.redelivery`` wants it."""

    def __init__(self, container: KeyContainer) -> None:
        self.container = container

    @property
    def key_count(self) -> int:
        return len(self.container.keys)

    def wipe(self) -> None:
        self.container.wipe()


class AnswersKept:
    """Of one KME, or of none: with ``window_s`` 0 every request is answered once, whatever its headers say."""

    def __init__(self, window_s: float, on_burned: Callable[[int], None]) -> None:
        self._memory: Redelivery[_Kept] | None = None
        self._timer: asyncio.TimerHandle | None = None
        if window_s > 0:
            window_ns = round(window_s * NS_PER_S)
            self._memory = Redelivery(window_ns=window_ns, epoch=uuid.uuid4().hex, on_burned=on_burned)

    def headers(self) -> dict[str, str]:
        return {} if self._memory is None else {"Qanat-Redelivery": self._memory.header}

    def confirm(self, scope: Scope, caller: SaeId) -> None:
        """The caller says which answers it has."""
        if self._memory is not None and (done := _header(scope, REQUEST_DONE)) is not None:
            self._memory.confirm(caller, done)

    def name_of(self, scope: Scope) -> str | None:
        """The request's ID; None when its answer is not to be kept.

        Raises:
            KeyDeliveryError: 400, an ID that could be guessed or is none.
        """
        if self._memory is None or (name := _header(scope, REQUEST_ID)) is None:
            return None
        if not _ID.fullmatch(name):
            raise KeyDeliveryError(400, f"{REQUEST_ID} shall be 16 to 64 letters, digits and hyphens")
        return name

    async def container(
        self, scope: Scope, caller: SaeId, name: str, body: bytes, take: Callable[[], Awaitable[KeyContainer]]
    ) -> KeyContainer:
        """The answer kept under this name, or a new one that is kept from now on.

        Raises:
            KeyDeliveryError: as ``take`` does; or the request cannot be repeated.
        """
        memory = self._memory
        assert memory is not None
        request = b"\0".join((scope["method"].encode(), scope["raw_path"], scope.get("query_string", b""), body))
        again = _header(scope, REQUEST_AGAIN)
        while memory.is_begun(caller, name) and memory.kept(caller, name) is None:
            await asyncio.sleep(PENDING_PAUSE_S)  # the first sending is still being worked on
        try:
            memory.begin(caller, name, request, again, time.monotonic_ns())
        except NotRepeatable as error:
            if error.is_full:
                raise KeyDeliveryError(503, error.message, retry_after_ms=RETRY_AFTER_MS) from None
            raise KeyDeliveryError(400, error.message) from None
        kept = memory.kept(caller, name)
        if kept is not None:
            return kept.container
        try:
            container = await take()
        except BaseException:
            memory.drop(caller, name)
            raise
        memory.keep(caller, name, _Kept(container), time.monotonic_ns())
        self._wake_later()
        return container

    def sent(self, caller: SaeId, name: str, *, is_lost: bool) -> None:
        if self._memory is not None:
            self._memory.mark_sent(caller, name, is_lost=is_lost)

    def _wake_later(self) -> None:
        """Bits are wiped when their time is over, also at a KME that nobody asks any more."""
        if self._timer is not None or self._memory is None:
            return
        deadline_ns = self._memory.deadline_ns()
        if deadline_ns is not None:
            pause_s = max(0.0, (deadline_ns - time.monotonic_ns()) / NS_PER_S) + 0.001
            self._timer = asyncio.get_running_loop().call_later(pause_s, self._wake)

    def _wake(self) -> None:
        self._timer = None
        if self._memory is not None:
            self._memory.sweep(time.monotonic_ns())
            self._wake_later()


def _header(scope: Scope, name: str) -> str | None:
    wanted = name.lower().encode()
    return next((value.decode("latin-1") for found, value in scope["headers"] if found == wanted), None)
