"""`qanat module`: two processes, one TCP connection, equal keys; and everything that can go wrong between them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from live_network import TINY, is_alive, until
from two_ends import EXAMPLE, End

from qanat.core.records import Role
from qanat.core.secret import SecretBits
from qanat.node.messages import KQ1, KeyBlockStored, NewKeyBlock
from qanat.node.module.door import DOOR, GREETING_BYTES_MAX, greeting, meet
from qanat.node.module.secretfile import SecretFile, make_files
from qanat.node.wire import frames, read_frame, write_frame

Start = Callable[..., End]
FAST = "?rate-max=0"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts ends in a folder with a secret for each and a key for simulated light; ends them afterwards."""
    make_files([tmp_path / "tx.secret", tmp_path / "rx.secret"], is_light=False)
    make_files([tmp_path / "light.key"], is_light=True)
    ends: list[End] = []

    def start(role: str, network: Path, *words: str) -> End:
        secret = () if "--secret" in words else ("--secret", str(tmp_path / f"{role}.secret"))
        end = End((str(network), "--role", role, *secret, *words), tmp_path)
        ends.append(end)
        return end

    yield start
    for end in ends:
        end.kill()


def recorded(name: str) -> tuple[str, ...]:
    return ("--link", "anton-berta", "--light", f"replay://{EXAMPLE / name}", "--keys", "compare")


def simulated(tmp_path: Path) -> tuple[str, ...]:
    return ("--link", "mitte-moabit", "--light", f"sim://{tmp_path}/light.key{FAST}")


def test_two_processes_replay_the_example_recordings_to_equal_keys(start: Start) -> None:
    network = EXAMPLE / "link.toml"
    tx = start("tx", network, *recorded("tx.qlight"), "--listen", "0")
    rx = start("rx", network, *recorded("rx.qlight"), "--connect", tx.until("ready")["listening"])
    assert (rx.finish(), tx.finish()) == (0, 0)
    assert list(rx.digests) == ["anton-berta/1/0"]
    assert rx.digests == tx.digests
    (block,) = tx.of("block")
    assert block["secret_bits"] > 5_000
    assert block["sifted_bits"] > 50_000
    assert "the light has ended" in rx.of("end")[0]["sentence"]
    assert tx.of("ready")[0]["is_simulated"] is True


class Kme:
    """The KME's end of Kq-1 at one site."""

    def __init__(self) -> None:
        self.taken: dict[str, NewKeyBlock] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for frame in frames(reader):
            message = KQ1.decode(frame)
            assert isinstance(message, NewKeyBlock)
            self.taken[message.block] = message
            write_frame(writer, KQ1.encode(KeyBlockStored(message.block)))
        writer.close()


class Scissors:
    """A TCP proxy that cuts its first connection after so many bytes."""

    def __init__(self, host: str, port: int, cut_after_bytes: int) -> None:
        self._to, self._left = (host, port), cut_after_bytes
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        is_cut = self.connections == 1
        far_reader, far_writer = await asyncio.open_connection(*self._to)
        pumps = [
            asyncio.create_task(self._pump(reader, far_writer, is_cut)),
            asyncio.create_task(self._pump(far_reader, writer, is_cut)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        for one in (writer, far_writer):
            one.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_cut: bool) -> None:
        while data := await reader.read(65_536):
            self._left -= len(data) if is_cut else 0
            if is_cut and self._left < 0:
                return
            writer.write(data)
            await writer.drain()


def test_a_cut_line_costs_one_slice_and_both_kmes_get_the_same_keys(start: Start, tmp_path: Path) -> None:
    async def run() -> tuple[Kme, Kme, Scissors]:
        kmes = Kme(), Kme()
        tx = start(
            "tx", TINY, *simulated(tmp_path), "--listen", "0", "--blocks", "2", "--kme-socket", str(tmp_path / "a")
        )
        host, _, port = (await asyncio.to_thread(tx.until, "ready"))["listening"].rpartition(":")
        scissors = Scissors(host, int(port), cut_after_bytes=300_000)  # in the middle of a key block
        proxy = await asyncio.start_server(scissors.serve, "127.0.0.1", 0)
        where = f"127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        doors = [
            await asyncio.start_unix_server(kme.serve, str(tmp_path / n)) for kme, n in zip(kmes, "ab", strict=True)
        ]
        rx = start(
            "rx", TINY, *simulated(tmp_path), "--connect", where, "--blocks", "2", "--kme-socket", str(tmp_path / "b")
        )
        codes = [await asyncio.to_thread(end.finish) for end in (rx, tx)]
        for door in (*doors, proxy):
            door.close()
        assert codes == [0, 0], (rx.events, tx.events)
        assert "session 1 has ended: the connection is gone" in rx.notes
        assert tx.digests == rx.digests == {}  # a digest is for keys that are destroyed
        return *kmes, scissors

    alice, bob, scissors = asyncio.run(run())
    assert scissors.connections == 2
    assert sorted(alice.taken) == sorted(bob.taken) == ["mitte-moabit/2/0", "mitte-moabit/2/1"]
    for name, message in alice.taken.items():
        assert message.bits == bob.taken[name].bits
        assert message.provenance.simulated
    for name in ("tx.secret", "rx.secret"):
        assert int.from_bytes((tmp_path / name).read_bytes()[:8]) == 2


def children_of(pid: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(folder.name))
    return found


