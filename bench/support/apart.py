"""The real supervisor, with the QKD modules of one link in three processes of their own, so that it can die alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from qanat.core.ids import LinkId
from qanat.core.topology import Network
from qanat.node.processes.config import ChildConfig, glass_socket
from qanat.node.statedir import StateDir
from qanat.node.supervisor import WORKERS, Child, Supervisor, free_ports


class SupervisorApart(Supervisor):
    """All other links share their three processes, as in any `qanat up`."""

    def __init__(self, network: Network, state: StateDir, link: LinkId, say: Callable[[str], None]) -> None:
        super().__init__(network, state, is_isolated=True, say=say)
        self._link = link
        self.apart = [Child(f"{name}-apart", name) for name in WORKERS]
        self.children += self.apart
        self._run_apart = self._new_run()
        self._port = next(free_ports())

    def _config(self, child: Child) -> ChildConfig:
        config = super()._config(child)
        if child.process_name not in WORKERS:
            return config
        is_apart = child in self.apart
        links = {name: link for name, link in self.network.links.items() if (name == self._link) is is_apart}
        config = msgspec.structs.replace(config, network=replace(self.network, links=links))
        if not is_apart:
            return config
        glass = str(self.state.socket_path("glass-apart"))
        return msgspec.structs.replace(
            config,
            ports=msgspec.structs.replace(config.ports, classical=self._port),
            sockets=config.sockets | {glass_socket(): glass},
            link_time_base_ns=self._run_apart["link_time_base_ns"],
            glass_keys=self._run_apart["glass_keys"] if config.glass_keys else {},
        )

    def _start_all(self) -> None:
        self._port = next(port for port in free_ports() if port not in _all_numbers(self.ports))
        super()._start_all()

    def _note_end(self, child: Child, now_s: float) -> None:
        """As the supervisor does with its own three: a new start of one is a new start of all."""
        super()._note_end(child, now_s)
        if child in self.apart:
            self._run_apart = self._new_run()
            for other in self.apart:
                if other.popen is not None and other.popen.poll() is None:
                    other.popen.kill()


def _all_numbers(ports: Any) -> set[int]:
    fields = msgspec.to_builtins(ports).values()
    return {number for field in fields for number in (field.values() if isinstance(field, dict) else [field])}
