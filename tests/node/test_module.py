"""`qanat module`: two processes, one TCP connection, equal keys; and everything that can go wrong between them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from live_network import TINY, is_alive, until
from two_ends import EXAMPLE, End

from qanat.core.errors import LocalProtocolError, RemoteProtocolError
from qanat.core.provenance import Authentication
from qanat.core.records import Role
from qanat.node.messages import KQ1, KeyBlockStored, NewKeyBlock
from qanat.node.module.door import GREETING, GREETING_BYTES_MAX, greeting, meet
from qanat.node.module.identityfile import EpochBook, IdentityFileError, make_identity
from qanat.node.module.secret_door import PROOF, Proof, SecretStarter
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
        secret = () if {"--secret", "--identity"} & set(words) else ("--secret", str(tmp_path / f"{role}.secret"))
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


def test_two_processes_begin_from_signatures_and_their_keys_say_so(start: Start, tmp_path: Path) -> None:
    """Twice: the second run begins the next session, so that no key block gets a name again."""
    for name in ("alice", "bob"):
        make_identity(tmp_path / name)

    def identity(own: str, peer: str) -> tuple[str, ...]:
        return ("--identity", str(tmp_path / own), "--peer", str(tmp_path / f"{peer}.pub"))

    for epoch in (1, 2):
        network = EXAMPLE / "link.toml"
        tx = start("tx", network, *recorded("tx.qlight"), *identity("alice", "bob"), "--listen", "0")
        listening = tx.until("ready")["listening"]
        make_identity(tmp_path / f"eve-{epoch}")
        stranger = start(
            "rx", network, *recorded("rx.qlight"), *identity(f"eve-{epoch}", "alice"), "--connect", listening,
            "--duration", "3s",
        )  # fmt: skip
        assert stranger.finish() == 1
        rx = start("rx", network, *recorded("rx.qlight"), *identity("bob", "alice"), "--connect", listening)
        assert (rx.finish(), tx.finish()) == (0, 0), (rx.events, tx.events)
        assert list(rx.digests) == [f"anton-berta/{epoch}/0"]
        assert rx.digests == tx.digests
        for end in (tx, rx):
            assert end.of("ready")[0]["authentication"] == "ml-dsa"
            assert [block["authentication"] for block in end.of("block")] == ["ml-dsa"]
        assert "signature" in tx.notes
        assert tx.notes.count("begins") == 1  # not with the stranger
        assert "begins" not in stranger.notes


def test_an_end_with_an_identity_and_one_with_a_secret_are_told_what_to_do(start: Start, tmp_path: Path) -> None:
    for name in ("alice", "bob"):
        make_identity(tmp_path / name)
    network = EXAMPLE / "link.toml"
    words = ("--identity", str(tmp_path / "alice"), "--peer", str(tmp_path / "bob.pub"))
    tx = start("tx", network, *recorded("tx.qlight"), *words, "--listen", "0")
    rx = start("rx", network, *recorded("rx.qlight"), "--connect", tx.until("ready")["listening"])
    assert rx.finish() == 1
    assert "give both ends --secret, or both --identity and --peer" in rx.of("end")[0]["sentence"]


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
    # Two were asked for; key blocks that were under way together end together.
    assert sorted(alice.taken) == sorted(bob.taken) == sorted(f"mitte-moabit/2/{n}" for n in range(len(bob.taken)))
    assert len(bob.taken) >= 2
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
    frame = PROOF.encode(Proof(b"x" * 32))
    return len(frame).to_bytes(4) + frame


# The door by itself.


class AtEpoch:
    authentication = Authentication.PRE_SHARED

    def __init__(self, last_epoch: int) -> None:
        self.last_epoch = last_epoch


def greetings(**changes: object) -> tuple[object, object]:
    tx, rx = (
        greeting(link="a-b", role=role, plan_digest=b"plan", starter=AtEpoch(epoch), is_simulated=is_simulated)  # type: ignore[arg-type]
        for role, epoch, is_simulated in ((Role.TRANSMITTER, 2, False), (Role.RECEIVER, 6, True))
    )
    return tx, msgspec.structs.replace(rx, **changes)


def met(secrets: tuple[Path, Path], **changes: object) -> list[object]:
    """What each end makes of the other."""
    starters = [SecretStarter(path) for path in secrets]
    tx, rx = greetings(**changes)

    async def run() -> list[object]:
        outcome: list[object] = [None, None]

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            outcome[0] = await tried(reader, writer, tx, starters[0])
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
            outcome[1] = await tried(reader, writer, rx, starters[1])
            writer.close()
            await asyncio.sleep(0.05)
        return outcome

    try:
        return asyncio.run(run())
    finally:
        for starter in starters:
            starter.close()


async def tried(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ours: object, starter: object) -> object:
    try:
        return await meet(reader, writer, ours, starter)  # type: ignore[arg-type]
    except Exception as error:  # noqa: BLE001 - which one it is, the test says
        return error


@pytest.fixture
def copies(tmp_path: Path) -> tuple[Path, Path]:
    make_files([tmp_path / "a.copy", tmp_path / "b.copy"], is_light=False)
    return tmp_path / "a.copy", tmp_path / "b.copy"


def test_two_ends_that_hold_one_secret_agree_on_the_later_epoch(copies: tuple[Path, Path]) -> None:
    first, second = met(copies)
    assert (first.epoch, first.is_simulated) == (second.epoch, second.is_simulated)  # type: ignore[attr-defined]
    pools = [end.pool() for end in (first, second)]  # type: ignore[attr-defined]
    assert pools[0].take(4096) == pools[1].take(4096)
    assert [int.from_bytes(path.read_bytes()[:8]) for path in copies] == [7, 7]
    assert (first.epoch, first.is_simulated) == (7, True)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"link": "a-c"}, "link"),
        ({"role": 0}, "both ends are transmitter"),
        ({"role": 9}, "something unknown"),
        ({"plan_digest": b"another"}, "describe it differently"),
        ({"protocol": 1}, "version 1 of this conversation"),
        ({"authentication": "ml-dsa"}, "begins from 'ml-dsa', we from 'pre-shared'"),
        ({"nonce": b""}, "numbers that cannot be"),
        ({"next_epoch": -1}, "numbers that cannot be"),
    ],
)
def test_an_end_that_is_not_ours_is_refused_before_a_proof_is_shown(
    copies: tuple[Path, Path], changes: dict[str, object], says: str
) -> None:
    first, _ = met(copies, **changes)
    assert isinstance(first, Exception)
    assert says in str(first)


def test_ends_with_different_secrets_find_out_without_spending_any(copies: tuple[Path, Path], tmp_path: Path) -> None:
    make_files([tmp_path / "other"], is_light=False)
    before = copies[0].read_bytes()
    for outcome in met((copies[0], tmp_path / "other")):
        assert "do not hold copies of one pre-shared secret" in str(outcome)
    assert copies[0].read_bytes() == before


def test_a_proof_serves_nobody_else(copies: tuple[Path, Path]) -> None:
    """A relay that mirrors our own frames back to us does not pass for the other end."""

    async def run() -> object:
        async def mirror(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while (frame := await read_frame(reader)) is not None:
                with contextlib.suppress(RemoteProtocolError):
                    message = GREETING.decode(frame)
                    frame = GREETING.encode(msgspec.structs.replace(message, role=int(Role.RECEIVER)))
                write_frame(writer, frame)
            writer.close()

        async with await asyncio.start_server(mirror, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
            outcome = await tried(reader, writer, greetings()[0], SecretStarter(copies[0]))
            writer.close()
            return outcome

    assert "do not hold copies" in str(asyncio.run(run()))


def test_a_session_number_is_taken_once_and_by_one_process(tmp_path: Path) -> None:
    book = EpochBook(tmp_path / "epoch")
    assert (tmp_path / "epoch").stat().st_mode & 0o777 == 0o600
    book.claim(3)
    for taken in (0, 2, 3):
        with pytest.raises(LocalProtocolError):
            book.claim(taken)
    with pytest.raises(IdentityFileError, match="another process"):
        EpochBook(tmp_path / "epoch")
    book.close()
    again = EpochBook(tmp_path / "epoch")
    assert again.last_epoch == 3
    again.close()
    (tmp_path / "epoch").write_bytes(b"no number")
    with pytest.raises(IdentityFileError, match="remove it"):
        EpochBook(tmp_path / "epoch")


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
