"""Requests to another operator's KME that has several instances go to the one that listens, and to no stranger."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))

from memory_kme import Authority, Files

from qanat.core.ids import SaeId, SiteId
from qanat.core.topology import Partner
from qanat.km.interwork.outbox import Request
from qanat.node.api.server import HttpsServer, serve
from qanat.node.pki import Credentials
from qanat.node.processes.border import BorderLine
from qanat.node.supervisor import free_ports

REQUEST = Request(number=7, partner="west", path="", body=b"{}")


class Door:
    """An instance of the partner's KME: takes whatever comes, and counts."""

    def __init__(self, files: Files, port: int, status: int = 202) -> None:
        self.count, self._status = 0, status
        self.server: HttpsServer = serve(
            self, host="127.0.0.1", port=port, certfile=files.cert, keyfile=files.key, cafile=files.ca
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        self.count += 1
        await send({"type": "http.response.start", "status": self._status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def line_to(ports: list[int], ours: Files, ca: Path, answers: list[tuple[int, int]]) -> BorderLine:
    url, *others = [f"https://127.0.0.1:{port}" for port in ports]
    partner = Partner(
        id="west",
        site=SiteId("east"),
        url=url,
        own_url="https://127.0.0.1:1",
        pairs=((SaeId("bank"), SaeId("vault")),),
        standby_urls=tuple(others),
    )

    async def answered(number: int, status: int) -> None:
        answers.append((number, status))

    return BorderLine(partner, Credentials(ours.cert, ours.key, ours.ca), ca, answered)


async def sent(line: BorderLine, answers: list[tuple[int, int]], count: int) -> None:
    line.send(REQUEST)
    for _ in range(250):
        if len(answers) >= count or not line._tasks:
            return
        await asyncio.sleep(0.02)


def test_requests_follow_the_instance_that_listens_and_leave_one_that_says_503(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca", "west and east", start=datetime.now(UTC))
    west, east = authority.files("kme", "west"), authority.files("kme", "east")

    async def run() -> tuple[list[tuple[int, int]], int]:
        free = free_ports()
        ports, answers = [next(free), next(free)], []
        line = line_to(ports, east, west.ca, answers)
        second = Door(west, ports[1])
        await second.server.start()
        await sent(line, answers, 1)
        await second.server.stop()
        first = Door(west, ports[0], status=503)
        await first.server.start()
        await sent(line, answers, 2)
        await first.server.stop()
        again = Door(west, ports[1])
        await again.server.start()
        await sent(line, answers, 3)
        await again.server.stop()
        return answers, again.count

    answers, count = asyncio.run(run())
    assert answers == [(7, 202), (7, 503), (7, 202)]
    assert count == 1


def test_a_standby_address_that_is_somebody_else_gets_no_request(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca", "west and east", start=datetime.now(UTC))
    east, stranger = authority.files("kme", "east"), authority.files("kme", "south")

    async def run() -> tuple[list[tuple[int, int]], int]:
        free = free_ports()
        ports, answers = [next(free), next(free)], []
        door = Door(stranger, ports[1])
        await door.server.start()
        await sent(line_to(ports, east, east.ca, answers), answers, 1)
        await door.server.stop()
        return answers, door.count

    assert asyncio.run(run()) == ([], 0)
