"""The dashboard as an ASGI application: read-only, same-origin, no secrets.

GET /               the page
GET /api/snapshot   the newest snapshot, JSON
GET /api/events     server-sent events, one `snapshot` event per second
GET /metrics        Prometheus text
GET /healthz        200 while snapshots are fresh, 503 with the reason otherwise
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from qanat.node.dashboard.assets import assets
from qanat.node.dashboard.broadcast import Broadcast, TooManyReaders
from qanat.node.dashboard.guards import LOCAL_NAMES, Guard
from qanat.node.dashboard.metrics import metrics_text
from qanat.node.dashboard.source import SnapshotSource

AGE_MAX_S = 10.0  # snapshots come every second; ten in a row missing is a fault, not a hiccup


def create_dashboard(
    source: SnapshotSource,
    *,
    host_names: Collection[str] = LOCAL_NAMES,
    interval_s: float = 1.0,
    heartbeat_s: float = 10.0,
    clock_ns: Callable[[], int] = time.time_ns,
) -> Starlette:
    """The live page for one source of snapshots.

    Serve it with a short ``timeout_graceful_shutdown``: an open event stream otherwise holds up the end.

    Args:
        source: Where snapshots come from.
        host_names: Names by which a browser may call us (Host header without port).
        interval_s: Shortest time between two events.
        heartbeat_s: Longest silence on an event stream.
        clock_ns: Wall clock, to tell whether snapshots are fresh.

    Raises:
        PageNotBuilt: the built page is not in this installation.
    """
    assets()  # fail at start, not at the first request
    answers = _Answers(source, Broadcast(source, interval_s=interval_s, heartbeat_s=heartbeat_s), clock_ns)
    routes = [
        Route("/api/snapshot", answers.snapshot),
        Route("/api/events", answers.events),
        Route("/metrics", answers.metrics),
        Route("/healthz", answers.health),
        Route("/{path:path}", answers.page),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Guard, host_names=host_names)])


class _Answers:
    def __init__(self, source: SnapshotSource, broadcast: Broadcast, clock_ns: Callable[[], int]) -> None:
        self._source = source
        self._broadcast = broadcast
        self._clock_ns = clock_ns

    async def page(self, request: Request) -> Response:
        asset = assets().get(request.url.path)
        if asset is None:
            return PlainTextResponse("There is no such page here; the live page is at /.\n", status_code=404)
        headers = {"etag": asset.etag, "cache-control": asset.cache_control}
        if request.headers.get("if-none-match") == asset.etag:
            return Response(status_code=304, headers=headers)
        return Response(asset.body, media_type=asset.media_type, headers=headers)

    async def snapshot(self, _: Request) -> Response:
        return Response(msgspec.json.encode(self._source.snapshot()), media_type="application/json")

    async def events(self, request: Request) -> Response:
        if request.method == "HEAD":  # a stream without a body would never end
            return Response(media_type="text/event-stream")
        try:
            self._broadcast.require_room()
        except TooManyReaders as error:
            return PlainTextResponse(f"{error}\n", status_code=503, headers={"retry-after": "5"})
        return StreamingResponse(self._broadcast.frames(), media_type="text/event-stream")

    async def metrics(self, _: Request) -> Response:
        body, media_type = metrics_text(self._source.snapshot())
        return Response(body, headers={"content-type": media_type})

    async def health(self, _: Request) -> Response:
        snapshot = self._source.snapshot()
        age_s = (self._clock_ns() - int(snapshot["at_ns"])) / 1e9
        is_fresh = age_s <= AGE_MAX_S
        body = {"status": "ok" if is_fresh else "stale", "sequence": snapshot["sequence"], "age_s": round(age_s, 3)}
        return Response(msgspec.json.encode(body), status_code=200 if is_fresh else 503, media_type="application/json")
