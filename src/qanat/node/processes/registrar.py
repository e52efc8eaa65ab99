"""The registrar: the one process that holds the key of the applications' CA, and answers for it over HTTPS.

It knows no key of a KME's store; KMEs know no key of a CA. It runs where the network file has a ``[registrar]``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from qanat.core.errors import EnvironmentProblem, MisuseError
from qanat.core.topology import Network, host_and_port
from qanat.km.documents import KeyDeliveryError
from qanat.node.access import RELOAD_S, Admission
from qanat.node.api.admin import CALLS_PER_S, refusal
from qanat.node.api.door import Door
from qanat.node.api.limits import CallLimit, call_limit
from qanat.node.api.protocol import Admits
from qanat.node.api.registrar import RegistrarDoor, RenewalDoor, Request
from qanat.node.api.server import HttpsServer, serve
from qanat.node.audit.identities import note
from qanat.node.audit.kinds import Row
from qanat.node.audit.refusals import Refusals
from qanat.node.enrolment import check_days, signed_request
from qanat.node.holders import OPERATORS
from qanat.node.pki import admitting_ca, registrar_credentials
from qanat.node.processes.config import ChildConfig
from qanat.node.revocation import issued
from qanat.node.self_renewal import RenewalRefused, renew_own
from qanat.node.shut_out import shut_out
from qanat.node.statedir import StateDir

RENEWALS_PER_S, RENEWALS_AT_ONCE = 1 / 60, 5  # of one application: enough for a lost answer, too few to fill the disk
RETRY_S = 1.0

ResultT = TypeVar("ResultT")


class Registrar:
    """``api.registrar.RegistrarDesk``: one request at a time, since the register and the lists are files."""

    def __init__(self, state: StateDir, network: Network) -> None:
        self._state, self._network = state, network
        self._turn = asyncio.Lock()
        self.refusals = Refusals()

    def refused(self, caller: str, status_code: int, message: str) -> None:
        self.refusals.add("refused", caller, str(status_code), message)

    async def listed(self, operator: str) -> list[dict[str, Any]]:
        def work() -> list[dict[str, Any]]:
            note(self._state, [_asked(operator, "list")])
            return [
                {"sae": one.name, "serial": f"{one.serial:x}", "ends": one.ends.isoformat(), "revoked": one.is_revoked}
                for one in issued(self._state)
            ]

        return await self._done(work)

    async def enrol(self, operator: str, name: str, request: Request) -> dict[str, Any]:
        def work() -> dict[str, Any]:
            self._check_known(name)
            check_days(request.days)
            pem = signed_request(
                self._state, name, days=request.days, csr=request.csr.encode(), by=f"operator {operator}"
            )
            return {"certificate": pem.decode(), "days": request.days}

        return await self._done(work, f"operator {operator}", f"enroll {name}")

    async def revoke(self, operator: str, name: str) -> dict[str, Any]:
        def work() -> dict[str, Any]:
            count, psks = shut_out(self._state, name, by=f"operator {operator}")
            return {"revoked": count, "psks_removed": psks}

        return await self._done(work, f"operator {operator}", f"revoke {name}")

    async def renew(self, name: str, shown: bytes, request: Request) -> dict[str, Any]:
        def work() -> dict[str, Any]:
            self._check_known(name)
            made = renew_own(self._state, name, shown, request.csr.encode(), days=request.days)
            ends = {"ends": made.ends.isoformat(), "old_ends": made.old_ends.isoformat()}
            return {"certificate": made.certificate.decode(), **ends}

        return await self._done(work, f"application {name}", "renew")

    def _check_known(self, name: str) -> None:
        if name not in self._network.saes:
            raise MisuseError(
                f"{name[:80]!r} is no application of this network; certificates are for those that it names"
            )

    async def _done(self, work: Callable[[], ResultT], who: str = "", what: str = "") -> ResultT:
        """In a thread, since it waits for the disk; to its end, whoever hangs up meanwhile.

        Args:
            who, what: For the audit, should it be refused.
        """
        task = asyncio.ensure_future(self._tried(work, who, what))
        task.add_done_callback(_looked_at)
        return await asyncio.shield(task)

    async def _tried(self, work: Callable[[], ResultT], who: str, what: str) -> ResultT:
        async with self._turn:
            try:
                return await asyncio.to_thread(work)
            except MisuseError as error:
                message = _first_line(error)
                if who:
                    facts = {"who": who, "what": what[:120], "why": message[:200]}
                    await asyncio.to_thread(_noted, self._state, ("identity_refused", dict(facts)))
                raise refusal(message, 1 if isinstance(error, RenewalRefused) else error.exit_code) from None
            except EnvironmentProblem as error:
                raise refusal(_first_line(error), error.exit_code) from None

    async def write_refusals(self) -> None:
        """What was refused, counted, into the audit every ten seconds; for ever."""
        while True:
            await asyncio.sleep(RETRY_S)
            now_ns = time.time_ns()
            if self.refusals.is_due(now_ns):
                rows = self.refusals.rows()
                async with self._turn:
                    if await asyncio.to_thread(_noted, self._state, *rows):
                        self.refusals.forget(rows, now_ns)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _looked_at(task: asyncio.Future[Any]) -> None:
    """A refusal whose caller has gone is no unhandled error; one of ours is told of, whoever is there."""
    if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, KeyDeliveryError):
        logging.error("registrar: %s", type(error).__name__, exc_info=error)


def _asked(operator: str, what: str) -> Row:
    return "admin", {"operator": operator, "what": what}


def _noted(state: StateDir, *rows: Row) -> bool:
    """Of something that was refused anyway: a disk that is full makes it no worse."""
    try:
        note(state, rows)
    except EnvironmentProblem as error:
        logging.error("%s", " ".join(str(error).split()))  # noqa: TRY400 - one line; it comes again
        return False
    return True


def _server(config: ChildConfig, address: str, door: Door, cafile: str, admits: Admits) -> HttpsServer:
    host, port = host_and_port(address)
    files = registrar_credentials(StateDir(config.state))
    return serve(
        door,
        host=host,
        port=port,
        certfile=files.certfile,
        keyfile=files.keyfile,
        cafile=cafile,
        admits=admits,
        is_pq_required=config.network.policy.pq_tls == "required",
    )


async def main(config: ChildConfig, say_ready: Callable[[], None]) -> None:
    state, addresses = StateDir(config.state), config.network.registrar
    if addresses is None:
        raise MisuseError("the network file has no [registrar], so there is none to run")
    desk = Registrar(state, config.network)
    operators, applications = Admission(state, OPERATORS), Admission(state)
    door: Door = RegistrarDoor(desk, call_limit(CALLS_PER_S), desk.refused)
    servers = [_server(config, addresses.operators, door, str(state.operator_ca / "cert.pem"), operators.admits)]
    if addresses.applications:
        limit = CallLimit(RENEWALS_PER_S, RENEWALS_AT_ONCE, time.monotonic)
        renewals = RenewalDoor(desk, limit, desk.refused)
        servers.append(_server(config, addresses.applications, renewals, str(admitting_ca(state)), applications.admits))
    try:
        for server in servers:
            await server.start()
        logging.info("registrar at %s", addresses.operators)
        say_ready()
        async with asyncio.TaskGroup() as group:
            group.create_task(_watch(operators, applications))
            group.create_task(desk.write_refusals())
    finally:
        await asyncio.gather(*(server.stop() for server in servers))
        with contextlib.suppress(EnvironmentProblem):
            if rows := desk.refusals.rows():
                note(state, rows)


async def _watch(*admissions: Admission) -> None:
    while True:
        await asyncio.sleep(RELOAD_S)
        for admission in admissions:
            admission.look()
