"""When a request may go out again. No I/O here: the two clients ask, and obey.

A request that takes nothing may always be repeated once. One that takes keys may be repeated only at a KME that
keeps its answers for a while (``km/redelivery.py``) and only within that while: it then carries an ID, and
the KME gives the same keys again instead of new ones. At any other KME it goes out once, and when its answer is
lost the application reads how many keys that may have cost.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from qanat.core.errors import QanatError
from qanat.km.redelivery import DONE_MAX, FORGOTTEN, REDELIVERY, REQUEST_AGAIN, REQUEST_DONE, REQUEST_ID
from qanat.sae.errors import AnswerLost, KmeSpokeNonsense, KmeUnreachable
from qanat.sae.http import Answer

ATTEMPTS_MAX = 5
WINDOW_MARGIN = 0.5  # of the window: our clock and the KME's began at different moments


@dataclass(slots=True)
class KmePromise:
    """What a KME said of redelivery in the last answer's header, ``SECONDS EPOCH``.

    Attributes:
        window_s: How long it keeps an answer; 0 is not at all, None is not yet known.
        epoch: Changes when the KME starts anew, and has forgotten.
        done: Requests whose answers came whole; the next request tells the KME, which then forgets them.
    """

    window_s: float | None = None
    epoch: str = ""
    done: list[str] = field(default_factory=list)

    def read(self, answer: Answer) -> None:
        words = answer.headers.get(REDELIVERY.lower(), "").split()
        try:
            window_s = float(words[0])
            self.window_s, self.epoch = (window_s if 0 < window_s <= 3600 else 0.0), words[1]
        except (IndexError, ValueError):
            self.window_s, self.epoch = 0.0, ""


@dataclass(slots=True)
class Attempts:
    """One call and how often it was sent.

    Args:
        key_count: 0 for a request that takes nothing.
        began_s: Monotonic seconds, before the first sending.
    """

    key_count: int
    promise: KmePromise
    wants_redelivery: bool
    began_s: float
    count: int = 0
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    epoch: str = ""
    is_lost: bool = False

    @property
    def can_be_repeated(self) -> bool:
        """Its keys are safe when the answer is lost."""
        return self.wants_redelivery and bool(self.promise.window_s)

    def headers(self) -> dict[str, str]:
        """For the next sending."""
        self.count += 1
        told: dict[str, str] = {}
        if self.promise.done:
            told[REQUEST_DONE] = " ".join(self.promise.done[:DONE_MAX])
            del self.promise.done[:DONE_MAX]
        if self.key_count and self.can_be_repeated:
            told[REQUEST_ID] = self.request_id
            if self.count == 1:
                self.epoch = self.promise.epoch
            else:
                told[REQUEST_AGAIN] = self.epoch
        return told

    def after(self, error: QanatError, *, was_reused: bool, now_s: float) -> float:
        """How long to wait before the next sending, in seconds.

        Args:
            was_reused: The connection had served before: the KME may have closed it while it lay idle.

        Raises:
            the error itself, with ``burned_max`` when keys may be lost: the request must not go out again.
        """
        is_loss = isinstance(error, AnswerLost)
        if self.key_count == 0:
            if is_loss and was_reused and self.count == 1:
                return 0.0
            raise error
        self.is_lost |= is_loss
        if not self.is_lost:
            raise error
        window_s = (self.promise.window_s or 0.0) * WINDOW_MARGIN
        pause_s = 0.05 * 4.0 ** (self.count - 1)  # 0.05, 0.2, 0.8, 3.2 s
        is_in_time = self.count < ATTEMPTS_MAX and now_s + pause_s - self.began_s < window_s
        if self.can_be_repeated and is_in_time and isinstance(error, AnswerLost | KmeUnreachable):
            return pause_s
        raise self.lost(error.detail)

    def lost(self, detail: str) -> AnswerLost:
        """What the application reads of an answer that will not come."""
        return AnswerLost(f"{detail} Up to {self.key_count} keys may be spent for nothing.", burned_max=self.key_count)

    def succeeded(self, answer: Answer) -> None:
        """A whole answer came, whatever it says.

        Raises:
            AnswerLost: it says that the first one is gone.
        """
        was_named = self.key_count > 0 and self.can_be_repeated
        self.promise.read(answer)
        if was_named and answer.status_code == 200:
            self.promise.done.append(self.request_id)
        if self.is_lost and answer.status_code == 400 and FORGOTTEN.encode() in answer.body:
            raise self.lost("The KME does not keep the answer any more.")

    def burned_by(self, error: BaseException) -> int:
        """Keys that may be spent for nothing when the call ends with this error."""
        if isinstance(error, AnswerLost):
            return error.burned_max
        was_refused = isinstance(error, QanatError) and not isinstance(error, KmeSpokeNonsense)
        return 0 if was_refused or not self.count else self.key_count
