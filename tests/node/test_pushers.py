"""What becomes of a chunk whose push is not confirmed: burned once, counted, and never somebody else's."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.km.pairing import MS, S, World, a_network

from qanat.core.ids import KeyId, SaeId
from qanat.crypto.pki import issue, make_ca
from qanat.km.events import KeysBurned
from qanat.km.stream_types import Chunk, StreamQos, StreamRefused
from qanat.node.pki import Credentials
from qanat.node.processes import pushers as module
from qanat.node.processes.peers import client_context
from qanat.node.processes.pushers import STREAMS_PER_SAE_MAX, Pushers

A, B = SaeId("a1"), SaeId("b1")
QOS = StreamQos(chunk_bytes=32, bps_max=10_000_000, bps_min=0)


@dataclass
class Thread:
    """The store's thread without a thread: each call is one transaction of the engine at site a."""

    world: World

    async def call(self, operation: Callable[[Any, int], Any], *, patience_s: float = 0.0) -> Any:
        del patience_s
        await asyncio.sleep(0)
        found = self.world.call("a", lambda kme: operation(kme, self.world.now_ns))
        self.world.run(MS)
        return found


@dataclass
class Endpoint:
    """Answers every push with ``code``; a code of 0 says nothing."""

    code: int = 201
    seen: list[dict[str, Any]] = field(default_factory=list)
    connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
                self.seen.append(json.loads(await reader.readexactly(int(size.split(b":")[1]))))
                if self.code:
                    writer.write(b"HTTP/1.1 %d Said\r\nContent-Length: 0\r\n\r\n" % self.code)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    async def until(self, count: int) -> None:
        await until(lambda: len(self.seen) >= count)


async def until(is_so: Callable[[], bool]) -> None:
    for _ in range(1000):
        if is_so():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about within ten seconds")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Credentials]:
    """Of the KME, and of two applications that may serve on this machine."""
    folder, now, made = tmp_path_factory.mktemp("push-pki"), datetime.now(UTC), {}
    cas = {role: make_ca(common_name=f"push {role}", now=now, days=1) for role in ("kme", "sae")}
    for role, name in (("kme", "a"), ("sae", "a1"), ("sae", "a2")):
        cert, key = issue(
            ca_cert=cas[role][0],
            ca_key=cas[role][1],
            role=role,
            identity=name,
            hosts=["127.0.0.1"],
            now=now,
            days=1,
            is_serving=role == "sae",
        )
        trusted = cas["sae" if role == "kme" else "kme"][0]
        paths = [folder / f"{name}-{word}.pem" for word in ("cert", "key", "ca")]
        for path, data in zip(paths, (cert, key, trusted), strict=True):
            path.write_bytes(data)
        made[name] = Credentials(*paths)
    return made


@dataclass
class Setting:
    world: World
    pushers: Pushers
    endpoint: Endpoint
    stream: KeyId
    told: list[str]
    admitted: list[bool]

    def burned(self) -> int:
        return sum(event.count for event in self.world.events["a"] if isinstance(event, KeysBurned))

    def other_end(self, index: int) -> bytes:
        for _ in range(50):
            found = self.world.call("b", lambda kme: kme.get_chunk(B, self.stream, index, 1024, self.world.now_ns))
            if isinstance(found, Chunk):
                return found.bits.reveal()
            self.world.run(20 * MS)
        raise found


def run(
    files: dict[str, Credentials], test: Callable[[Setting], Awaitable[None]], *, who: str = "a1", **options: Any
) -> None:
    async def main() -> None:
        async with a_setting(files, who, **options) as setting:
            await test(setting)

    asyncio.run(main())


@asynccontextmanager
async def a_setting(files: dict[str, Credentials], who: str, patience_s: float = 0.4) -> AsyncIterator[Setting]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files[who].certfile, files[who].keyfile)
    context.load_verify_locations(files[who].cafile)
    context.verify_mode = ssl.CERT_REQUIRED
    endpoint = Endpoint()
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0, ssl=context)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    network = a_network(["a-b"], [("a1", "b1"), ("a2", "b2")])
    network = replace(network, saes=network.saes | {A: replace(network.saes[A], push_url=url)})
    world = World(network)
    world.distil("a-b", 4)
    world.run(S)
    told: list[str] = []
    admitted = [True]
    pushers = Pushers(
        thread=Thread(world),  # type: ignore[arg-type]
        network=network,
        context=client_context(files["a"]),
        admits=lambda _name, _serial: admitted[0],
        tell=told.append,
        patience_s=patience_s,
    )
    setting = Setting(world, pushers, endpoint, open_stream(world, uuid.uuid4()), told, admitted)
    try:
        yield setting
    finally:
        await pushers.stop()
        server.close()


def open_stream(world: World, stream: KeyId) -> KeyId:
    world.call("a", lambda kme: kme.open_stream(A, B, QOS, stream, world.now_ns))
    world.run(10 * MS)
    world.call("b", lambda kme: kme.open_stream(B, A, QOS, stream, world.now_ns))
    world.run(10 * MS)
    assert world.call("a", lambda kme: kme.start_push(A, stream, 0)) is None
    return stream


