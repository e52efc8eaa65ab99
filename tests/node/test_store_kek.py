"""KEKs: shares open a sealed store, wrong ones are named, and a change of KEK survives kill -9 at any moment."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from kek_store import PIECES, A, a_site_kme, bits_of, filled_state, root_of, sealed, told
from typer.testing import CliRunner

from qanat.cli.main import app
from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import BlockId, SaeId
from qanat.crypto.shamir import Share, ShareRefused
from qanat.km.documents import KeyDeliveryError, KeyRequest
from qanat.node.entropy import SystemEntropy
from qanat.node.kek import KekFile, Sealed, WrongRoot, kek_path, new_kek, next_path, write_next
from qanat.node.processes.seal_door import SealRequest
from qanat.node.sealing import Sealing
from qanat.node.statedir import StateDir
from qanat.node.store.opening import finish, open_store, rotate
from qanat.node.store.sqlite import WrongKek


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return filled_state(tmp_path)


def test_any_three_of_five_shares_open_the_store_and_nothing_on_the_disk_does(state):
    expected = bits_of(state)
    old_kek = KekFile.load(kek_path(state, A)).body
    shares = sealed(state)
    assert len(shares) == 5
    with pytest.raises(Sealed, match="3 of 5"):
        bits_of(state)
    for chosen in (shares[:3], shares[2:], shares[::2]):
        assert bits_of(state, root_of(state, chosen)) == expected
    on_disk = b"".join(file.read_bytes() for file in state.path.rglob("*") if file.is_file())
    root = root_of(state, shares[:3])
    for secret in (root, KekFile.load(kek_path(state, A)).kek(root), old_kek):
        assert secret.reveal() not in on_disk
        assert secret.reveal().hex().encode() not in on_disk


def test_a_wrong_doubled_or_foreign_share_is_named_and_changes_nothing(state, tmp_path):
    shares = sealed(state, "--shares", "3", "--threshold", "2")
    sealing = Sealing(A, kek_path(state, A))
    foreign = Share("00000000", 1, Share.from_text(shares[0]).value).reveal()
    assert sealing.add(shares[0]) == 1
    for bad, reason in (
        (shares[1][:-1] + "x", "mistyped"),
        (shares[0], "share 1 was given already; 1 others are missing"),
        (foreign, "set 00000000"),
        ("hello", "mistyped"),
    ):
        with pytest.raises(ShareRefused, match=reason):
            sealing.add(bad)
    assert sealing.missing == 1
    assert sealing.add(shares[2]) == 0


def test_an_altered_share_with_good_digits_is_refused_by_the_check_of_the_whole(state):
    shares = sealed(state, "--shares", "3", "--threshold", "2")
    real = Share.from_text(shares[0])
    value = bytearray(real.value.reveal())
    value[7] ^= 1
    forged = Share(real.set_name, real.x, type(real.value)(value)).reveal()
    sealing = Sealing(A, kek_path(state, A))
    sealing.add(forged)
    with pytest.raises(WrongRoot):
        sealing.add(shares[1])
    assert sealing.is_sealed
    assert sealing.missing == 2
    assert sealing.add(shares[0]) == 1
    assert sealing.add(shares[1]) == 0


def rotated(state: StateDir, root=None) -> int:
    store = open_store(state, A, root=root, entropy=SystemEntropy())
    with store.transaction():
        count = rotate(state, A, store, root, SystemEntropy())
    finish(state, A)
    store.close()
    return count


@pytest.mark.parametrize("is_sealed", [False, True])
def test_a_rotation_rewraps_every_data_key_and_the_old_kek_opens_nothing(state, is_sealed):
    expected = bits_of(state)
    root = root_of(state, sealed(state)[:3]) if is_sealed else None
    before = kek_path(state, A).read_bytes()
    assert rotated(state, root) == 2
    assert bits_of(state, root) == expected
    kek_path(state, A).write_bytes(before)
    with pytest.raises(WrongKek):
        bits_of(state, root)


def test_keys_go_on_within_the_transaction_of_a_rotation(state):
    expected = bits_of(state)
    store = open_store(state, A, root=None, entropy=SystemEntropy())
    with store.transaction():
        rotate(state, A, store, None, SystemEntropy())
        assert [store.read_bits(BlockId(piece)).reveal() for piece in PIECES] == expected
    assert [store.read_bits(BlockId(piece)).reveal() for piece in PIECES] == expected
    finish(state, A)
    with pytest.raises(ZeroDivisionError), store.transaction():  # noqa: PT012
        rotate(state, A, store, None, SystemEntropy())
        _ = 1 // 0
    assert [store.read_bits(BlockId(piece)).reveal() for piece in PIECES] == expected
    store.close()


def test_a_second_change_waits_until_the_first_is_finished(state):
    """Else a kill could leave a store whose KEK was overwritten by the next one."""
    store = open_store(state, A, root=None, entropy=SystemEntropy())
    with store.transaction():
        rotate(state, A, store, None, SystemEntropy())
    with pytest.raises(EnvironmentProblem, match="was not finished"), store.transaction():
        rotate(state, A, store, None, SystemEntropy())
    store.close()
    assert bits_of(state)


ROTATOR = """
import os, signal, sys
from qanat.core.ids import SiteId
from qanat.node.entropy import SystemEntropy
from qanat.node.statedir import StateDir
from qanat.node.store import opening
state, moment = StateDir(sys.argv[1]), sys.argv[2]
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
store = opening.open_store(state, SiteId("a"), root=None, entropy=SystemEntropy())
if moment == "before the rewrap":
    store.rewrap = lambda kek: die()
