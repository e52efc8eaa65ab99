"""The dashboard without a browser: answers, headers, streams, metrics, and the committed build."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message

from qanat.node.dashboard import broadcast as broadcast_module
from qanat.node.dashboard.app import create_dashboard
from qanat.node.dashboard.assets import STATIC
from qanat.node.dashboard.broadcast import HEARTBEAT, Broadcast, TooManyReaders
from qanat.node.dashboard.guards import HEADERS
from qanat.node.dashboard.metrics import METRICS, metrics_table, metrics_text

ROOT = Path(__file__).resolve().parents[2]
AT_NS = 1_700_000_000_000_000_000

LINK = {"id": "north-south", "a": "north", "b": "south", "fibre": "f", "length_km": 10.0, "loss_db": 2.0, "state": "up"}
LINK |= {"qber": 0.0125, "sifted_bps": 9000.0, "secret_bps": 3000.0, "buffer_bits": 4096, "blocks_made": 3}
LINK |= {"blocks_aborted": 1, "last_block": None, "attacks": [], "is_cut": False}
SITE = {"id": "north", "name": "North", "latitude_deg": 1.0, "longitude_deg": 2.0, "is_up": True, "is_trusted": True}
PAIR = {"source": "north", "target": "south", "links": ["north-south"], "trusted_nodes": [], "stored_keys": 5}
ALARM = {"number": 1, "at_ns": AT_NS, "link": "north-south", "kind": "qber", "severity": "critical", "raised": True}
ALARM |= {"statistic": 9.0, "threshold": 8.0, "evidence": "e"}
SNAPSHOT: dict[str, Any] = {
    "sequence": 7,
    "at_ns": AT_NS,
    "network": {"name": 'm"etro', "is_simulation": True},
    "link_time_ns": 5_000_000_000,
    "stretch": 2.3,
    "sites": [SITE],
    "links": [LINK, LINK | {"id": "quiet", "qber": None, "state": "silent"}],
    "pairs": [PAIR | {"state": "served"}],
    "alarms": [ALARM | {"number": 2, "raised": False}, ALARM],
    "journal": [],
    "totals": {"keys_delivered": 11, "keys_relayed": 2, "bits_quarantined": 64, "burned": 0},
}


class CountingSource:
    """Hands out `SNAPSHOT` under a sequence number that the test raises; counts how often it was asked."""

    def __init__(self) -> None:
        self.sequence = 7
        self.asked = 0
        self.is_broken = False

    def snapshot(self) -> dict[str, Any]:
        self.asked += 1
        if self.is_broken:
            raise RuntimeError("the hub is gone")
        return copy.deepcopy(SNAPSHOT) | {"sequence": self.sequence}

    async def wait_next(self, last: int) -> int:
        while self.sequence <= last and not self.is_broken:
            await asyncio.sleep(0.001)
        return self.sequence


class Answer:
    def __init__(self, messages: list[Message]) -> None:
        self.status = messages[0]["status"]
        self.headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
        self.body = b"".join(message.get("body", b"") for message in messages[1:])


def ask(path: str, *, method: str = "GET", clock_ns: int = AT_NS, **headers: str) -> Answer:
    """One request straight to the ASGI application."""
    app = create_dashboard(CountingSource(), clock_ns=lambda: clock_ns)
    pairs = {"host": "localhost:8470"} | {name.replace("_", "-"): value for name, value in headers.items()}
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b""}
    scope |= {"root_path": "", "scheme": "http", "http_version": "1.1", "server": ("127.0.0.1", 8470)}
    scope |= {"headers": [(name.encode(), value.encode()) for name, value in pairs.items()]}
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        messages.append(message)

    asyncio.run(app(scope, receive, send))
    return Answer(messages)


@pytest.mark.parametrize("path", ["/", "/api/snapshot", "/metrics", "/healthz", "/nowhere"])
def test_every_answer_carries_the_strict_headers(path: str) -> None:
    answer = ask(path)
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert "unsafe" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:8470", "127.0.0.1.evil.example", "", "[::2]"])
@pytest.mark.parametrize("path", ["/", "/api/snapshot", "/api/events"])
def test_a_foreign_host_name_is_refused_whatever_is_asked(host: str, path: str) -> None:
    answer = ask(path, host=host)
    assert answer.status == 421
    assert b'm\\"etro' not in answer.body
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8470", "[::1]:8470"])
def test_the_names_of_loopback_are_served(host: str) -> None:
    assert ask("/api/snapshot", host=host).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/", "/api/snapshot", "/api/events", "/metrics", "/healthz"])
def test_nothing_can_be_changed(method: str, path: str) -> None:
    assert ask(path, method=method).status == 405


def test_the_snapshot_is_handed_on_unchanged() -> None:
    assert json.loads(ask("/api/snapshot").body) == SNAPSHOT


def test_no_path_leads_out_of_the_built_page() -> None:
    for path in ("/../app.py", "/assets/../../app.py", "/app.py", "/assets/", "//etc/passwd", "/%2e%2e/app.py"):
        assert ask(path).status == 404, path


def test_an_unchanged_page_is_not_sent_twice() -> None:
    first = ask("/")
    again = ask("/", if_none_match=first.headers["etag"])
    assert (again.status, again.body) == (304, b"")


def test_health_turns_bad_when_snapshots_stop() -> None:
    assert ask("/healthz").status == 200
    late = ask("/healthz", clock_ns=AT_NS + 11_000_000_000)
    assert (late.status, json.loads(late.body)["status"]) == (503, "stale")


def test_all_readers_get_one_encoding_and_a_stream_starts_with_the_present() -> None:
    async def story() -> None:
        source = CountingSource()
        broadcast = Broadcast(source, interval_s=0.001, heartbeat_s=5)
        streams = [broadcast.frames() for _ in range(20)]
        first = await asyncio.gather(*[anext(stream) for stream in streams])
        assert len({id(frame) for frame in first}) == 1
        assert first[0].startswith(b"id: 7\nretry: 1000\nevent: snapshot\ndata: {")
        source.sequence = 8
        second = await asyncio.gather(*[anext(stream) for stream in streams])
        assert len({id(frame) for frame in second}) == 1
        assert second[0].startswith(b"id: 8\n")
        assert source.asked == 2
        for stream in streams:
            await stream.aclose()
        assert broadcast.reader_count == 0

    asyncio.run(story())


def test_a_slow_reader_skips_to_the_newest() -> None:
    async def story() -> None:
        source = CountingSource()
        broadcast = Broadcast(source, interval_s=0.001)
        stream = broadcast.frames()
        await anext(stream)
        for sequence in range(8, 20):
            source.sequence = sequence
            await asyncio.sleep(0.005)
        assert (await anext(stream)).startswith(b"id: 19\n")
        await stream.aclose()

    asyncio.run(story())


def test_a_quiet_stream_beats_and_a_broken_source_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        source = CountingSource()
        stream = Broadcast(source, interval_s=0.001, heartbeat_s=0.02).frames()
        await anext(stream)
        assert await anext(stream) == HEARTBEAT
        source.is_broken = True
        rest = [frame async for frame in stream]
        assert set(rest) <= {HEARTBEAT}

    asyncio.run(asyncio.wait_for(story(), 5))
    assert "the live page's source failed" in caplog.text


def test_streams_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast_module, "READERS_MAX", 1)

    async def story() -> None:
        broadcast = Broadcast(CountingSource())
        broadcast.require_room()
        stream = broadcast.frames()
        await anext(stream)
        with pytest.raises(TooManyReaders):
            broadcast.require_room()
        await stream.aclose()
        broadcast.require_room()

    asyncio.run(story())


def test_metrics_say_what_the_snapshot_says() -> None:
    text = metrics_text(SNAPSHOT)[0].decode()
    lines = text.splitlines()
    assert 'qanat_network_info{is_simulation="true",network="m\\"etro"} 1.0' in lines
    assert 'qanat_link_qber_ratio{a="north",b="south",link="north-south"} 0.0125' in lines
    assert not any(line.startswith("qanat_link_qber_ratio") and "quiet" in line for line in lines), "unknown is not 0"
    assert 'qanat_link_state{a="north",b="south",link="quiet",state="silent"} 1.0' in lines
    assert 'qanat_alarm_raised{kind="qber",link="north-south"} 0.0' in lines, "the newest entry decides"
    assert "qanat_keys_delivered_total 11.0" in lines
    assert "_created" not in text


def test_every_metric_is_in_the_scrape_and_in_the_documented_table() -> None:
    text = metrics_text(SNAPSHOT)[0].decode()
    for row in METRICS:
        assert re.search(rf"^# TYPE {row.name} {row.kind}$", text, re.MULTILINE), row.name
    page = (ROOT / "docs/reference/live-page.md").read_text()
    assert metrics_table() in page, (
        "regenerate it: python -c 'from qanat.node.dashboard.metrics import *; print(metrics_table())'"
    )


def test_the_page_refers_only_to_files_that_are_there() -> None:
    index = (STATIC / "index.html").read_text()
    named = re.findall(r'(?:src|href)="([^"]+)"', index)
    assert any(name.endswith(".js") for name in named)
    assert any(name.endswith(".css") for name in named)
    for css in STATIC.rglob("*.css"):
        named += [f"assets/{name}" for name in re.findall(r"url\(\.?/?([^)]+)\)", css.read_text())]
    for name in named:
        assert (STATIC / name).is_file(), name
        assert ask("/" + name.removeprefix("./")).status == 200, name
    built = {file.relative_to(STATIC).as_posix() for file in (STATIC / "assets").iterdir()}
    assert built == {name.removeprefix("./") for name in named if "assets/" in name}, "left over from an older build"


def test_the_page_refers_to_no_other_host() -> None:
    allowed = {"www.w3.org", "svelte.dev"}  # names of XML namespaces; addresses inside error messages
    for file in [*STATIC.rglob("*.html"), *STATIC.rglob("*.js"), *STATIC.rglob("*.css"), *STATIC.rglob("*.svg")]:
        text = file.read_text()
        assert set(re.findall(r"(?:https?:)?//([a-z0-9-]+(?:\.[a-z0-9-]+)+)", text)) <= allowed, file
        assert "sourceMappingURL" not in text
    assert not list(STATIC.rglob("*.map"))


def test_the_page_is_small() -> None:
    assert sum(file.stat().st_size for file in STATIC.rglob("*") if file.is_file()) < 300_000


@pytest.mark.skipif(not (ROOT / "frontend/src").is_dir(), reason="the page's sources are only in a clone")
def test_the_committed_page_was_built_from_the_committed_sources() -> None:
    """The same sum as ``frontend/build/record.ts``."""
    root = ROOT / "frontend"
    tops = [
        "index.html",
        "package-lock.json",
        "package.json",
        "public",
        "src",
        "build",
        "svelte.config.js",
        "vite.config.ts",
    ]
    files = [file for top in tops for file in ([root / top] if (root / top).is_file() else (root / top).rglob("*"))]
    digest = hashlib.sha256()
    for name in sorted(file.relative_to(root).as_posix() for file in files if file.is_file()):
        body = (root / name).read_bytes()
        digest.update(f"{name}\0{len(body)}\0".encode() + body)
    recorded = json.loads((STATIC / "build.json").read_text())["sources_sha256"]
    assert digest.hexdigest() == recorded, "the page is older than its sources: npm ci && npm run build in frontend/"


def test_the_lock_file_names_no_registry() -> None:
    assert '"resolved"' not in (ROOT / "frontend/package-lock.json").read_text()