def key_of(body: dict[str, Any]) -> bytes:
    return base64.b64decode(body["key_buffer"])


def test_a_chunk_never_confirmed_is_burned_once_and_the_stream_rests(files: dict[str, Credentials]) -> None:
    async def test(it: Setting) -> None:
        it.endpoint.code = 503
        it.pushers.start(A, it.stream)
        await until(lambda: bool(it.told))
        tries = list(it.endpoint.seen)
        assert len(tries) >= 3
        assert all(body == tries[0] for body in tries)
        assert (it.burned(), it.pushers.report()["resting"], it.pushers.counts.burned) == (1, 1, 1)
        await asyncio.sleep(0.5)
        assert len(it.endpoint.seen) == len(tries)  # nothing more is taken while it rests

        it.endpoint.code = 201
        it.pushers.start(A, it.stream)
        await it.endpoint.until(len(tries) + 3)
        after = it.endpoint.seen[len(tries) :]
        assert [body["index"] for body in after[:3]] == [1, 2, 3]  # index 0 is gone for good
        assert key_of(tries[0]) not in {key_of(body) for body in after}
        assert [it.other_end(index) for index in (0, 1)] == [key_of(tries[0]), key_of(after[0])]

    run(files, test)


@pytest.mark.parametrize("code", [201, 503])
def test_one_chunk_at_most_is_on_its_way(files: dict[str, Credentials], code: int) -> None:
    async def test(it: Setting) -> None:
        it.endpoint.code = 0
        it.pushers.start(A, it.stream)
        await it.endpoint.until(1)
        it.endpoint.code = code
        await asyncio.sleep(0.3)
        assert {body["index"] for body in it.endpoint.seen} == {0}

    run(files, test, patience_s=30.0)


def test_a_stop_burns_what_is_on_its_way_and_forgets_no_registration(files: dict[str, Credentials]) -> None:
    async def test(it: Setting) -> None:
        it.endpoint.code = 0
        it.pushers.start(A, it.stream)
        await it.endpoint.until(1)
        await it.pushers.stop()
        assert (it.burned(), it.pushers.report()["streams"]) == (1, 0)
        it.endpoint.code = 201
        await it.pushers.resume()
        await it.endpoint.until(3)
        assert [body["index"] for body in it.endpoint.seen[:3]] == [0, 1, 2]

    run(files, test)


def test_a_chunk_of_a_closed_stream_is_not_offered_to_the_next_one_of_that_name(files: dict[str, Credentials]) -> None:
    async def test(it: Setting) -> None:
        it.endpoint.code = 503
        it.pushers.start(A, it.stream)
        await it.endpoint.until(2)
        old = key_of(it.endpoint.seen[0])
        it.world.call("a", lambda kme: kme.close_stream(A, it.stream))
        it.world.run(S)
        open_stream(it.world, it.stream)
        it.endpoint.code, begin = 201, len(it.endpoint.seen)
        it.pushers.start(A, it.stream)
        await it.endpoint.until(begin + 3)
        after = it.endpoint.seen[begin:]
        assert [body["index"] for body in after[:3]] == [0, 1, 2]
        assert old not in {key_of(body) for body in after}
        assert it.other_end(0) == key_of(after[0])
        assert it.burned() == 1

    run(files, test, patience_s=30.0)


def test_a_stream_that_is_closed_is_pushed_no_more(files: dict[str, Credentials]) -> None:
    async def test(it: Setting) -> None:
        it.pushers.start(A, it.stream)
        await it.endpoint.until(2)
        it.world.call("b", lambda kme: kme.close_stream(B, it.stream))
        it.world.run(S)
        await until(lambda: it.pushers.report()["streams"] == 0)
        assert it.burned() == 0

    run(files, test)


def test_another_application_at_that_place_sees_no_key(files: dict[str, Credentials]) -> None:
    async def test(it: Setting) -> None:
        it.pushers.start(A, it.stream)
        await until(lambda: bool(it.told))
        assert it.endpoint.connections > 0  # TLS let it in: its certificate is good, and another's
        assert it.endpoint.seen == []
        assert it.burned() == 1

    run(files, test, who="a2")


def test_a_revoked_endpoint_gets_nothing_more_on_its_open_connection(files: dict[str, Credentials]) -> None:
    async def test(it: Setting) -> None:
        it.pushers.start(A, it.stream)
        await it.endpoint.until(3)
        it.admitted[0] = False
        await until(lambda: bool(it.told))
        count = len(it.endpoint.seen)
        it.pushers.start(A, it.stream)
        await asyncio.sleep(0.3)
        assert len(it.endpoint.seen) == count

    run(files, test)


def test_one_application_cannot_take_all_the_room(
    files: dict[str, Credentials], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(it: Setting) -> None:
        it.endpoint.code = 0
        for _ in range(STREAMS_PER_SAE_MAX):
            it.pushers.start(A, uuid.uuid4())
        with pytest.raises(StreamRefused) as caught:
            it.pushers.start(A, it.stream)
        assert caught.value.is_ours
        with pytest.raises(StreamRefused):
            it.pushers.check(SaeId("a2"), it.stream)  # it has no place

    async def forever(self: Pushers, one: Any) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(module.Pushers, "_next", forever)
    run(files, test)
