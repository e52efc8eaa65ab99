"""Several addresses of one site's KME: which one to ask, and when to try the next. No I/O here.

Exactly one instance of the site serves at a time; the others take no connections. So an address that cannot be
reached says nothing about the site, and the next one is tried: nothing was asked yet, so nothing can be spent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from qanat.core.errors import QanatError
from qanat.sae.errors import AnswerLost, KmeUnreachable
from qanat.sae.retry import Attempts
from qanat.sae.setting import kme_address

PlaceT = TypeVar("PlaceT")

ROUND_PAUSE_S = 0.05  # between two rounds over all addresses, while none serves
CONNECT_S_MAX = 1.0  # one of several addresses may be a frozen machine's, which accepts and never shakes hands


def addresses(base_url: str | Sequence[str] | None, host: str | None, port: int | None) -> list[tuple[str, int]]:
    """Hosts and ports, at least one.

    Raises:
        MisuseError: not the address of a KME.
    """
    if base_url is None or isinstance(base_url, str):
        return [kme_address(base_url, host, port)]
    return [kme_address(url, None, None) for url in base_url] or [kme_address(None, host, port)]


class Places(Generic[PlaceT]):
    """The one in use is the first one."""

    def __init__(self, places: Sequence[PlaceT]) -> None:
        self._places = deque(places)

    @property
    def now(self) -> PlaceT:
        return self._places[0]

    @property
    def count(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[PlaceT]:
        return iter(self._places)

    def leave(self, place: PlaceT) -> None:
        """Ask the next one from now on; nothing, if another caller has left this one already."""
        if self._places[0] is place:
            self._places.rotate(-1)


@dataclass(slots=True)
class Search:
    """One call's search for the instance that serves.

    Args:
        until_s: Monotonic seconds; all addresses are tried at least once.
    """

    place_count: int
    until_s: float
    tried_count: int = 0

    def after(self, error: QanatError, attempts: Attempts, now_s: float) -> float | None:
        """How long to wait before the next address is asked, in seconds; None: the error is the caller's."""
        may_move = isinstance(error, KmeUnreachable) and not attempts.is_lost
        may_move = may_move or (isinstance(error, AnswerLost) and not attempts.key_count)
        self.tried_count += 1
        if self.place_count == 1 or not may_move or (now_s >= self.until_s and self.tried_count >= self.place_count):
            return None
        return ROUND_PAUSE_S if self.tried_count % self.place_count == 0 else 0.0
