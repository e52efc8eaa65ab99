"""How an instance waits for its turn: it looks again and again, says why it may not serve, and can be told to go."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from qanat.node.store.leased import LeaseLost
from qanat.node.store.sqlite import WrongKek

StoreT = TypeVar("StoreT")

RETRY_S = 0.3  # a database that is away, or sealed under a KEK that was not brought here yet


class NotWanted(LeaseLost):
    """This instance was stopped while it waited for its turn."""


class Waiting:
    """Between the thread that waits and whoever looks at it; usable from any thread.

    Attributes:
        problem: Why this instance could not take over now; empty when it stands by.
    """

    def __init__(self) -> None:
        self.problem = "it has not reached its database yet"
        self._over = threading.Event()

    def stand_by(self) -> None:
        """The database was looked at: another instance serves, and all is well."""
        self.tell("")

    def tell(self, problem: str) -> None:
        if problem and problem != self.problem:
            logging.warning("waiting: %s", problem)
        self.problem = problem

    def give_up(self) -> None:
        """End the wait at its next look."""
        self._over.set()

    def pause(self, pause_s: float) -> None:
        """Raises: NotWanted."""
        if self._over.wait(pause_s):
            raise NotWanted("stopped while waiting")


def store_in_turn(open_once: Callable[[], StoreT], waiting: Waiting) -> StoreT:
    """The store, once it is this instance's turn and the database can be reached.

    Raises:
        NotWanted: it was given up.
        EnvironmentProblem: what waiting does not cure, such as an old copy.
    """
    while True:
        try:
            return open_once()
        except NotWanted:
            raise
        except (LeaseLost, WrongKek) as error:
            waiting.tell(error.detail)
        waiting.pause(RETRY_S)
