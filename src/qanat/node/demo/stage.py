"""The stage: a running network as the demo sees and handles it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from qanat.core.ids import LinkId, SiteId
from qanat.core.topology import Network
from qanat.node.admin_client import ask
from qanat.node.statedir import StateDir
from qanat.node.supervisor import Child, Supervisor

POLL_S = 0.05


class Stage:
    """Waits for things to become true while the supervisor keeps its watch."""

    def __init__(self, network: Network, state: StateDir, supervisor: Supervisor) -> None:
        self.network = network
        self.supervisor = supervisor
        self._state = state

    def ask(self, verb: str, **arguments: Any) -> Any:
        return ask(self._state, verb, **arguments)

    def snapshot(self) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("snapshot")
        return found

    def wait(self, is_true: Callable[[], bool], *, patience_s: float) -> float | None:
        """Seconds until it was true, or None when patience ran out."""
        begun_s = time.monotonic()
        while time.monotonic() - begun_s < patience_s:
            if is_true():
                return time.monotonic() - begun_s
            self.supervisor.watch(POLL_S)
            time.sleep(POLL_S)
        return None

    def link(self, link: LinkId) -> dict[str, Any]:
        return next(item for item in self.snapshot()["links"] if item["id"] == link)

    def route(self, source: SiteId, target: SiteId) -> tuple[LinkId, ...]:
        for pair in self.snapshot()["pairs"]:
            if (pair["source"], pair["target"]) == (source, target):
                return tuple(pair["links"])
        return ()

    def first_alarm(self, link: LinkId, *, is_raised: bool, after_ns: int) -> dict[str, Any] | None:
        """The first alarm of this link after a moment."""
        return next(iter(self.alarms(link, is_raised=is_raised, after_ns=after_ns)), None)

    def alarms(self, link: LinkId, *, is_raised: bool, after_ns: int) -> list[dict[str, Any]]:
        """The link's alarms since a moment, oldest first."""
        return [
            alarm
            for alarm in reversed(self.snapshot()["alarms"])
            if alarm["link"] == link and alarm["raised"] == is_raised and alarm["at_ns"] >= after_ns
        ]

    def kme(self, site: SiteId) -> Child:
        return next(child for child in self.supervisor.children if child.process_name == "kme" and site in child.sites)
