"""A bare HTTPS server with client certificates: durable before the answer by group commit, and nothing else.

Run by ``bench/kme.py``: python ceiling.py CERTIFICATE-FOLDER CA-FOLDER DATA-FOLDER; prints its port.
It answers every POST with a random key after one row is on the disk (SQLite, WAL, synchronous=FULL).
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import queue
import ssl
import sys
import threading
import uuid
from pathlib import Path

import apsw
import uvloop
from aiohttp import web


class GroupCommit:
    """While one commit runs, the next group gathers."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._jobs: queue.SimpleQueue[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    async def commit(self) -> None:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._jobs.put((loop, done))
        await done

    def _run(self) -> None:
        db = apsw.Connection(str(self._path))
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            db.execute(f"PRAGMA {pragma}").fetchall()
        db.execute("CREATE TABLE taken (id BLOB)")
        while True:
            group = [self._jobs.get()]
            while not self._jobs.empty():
                group.append(self._jobs.get())
            with db:
                db.executemany("INSERT INTO taken VALUES (?)", [(os.urandom(16),) for _ in group])
            loop = group[0][0]
            loop.call_soon_threadsafe(_settle, [done for _, done in group])


def _settle(group: list[asyncio.Future[None]]) -> None:
    for done in group:
        done.set_result(None)


async def main(certificate: Path, ca: Path, data: Path) -> None:
    store = GroupCommit(data / f"ceiling-{uuid.uuid4()}.db")

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        await store.commit()
        key = {"key_ID": str(uuid.uuid4()), "key": base64.b64encode(os.urandom(32)).decode()}
        return web.Response(body=json.dumps({"keys": [key]}).encode(), content_type="application/json")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    context.load_verify_locations(ca / "cert.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    app = web.Application()
    app.router.add_post("/{tail:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(*(Path(word) for word in sys.argv[1:])))