with store.transaction():
    opening.rotate(state, SiteId("a"), store, None, SystemEntropy())
    if moment == "before the commit":
        die()
die()
"""


@pytest.mark.parametrize("moment", ["before the rewrap", "before the commit", "before the rename"])
def test_killed_in_the_middle_of_a_rotation_the_store_opens(state, moment):
    expected = bits_of(state)
    child = subprocess.run([sys.executable, "-c", ROTATOR, str(state.path), moment], check=False)
    assert child.returncode == -signal.SIGKILL
    assert next_path(kek_path(state, A)).exists()
    assert bits_of(state) == expected
    assert not next_path(kek_path(state, A)).exists()
    assert bits_of(state) == expected


def test_killed_between_sealing_the_store_and_its_file_the_store_is_sealed(state, monkeypatch):
    expected = bits_of(state)
    monkeypatch.setattr("qanat.node.store.opening.finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    done = CliRunner().invoke(app, ["kme", "init-seal", "a", "--state", str(state.path)])
    shares = [line for line in done.output.splitlines() if line.startswith("qanat-share")]
    monkeypatch.undo()
    with pytest.raises(Sealed):
        bits_of(state)
    assert bits_of(state, root_of(state, shares[:3])) == expected


def test_shares_that_were_never_shown_seal_nothing(state):
    """Killed before the shares were printed: the old KEK still opens the store."""
    expected = bits_of(state)
    write_next(kek_path(state, A), KekFile(label="development", body=new_kek(SystemEntropy())))
    assert bits_of(state) == expected


def test_a_sealed_kme_answers_503_until_the_last_share_then_serves_and_rotates(state):
    shares = sealed(state)

    async def story() -> list[str]:
        kme, hub = a_site_kme(state)
        run = asyncio.create_task(kme.run())
        await asyncio.wait_for(kme.started.wait(), 10)
        for ask in (
            kme.gateway.status(SaeId("a1"), SaeId("b1")),
            kme.gateway.enc_keys(SaeId("a1"), SaeId("a2"), KeyRequest(number=1)),
            kme.gateway.dec_keys(SaeId("a1"), SaeId("b1"), []),
        ):
            with pytest.raises(KeyDeliveryError, match="sealed: 3 shares are missing") as refusal:
                await ask
            assert refusal.value.status_code == 503
        assert [(await told(state, "unseal", share)).missing for share in shares[:3]] == [2, 1, 0]
        for _ in range(200):
            if any("key store open" in note for note in hub.notes):
                break
            await asyncio.sleep(0.02)
        given = await kme.gateway.enc_keys(SaeId("a1"), SaeId("a2"), KeyRequest(number=1))
        reply = await told(state, "rotate")
        assert reply.rewrapped >= 1
        taken = await kme.gateway.dec_keys(SaeId("a2"), SaeId("a1"), [given.keys[0].key_id])
        assert taken.keys[0].key == given.keys[0].key
        run.cancel()
        await asyncio.wait({run})
        return hub.notes

    notes = asyncio.run(story())
    assert not any(part in note for note in notes for part in shares)
    assert any("guarded by shamir" in note for note in notes)
    open_store(state, A, root=root_of(state, shares[2:]), entropy=SystemEntropy()).close()  # the shares still serve


def test_no_request_shows_its_share():
    assert "secret" not in repr(SealRequest("unseal", "secret"))
    assert msgspec.json.encode(SealRequest("state"))


def test_recovering_a_sealed_store_asks_for_shares(state):
    shares = sealed(state)
    done = CliRunner().invoke(
        app, ["kme", "recover", "a", "--discard-keys", "--state", str(state.path)], input="\n".join(shares[:3]) + "\n"
    )
    assert done.exit_code == 0, done.output
    assert "16384 bits" in done.output
    assert os.path.exists(state.fence(A))
