"""Keys that were given out a moment ago, kept so that the same request may have the same keys again.

014 has no acknowledgement: when the answer breaks off, the keys are gone for its reader. A KME whose network file
says ``policy.redelivery_s`` keeps each answer for so long, in memory only, for the same SAE and the same request,
named by an ID that the SAE chose. Why, and what it weakens: docs/decisions/0080.

How both sides know that no second set of keys is taken: the KME says in each answer how long it keeps and in
which *epoch* (it changes when the KME starts and has forgotten). A request that is sent again names the epoch it
was first sent in. Same epoch and ID unknown: the first sending took no keys, so this one may. Other epoch: refused.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from qanat.core.ids import SaeId
from qanat.core.timebase import NS_PER_S

REQUEST_ID, REQUEST_AGAIN, REQUEST_DONE = "Qanat-Request-Id", "Qanat-Request-Again", "Qanat-Request-Done"
REDELIVERY = "Qanat-Redelivery"  # "SECONDS EPOCH", in each answer of a KME that keeps them
FORGOTTEN = "the answer to this request is not kept any more"
OTHER_REQUEST = "this request ID was used for another request"
TOO_MANY = "too many answers are kept for this SAE; confirm some, or wait"
KEPT_PER_SAE_MAX = 64  # of at most 128 keys of 4096 bits: 4 MiB an SAE, and a client that confirms keeps one
DONE_MAX = 16


class Wipeable(Protocol):
    @property
    def key_count(self) -> int: ...

    def wipe(self) -> None: ...


KeptT = TypeVar("KeptT", bound=Wipeable)


class NotRepeatable(Exception):
    """The request cannot be answered; no keys were taken for it. Becomes an Error object; not for people.

    Attributes:
        is_full: Later it may be.
    """

    def __init__(self, message: str, *, is_full: bool = False) -> None:
        super().__init__(message)
        self.message, self.is_full = message, is_full


@dataclass(slots=True)
class _Entry(Generic[KeptT]):
    digest: bytes
    until_ns: int
    kept: KeptT | None = None  # None while the first sending is being worked on
    is_lost: bool = False  # its reader had hung up each time it was sent


class Redelivery(Generic[KeptT]):
    """The answers of one KME that may be asked for again.

    Args:
        window_ns: How long an answer is kept.
        epoch: Another one at each start.
        on_burned: Told how many keys of an answer are gone for good: nobody read it within the window.
    """

    def __init__(self, *, window_ns: int, epoch: str, on_burned: Callable[[int], None]) -> None:
        if window_ns <= 0:
            raise ValueError("a window of no time keeps nothing")
        self._window_ns, self._epoch, self._on_burned = window_ns, epoch, on_burned
        self._entries: dict[tuple[SaeId, str], _Entry[KeptT]] = {}
        self._counts: Counter[SaeId] = Counter()

    @property
    def header(self) -> str:
        return f"{self._window_ns / NS_PER_S:g} {self._epoch}"

    def begin(self, caller: SaeId, request_id: str, request: bytes, again: str | None, now_ns: int) -> None:
        """A request with an ID has come; afterwards it is pending, or ``kept`` gives its answer.

        Args:
            request: What it asks, in one spelling; another request under the same ID is refused.
            again: The epoch of its first sending; None when this is the first.

        Raises:
            NotRepeatable: another request has this ID, too many are kept, or it may have been answered and
                the answer is gone.
        """
        self.sweep(now_ns)
        digest = hashlib.sha256(request).digest()
        entry = self._entries.get((caller, request_id))
        if entry is not None:
            if entry.digest != digest:
                raise NotRepeatable(OTHER_REQUEST)
            return
        if again is not None and again != self._epoch:
            raise NotRepeatable(FORGOTTEN)
        if self._counts[caller] >= KEPT_PER_SAE_MAX:
            raise NotRepeatable(TOO_MANY, is_full=True)
        self._entries[caller, request_id] = _Entry(digest, now_ns + self._window_ns)
        self._counts[caller] += 1

    def is_begun(self, caller: SaeId, request_id: str) -> bool:
        return (caller, request_id) in self._entries

    def kept(self, caller: SaeId, request_id: str) -> KeptT | None:
        """The answer; None while it is being worked on, or when that came to nothing."""
        entry = self._entries.get((caller, request_id))
        return None if entry is None else entry.kept

    def keep(self, caller: SaeId, request_id: str, answer: KeptT, now_ns: int) -> None:
        """The keys were taken. The window runs from now."""
        entry = self._entries[caller, request_id]
        entry.kept, entry.until_ns = answer, now_ns + self._window_ns

    def mark_sent(self, caller: SaeId, request_id: str, *, is_lost: bool) -> None:
        if (entry := self._entries.get((caller, request_id))) is not None:
            entry.is_lost = is_lost

    def drop(self, caller: SaeId, request_id: str) -> None:
        """The request took no keys, so it may be sent again under its ID."""
        if (entry := self._entries.get((caller, request_id))) is not None and entry.kept is None:
            self._forget(caller, request_id)

    def confirm(self, caller: SaeId, request_ids: str) -> None:
        """The SAE has the answers to these requests (IDs with spaces between). Unknown ones are no error."""
        for request_id in request_ids.split()[:DONE_MAX]:
            entry = self._entries.get((caller, request_id))
            if entry is not None and entry.kept is not None:
                self._forget(caller, request_id)

    def sweep(self, now_ns: int) -> None:
        """Wipe what was kept long enough."""
        for (caller, request_id), entry in list(self._entries.items()):
            if entry.kept is not None and now_ns >= entry.until_ns:
                if entry.is_lost:
                    self._on_burned(entry.kept.key_count)
                self._forget(caller, request_id)

    def wipe_all(self) -> None:
        """The KME stops."""
        for caller, request_id in list(self._entries):
            self._forget(caller, request_id)

    def deadline_ns(self) -> int | None:
        """When ``sweep`` has something to do."""
        return min((entry.until_ns for entry in self._entries.values() if entry.kept is not None), default=None)

    def _forget(self, caller: SaeId, request_id: str) -> None:
        entry = self._entries.pop((caller, request_id))
        if entry.kept is not None:
            entry.kept.wipe()
        self._counts[caller] -= 1
        if not self._counts[caller]:
            del self._counts[caller]
