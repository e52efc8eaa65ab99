"""A store that several instances of one site share, of which one may write."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from qanat.core.errors import EnvironmentProblem


class LeaseLost(EnvironmentProblem):
    """This instance of the KME does not serve its store now: another one does, or the database cannot be reached. It
    goes on by itself as soon as it can; nothing was handed out meanwhile."""


@runtime_checkable
class Leased(Protocol):
    """What such a store needs besides the contract of ``km.store.Store``."""

    def beat(self) -> None:
        """The thread that writes is alive. To be called at least every second while nothing is written.

        Raises:
            LeaseLost: another instance may write now; drop the engine and begin again with ``load``.
        """