def test_ctrl_c_at_either_end_leaves_in_order_and_strangers_at_the_door_change_nothing(
    start: Start, tmp_path: Path
) -> None:
    tx = start("tx", TINY, *simulated(tmp_path), "--listen", "0")
    listening = tx.until("ready")["listening"]
    asyncio.run(strangers(listening))
    make_files([tmp_path / "other.secret"], is_light=False)
    wrong = start("rx", TINY, *simulated(tmp_path)[2:], "--link", "mitte-wedding", "--connect", listening)
    assert wrong.finish() == 1
    assert (
        "the peer is an end of link 'mitte-moabit', we are one of link mitte-wedding" in wrong.of("end")[0]["sentence"]
    )
    rx = start("rx", TINY, *simulated(tmp_path), "--connect", listening)
    rx.until("block")
    (glass,) = children_of(rx.popen.pid)
    rx.interrupt()
    assert rx.finish(10) == 130
    assert not is_alive(glass)
    told = until(lambda: tx.until("note") and "connection is gone" in tx.notes and tx.notes)
    assert told.count("begins") == 1  # none of the strangers began a session
    assert "not a message" in told
    assert "did not begin with a greeting" in told
    tx.interrupt()
    assert tx.finish(10) == 130
    assert int.from_bytes((tmp_path / "tx.secret").read_bytes()[:8]) == 1


async def strangers(listening: str) -> None:
    host, _, port = listening.rpartition(":")
    for data in (b"", b"\x00\x00\x00\x05GET /", (GREETING_BYTES_MAX + 1).to_bytes(4), b"\xff" * 64, sealed_proof()):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(data)
        writer.write_eof()
        await asyncio.wait_for(reader.read(), 5)  # it closes
        writer.close()


def sealed_proof() -> bytes:
    from qanat.node.module.door import Proof

    frame = DOOR.encode(Proof(b"x" * 32))
    return len(frame).to_bytes(4) + frame


# The door by itself.


def greetings(**changes: object) -> tuple[object, object]:
    import msgspec

    tx, rx = (
        greeting(link="a-b", role=role, plan_digest=b"plan", next_epoch=epoch, is_simulated=is_simulated)  # type: ignore[arg-type]
        for role, epoch, is_simulated in ((Role.TRANSMITTER, 3, False), (Role.RECEIVER, 7, True))
    )
    return tx, msgspec.structs.replace(rx, **changes)


def met(keys: tuple[bytes, bytes] = (b"k" * 32, b"k" * 32), **changes: object) -> list[object]:
    """What each end makes of the other."""
    tx, rx = greetings(**changes)

    async def run() -> list[object]:
        outcome: list[object] = [None, None]

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            outcome[0] = await tried(reader, writer, tx, keys[0])
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
            outcome[1] = await tried(reader, writer, rx, keys[1])
            writer.close()
            await asyncio.sleep(0.05)
        return outcome

    return asyncio.run(run())


async def tried(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ours: object, key: bytes) -> object:
    try:
        return await meet(reader, writer, ours, SecretBits(key))  # type: ignore[arg-type]
    except Exception as error:  # noqa: BLE001 - which one it is, the test says
        return error


def test_two_ends_that_hold_one_secret_agree_on_the_later_epoch() -> None:
    first, second = met()
    assert first == second
    assert (first.epoch, first.is_simulated) == (7, True)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"link": "a-c"}, "link"),
        ({"role": 0}, "both ends are transmitter"),
        ({"role": 9}, "something unknown"),
        ({"plan_digest": b"another"}, "describe it differently"),
        ({"protocol": 2}, "version 2 of this conversation"),
        ({"nonce": b""}, "numbers that cannot be"),
        ({"next_epoch": -1}, "numbers that cannot be"),
    ],
)
def test_an_end_that_is_not_ours_is_refused_before_a_proof_is_shown(changes: dict[str, object], says: str) -> None:
    first, _ = met(**changes)
    assert isinstance(first, Exception)
    assert says in str(first)


def test_ends_with_different_secrets_find_out_without_spending_any() -> None:
    for outcome in met((b"k" * 32, b"l" * 32)):
        assert "do not hold copies of one pre-shared secret" in str(outcome)


def test_a_proof_serves_nobody_else() -> None:
    """A relay that mirrors our own frames back to us does not pass for the other end."""

    async def run() -> object:
        async def mirror(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while (frame := await read_frame(reader)) is not None:
                message = DOOR.decode(frame)
                if hasattr(message, "role"):
                    import msgspec

                    frame = DOOR.encode(msgspec.structs.replace(message, role=int(Role.RECEIVER)))
                write_frame(writer, frame)
            writer.close()

        async with await asyncio.start_server(mirror, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
            outcome = await tried(reader, writer, greetings()[0], b"k" * 32)
            writer.close()
            return outcome

    assert "do not hold copies" in str(asyncio.run(run()))


def test_a_secret_file_is_private_whole_and_held_by_one(tmp_path: Path) -> None:
    from qanat.node.module.secretfile import SecretFileError

    paths = [tmp_path / "a", tmp_path / "b"]
    make_files(paths, is_light=False)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[0].stat().st_mode & 0o777 == 0o600
    held = SecretFile(paths[0])
    with pytest.raises(SecretFileError, match="in use by another process"):
        SecretFile(paths[0])
    held.close()
    SecretFile(paths[0]).close()
    os.chmod(paths[1], 0o640)
    with pytest.raises(SecretFileError, match=r"mode 0640.*chmod 600"):
        SecretFile(paths[1])
    (tmp_path / "short").write_bytes(b"secret")
    with pytest.raises(SecretFileError, match="must have 1048616 bytes"):
        SecretFile(tmp_path / "short")
    with pytest.raises(SecretFileError, match="No such file"):
        SecretFile(tmp_path / "none")
