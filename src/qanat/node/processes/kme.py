"""The KME process: instances of KMEs of one or more sites, and what lies between their turns.

An instance of a site with several waits warm: process, certificate, KEK and session with the database are there, and
every door is closed. When its turn comes it opens them; when the turn is over it closes them, drops all that it knew,
and waits again. Nothing of a turn outlives it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable

from qanat.core.alarms import Command
from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import SiteId
from qanat.node.instance import site_of
from qanat.node.messages import Commanded, HubMessage, Note
from qanat.node.processes.config import ChildConfig, hub_socket
from qanat.node.processes.gateway import Gateway
from qanat.node.processes.health import Health, health_door
from qanat.node.processes.hub_client import KME_QUEUE_LENGTH_MAX, HubClient
from qanat.node.processes.seal_door import SealDoor, seal_socket
from qanat.node.processes.site_kme import SiteKme
from qanat.node.sealing import sealing_of
from qanat.node.statedir import StateDir
from qanat.node.wire import served

HEALTH_LOOK_S = 1.0


class KmeHost:
    """One instance, over all its turns."""

    def __init__(self, config: ChildConfig, instance: SiteId, hub: HubClient) -> None:
        self._config, self._instance, self._hub = config, instance, hub
        self._site = site_of(instance)
        self._state = StateDir(config.state)
        self._sealing = sealing_of(self._state, instance)
        self._operator_door = SealDoor(self._sealing, self._rotate)
        self._turn = self._new_turn()
        self.started = asyncio.Event()

    @property
    def is_one_of_several(self) -> bool:
        return self._config.network.sites[self._site].kme_count > 1

    @property
    def gateway(self) -> Gateway:
        """Of this turn."""
        return self._turn.gateway

    def _new_turn(self) -> SiteKme:
        turn = SiteKme(self._config, self._instance, self._hub, self._sealing)
        turn.open_to_operators(self._operator_door)
        return turn

    def command(self, command: Command) -> None:
        """From the controller; only an instance that serves is told any."""
        self._turn.orders.give(command)

    def health(self) -> Health:
        if self._turn.is_serving:
            return Health.SERVING
        if self._sealing.is_sealed:
            return Health.SEALED
        return Health.UNABLE if self._turn.waiting.problem else Health.STANDBY

    async def run(self) -> None:
        """Until cancelled. A sealed KME answers 503 until it is unsealed; one of several keeps its doors closed."""
        await asyncio.to_thread(self._sealing.start)
        operator_door = self._operator_door
        if not self._sealing.is_sealed:
            operator_door.opened.set()
        socket = self._state.socket_path(seal_socket(self._instance))
        socket.unlink(missing_ok=True)  # of a process that was killed
        operator = await asyncio.start_unix_server(served(operator_door.serve), socket)
        async with operator, health_door(self._config.ports.health.get(self._instance), self.health):
            if self._sealing.is_sealed:
                await self._start_sealed()
            watching = asyncio.create_task(self._turn.watch_access())  # a sealed KME listens to operators
            try:
                await operator_door.opened.wait()
            except asyncio.CancelledError:
                await self._turn.stop_https()
                raise
            finally:
                watching.cancel()
            await self._serve()

    async def _rotate(self, pin: str) -> int:
        return await self._turn.rotate(pin)

    async def _start_sealed(self) -> None:
        if not self.is_one_of_several:
            await self._turn.start_https()
        self._hub.send(Note("note", f"{self._instance}: sealed, {self._sealing.problem}"))
        self.started.set()

    async def _serve(self) -> None:
        if not self.is_one_of_several:
            await self._turn.serve(self.started.set)
            return
        teller = asyncio.create_task(self._tell_health())
        try:
            while True:
                try:
                    await self._turn.serve(self._on_change)
                finally:
                    self._announce(is_serving=False)
                self._hub.send(Note("note", f"{self._site}: instance {self._instance} serves no more; it waits"))
                self._turn = self._new_turn()
        finally:
            teller.cancel()

    async def _tell_health(self) -> None:
        """The journal hears of a standby that could not take over, before it is needed."""
        told = Health.SERVING
        while True:
            await asyncio.sleep(HEALTH_LOOK_S)
            health = self.health()
            if health is not told and health in (Health.STANDBY, Health.UNABLE):
                why = f" cannot take over: {self._turn.waiting.problem}" if health is Health.UNABLE else " stands by"
                self._hub.send(Note("note", f"{self._site}: instance {self._instance}{why}"))
            told = health

    def _on_change(self) -> None:
        """We wait, or we serve."""
        self.started.set()
        self._announce(is_serving=self._turn.is_serving)

    def _announce(self, *, is_serving: bool) -> None:
        """Commands of the controller go to whoever serves."""
        others = [site for site in self._hub.sites if site != self._site]
        wanted = [*others, self._site] if is_serving else others
        if set(wanted) != set(self._hub.sites):
            self._hub.announce(wanted)


async def main(config: ChildConfig, say_ready: Callable[[], None]) -> None:
    hosts: dict[SiteId, KmeHost] = {}

    def on_message(message: HubMessage) -> None:
        if isinstance(message, Commanded) and message.command.site in hosts:
            hosts[message.command.site].command(message.command)

    alone = [site for site in config.sites if config.network.sites[site_of(site)].kme_count == 1]
    hub = HubClient(
        config.sockets[hub_socket()],
        process="kme " + " ".join(config.sites),
        sites=alone,
        on_message=on_message,
        queue_length_max=KME_QUEUE_LENGTH_MAX * len(config.sites),
    )
    async with asyncio.TaskGroup() as group:
        for instance in config.sites:
            if site_of(instance) in hosts:
                raise EnvironmentProblem(f"two instances of {site_of(instance)} in one process would fall together")
            host = hosts[site_of(instance)] = KmeHost(config, instance, hub)
            group.create_task(host.run())
        for host in hosts.values():
            await host.started.wait()
        group.create_task(hub.run())
        logging.info("serving %s, process %d", ", ".join(config.sites), os.getpid())
        say_ready()
