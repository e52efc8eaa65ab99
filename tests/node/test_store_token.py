"""KEKs under a PKCS#11 token (SoftHSM): what opens the store, what each fault says, and kills in the middle."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from kek_store import A, a_site_kme, bits_of, filled_state, root_of, sealed, told
from softhsm import PIN, SoftHsm, write_pin
from typer.testing import CliRunner, Result

from qanat.cli.main import app
from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import SaeId
from qanat.core.secret import SecretBits
from qanat.km.documents import KeyDeliveryError, KeyRequest
from qanat.node.admin_client import Refused
from qanat.node.entropy import SystemEntropy
from qanat.node.kek import KekFile, Sealed, WrongTokenKey, kek_path, next_path
from qanat.node.sealing import sealing_of
from qanat.node.statedir import StateDir
from qanat.node.store.opening import finish, open_store, rotate
from qanat.node.token import device
from qanat.node.token.device import Token
from qanat.node.token.sealing import TokenSealing
from qanat.node.token.settings import PinRefused, TokenProblem, settings_path, token_settings
from qanat.node.token.worker import Answer, Question


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return filled_state(tmp_path)


@pytest.fixture
def guarded(state: StateDir, softhsm: SoftHsm) -> StateDir:
    """The store of ``state``, its KEK under the token, the PIN in a file."""
    softhsm.name_in(state, A)
    run(state, "init-token")
    return state


def invoked(state: StateDir, command: str, *options: str, typed: str = "") -> Result:
    return CliRunner().invoke(app, ["kme", command, "a", "--state", str(state.path), *options], input=typed)


def run(state: StateDir, command: str, *options: str, typed: str = "") -> str:
    done = invoked(state, command, *options, typed=typed)
    assert done.exit_code == 0, done.output + str(done.exception)
    return done.output


def opened(state: StateDir, typed: str = "") -> TokenSealing:
    sealing = sealing_of(state, A)
    assert isinstance(sealing, TokenSealing)
    sealing.add(typed)
    return sealing


def key_ids(softhsm: SoftHsm) -> list[str]:
    """CKA_IDs of the keys on the token, seen by another program's eyes."""
    script = (
        "import pkcs11,sys; t=pkcs11.lib(sys.argv[1]).get_token(token_label='vault');\n"
        "with t.open(user_pin=sys.argv[2]) as s:\n"
        "  for key in s.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY}):\n"
        "    assert key[pkcs11.Attribute.NEVER_EXTRACTABLE] and key[pkcs11.Attribute.ALWAYS_SENSITIVE]\n"
        "    print(key[pkcs11.Attribute.ID].hex())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, softhsm.module, PIN], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout.split()


def key_id_of(state: StateDir) -> str:
    key = KekFile.load(kek_path(state, A)).token_key
    assert key is not None
    return key.key_id


def test_only_the_token_opens_the_store_and_its_key_never_leaves_it(state, softhsm):
    expected = bits_of(state)
    before = KekFile.load(kek_path(state, A)).body
    softhsm.name_in(state, A)
    said = run(state, "init-token")
    assert key_ids(softhsm) == [key_id_of(state)]
    assert key_id_of(state) in said
    with pytest.raises(Sealed, match="token vault is needed"):
        bits_of(state)
    root = opened(state).root
    assert bits_of(state, root) == expected
    on_disk = b"".join(file.read_bytes() for file in state.path.rglob("*") if file.is_file())
    for secret in (root, KekFile.load(kek_path(state, A)).kek(root), before):
        assert secret.reveal() not in on_disk
        assert secret.reveal().hex().encode() not in on_disk


def test_a_kek_goes_from_shares_to_the_token_and_back_with_its_keys(state, softhsm):
    expected = bits_of(state)
    shares = sealed(state)
    softhsm.name_in(state, A)
    run(state, "init-token", typed="\n".join(shares[:3]) + "\n")
    assert bits_of(state, opened(state).root) == expected
    again = [line for line in run(state, "init-seal").splitlines() if line.startswith("qanat-share")]
    assert bits_of(state, root_of(state, again[1:4])) == expected


def test_a_token_that_guards_already_is_not_asked_for_a_second_guard(guarded, softhsm):
    done = invoked(guarded, "init-token")
    assert isinstance(done.exception, TokenProblem)
    assert "qanat kme rotate a" in str(done.exception)
    assert len(key_ids(softhsm)) == 1


def test_a_wrong_pin_in_a_file_is_tried_once_however_often_the_kme_starts(guarded, softhsm):
    pin_file = guarded.node(A) / "pin"
    write_pin(pin_file, "999999")
    with pytest.raises(PinRefused, match="token vault refused the PIN"):
        opened(guarded)
    for _ in range(4):  # each as at a start of the process
        sealing = sealing_of(guarded, A)
        sealing.start()
        assert sealing.is_sealed
        assert "did not change: not tried" in sealing.problem
    assert "999999" not in sealing.problem
    write_pin(pin_file, PIN)
    assert opened(guarded).root is not None


def test_a_last_try_is_left_to_people(guarded, softhsm, monkeypatch):
    """SoftHSM never locks, so its flag is set by hand; the words come from the worker's own check."""
    from qanat.node.token import worker

    class Library:
        def get_token(self, **_: object) -> object:
            import pkcs11

            return type("Nearly", (), {"serial": b"1", "flags": pkcs11.TokenFlag.USER_PIN_FINAL_TRY})()

    monkeypatch.setattr("pkcs11.lib", lambda _: Library())
    monkeypatch.setattr(device, "_answer", worker.answered)
    with pytest.raises(TokenProblem, match="one more wrong PIN locks token vault"):
        opened(guarded)


def test_every_fault_of_the_token_is_named_with_what_to_do(guarded, softhsm, tmp_path):
    def fails(match: str) -> None:
        with pytest.raises(TokenProblem, match=match) as told:
            opened(guarded)
        assert PIN not in str(told.value)

    settings = settings_path(guarded, A)
    good = settings.read_text()
    softhsm.unplug()
    fails("no token vault is there")
    softhsm.plug_in()
    settings.write_text(good.replace('"vault"', '"other"'))
    softhsm.make("other")
    fails(rf"token other \(serial [0-9a-f]+\) has no key {key_id_of(guarded)}.*made on token vault")
    settings.write_text(good.replace(softhsm.module, "/nowhere/lib.so"))
    fails("the PKCS#11 module /nowhere/lib.so.* cannot be read")
    settings.write_text(good.replace(softhsm.module, "lib.so"))
    fails("absolute path")
    loose = tmp_path / "loose.so"
    loose.write_bytes(b"no library")
    loose.chmod(0o666)
    settings.write_text(good.replace(softhsm.module, str(loose)))
    fails("can be changed by other users")
    loose.chmod(0o644)
    fails("is no PKCS#11 module that loads here")
    settings.write_text(good.replace("token =", "tokem ="))
    fails("kek.toml cannot be used")
    settings.unlink()
    fails("kek.toml is missing")
    settings.write_text(good)
    (guarded.node(A) / "pin").chmod(0o644)
    fails("can be read by others")
    (guarded.node(A) / "pin").unlink()
    fails("cannot be read: No such file")
    write_pin(guarded.node(A) / "pin", PIN)
    assert opened(guarded).root is not None


def test_a_token_with_the_same_label_as_another_is_told_apart_by_its_serial_number(guarded, softhsm):
    serial = KekFile.load(kek_path(guarded, A)).token_key.serial
    softhsm.make("vault")
    with pytest.raises(TokenProblem, match="several tokens are called vault"):
        opened(guarded)
    with settings_path(guarded, A).open("a") as file:
        file.write(f'serial = "{serial}"\n')
    assert opened(guarded).root is not None


@pytest.mark.parametrize("field", ["sealed", "salt", "serial", "token"])
def test_a_kek_file_with_one_thing_changed_does_not_open(guarded, field):
    path = kek_path(guarded, A)
    text = path.read_text()
    start = text.index(f'"{field}": "') + len(f'"{field}": "')
    changed = "1" if text[start] != "1" else "2"
    path.write_text(text[:start] + changed + text[start + 1 :])
    with pytest.raises(WrongTokenKey):
        opened(guarded)


@pytest.mark.parametrize("body", ["{}", '{"token": 1}', "[]", "{", '{"token":"t","serial":"1","key_id":"x","salt":""}'])
def test_a_kek_file_that_makes_no_sense_is_called_damaged(guarded, body):
    kek_path(guarded, A).write_text(f"pkcs11\n{body}\n")
    with pytest.raises(EnvironmentProblem, match="missing or damaged"):
        sealing_of(guarded, A)


def test_without_the_extra_its_name_is_given(guarded, monkeypatch):
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    from qanat.node.token import worker

    monkeypatch.setattr(device, "_answer", worker.answered)
    with pytest.raises(TokenProblem, match=r"pip install 'qanat\[pkcs11\]'"):
        opened(guarded)


@pytest.mark.parametrize(("fate", "match"), [("kill -SEGV $$", "crashed"), ("exec sleep 60", "gave no answer")])
def test_a_module_that_crashes_or_hangs_ends_its_own_process_only(guarded, tmp_path, monkeypatch, fate, match):
    """The worker's process dies or hangs as a maker's library would make it."""
    worker = tmp_path / "worker"
    worker.write_text(f"#!/bin/sh\n{fate}\n")
    worker.chmod(0o700)
    monkeypatch.setattr(device.sys, "executable", str(worker))
    monkeypatch.setattr(device, "PATIENCE_S", 2.0)
    with pytest.raises(TokenProblem, match=match):
        opened(guarded)


def test_no_question_or_answer_shows_what_it_carries():
    question = Question(
        verb="root", module="", token="", serial="", key="", key_id=b"", message=b"", pin=PIN, is_last_try_allowed=True
    )
    assert PIN not in repr(question)
    assert "root key" not in repr(Answer(root=b"root key"))


def test_the_root_key_is_the_key_derivation_of_sp_800_108_under_the_tokens_key(guarded, softhsm):
    """Against a derivation by the cryptography package, with a key of known value put on the token."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode

    value, key = bytes(range(32)), KekFile.load(kek_path(guarded, A)).token_key
    settings = token_settings(guarded, A)
    token = Token(A, settings)
    context = f"a/{key.key_id}/{key.salt}".encode()
    kdf = KBKDFHMAC(
        algorithm=SHA256(), mode=Mode.CounterMode, length=32, rlen=4, llen=4, location=CounterLocation.BeforeFixed,
        label=b"qanat kek root", context=context, fixed=None,
    )  # fmt: skip
    token.destroy(key, None)
    put = (
        "import pkcs11,sys; t=pkcs11.lib(sys.argv[1]).get_token(token_label='vault'); A=pkcs11.Attribute\n"
        "with t.open(user_pin=sys.argv[2], rw=True) as s: s.create_object({A.CLASS: pkcs11.ObjectClass.SECRET_KEY,\n"
        "  A.KEY_TYPE: pkcs11.KeyType.GENERIC_SECRET, A.VALUE: bytes(range(32)), A.ID: bytes.fromhex(sys.argv[3]),\n"
        "  A.TOKEN: True, A.SIGN: True, A.SENSITIVE: True, A.EXTRACTABLE: sys.argv[4] == 'yes'})"
    )
    place = [sys.executable, "-c", put, softhsm.module, PIN, key.key_id]
    subprocess.run([*place, "no"], check=True, timeout=30)
    assert token.root(key, None) == SecretBits(kdf.derive(value))
    with pytest.raises(WrongTokenKey):
        opened(guarded)
    token.destroy(key, None)
    subprocess.run([*place, "yes"], check=True, timeout=30)
    with pytest.raises(TokenProblem, match="so it guards nothing"):
        token.root(key, None)


ROTATOR = """
import os, signal, sys
from qanat.core.ids import SiteId
from qanat.node.entropy import SystemEntropy
from qanat.node.sealing import sealing_of
from qanat.node.statedir import StateDir
from qanat.node.store import opening
state, moment, site = StateDir(sys.argv[1]), sys.argv[2], SiteId("a")
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
sealing = sealing_of(state, site)
sealing.add("")
store = opening.open_store(state, site, root=sealing.root, entropy=SystemEntropy())
guard, root = sealing.renewed("", SystemEntropy())
if moment == "before the rewrap":
    store.rewrap = lambda kek: die()
with store.transaction():
    opening.rotate(state, site, store, root, SystemEntropy(), guard)
    if moment == "before the commit":
        die()
die()
"""


@pytest.mark.parametrize("moment", ["before the rewrap", "before the commit", "before the rename"])
def test_killed_in_the_middle_of_a_rotation_the_token_opens_the_store(guarded, moment):
    expected = bits_of(guarded, opened(guarded).root)
    child = subprocess.run([sys.executable, "-c", ROTATOR, str(guarded.path), moment], check=False)
    assert child.returncode == -signal.SIGKILL
    assert next_path(kek_path(guarded, A)).exists()
    sealing = opened(guarded)
    store = open_store(guarded, A, root=sealing.root, next_root=sealing.next_root, entropy=SystemEntropy())
    sealing.settle()
    store.close()
    assert not next_path(kek_path(guarded, A)).exists()
    assert bits_of(guarded, sealing.root) == expected
    assert bits_of(guarded, opened(guarded).root) == expected


def test_killed_after_the_change_from_shares_to_the_token_the_next_start_asks_the_token(state, softhsm, monkeypatch):
    expected = bits_of(state)
    shares = sealed(state)
    softhsm.name_in(state, A)
    monkeypatch.setattr("qanat.node.store.opening.finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    invoked(state, "init-token", typed="\n".join(shares[:3]) + "\n")
    monkeypatch.undo()
    monkeypatch.setenv("SOFTHSM2_CONF", str(softhsm.tokens.parent / "softhsm2.conf"))
    with pytest.raises(Sealed, match="change of guard is finished: token vault"):
        bits_of(state, root_of(state, shares[:3]))
    assert bits_of(state, opened(state).root) == expected


def test_after_a_rotation_the_old_kek_file_is_worthless_even_with_the_token(guarded, softhsm):
    before, old_id = kek_path(guarded, A).read_bytes(), key_id_of(guarded)
    sealing = opened(guarded)
    store = open_store(guarded, A, root=sealing.root, entropy=SystemEntropy())
    guard, root = sealing.renewed("", SystemEntropy())
    assert len(key_ids(softhsm)) == 2
    with store.transaction():
        assert rotate(guarded, A, store, root, SystemEntropy(), guard) == 2
    finish(guarded, A)
    sealing.adopt("", root)
    store.close()
    assert key_ids(softhsm) == [key_id_of(guarded)]
    assert bits_of(guarded, opened(guarded).root)
    kek_path(guarded, A).write_bytes(before)
    with pytest.raises(TokenProblem, match=f"has no key {old_id}"):
        opened(guarded)


def test_a_kme_waits_for_a_typed_pin_and_rotates_with_one(state, softhsm):
    softhsm.name_in(state, A, pin=None)
    said = run(state, "init-token", typed=PIN + "\n")
    assert "starts sealed" in said

    async def story() -> list[str]:
        kme, hub = a_site_kme(state)
        task = asyncio.create_task(kme.run())
        await asyncio.wait_for(kme.started.wait(), 20)
        with pytest.raises(KeyDeliveryError, match="sealed: its token has not opened it yet") as refusal:
            await kme.gateway.status(SaeId("a1"), SaeId("b1"))
        assert refusal.value.status_code == 503
        sealed_state = await told(state, "state")
        assert (sealed_state.is_sealed, sealed_state.asks) == (True, "PIN")
        with pytest.raises(Refused, match="refused the PIN"):
            await told(state, "unseal", "999999")
        assert not (await told(state, "unseal", PIN)).is_sealed
        for _ in range(200):
            if any("key store open" in note for note in hub.notes):
                break
            await asyncio.sleep(0.02)
        given = await kme.gateway.enc_keys(SaeId("a1"), SaeId("a2"), KeyRequest(number=1))
        before = key_ids(softhsm)
        softhsm.unplug()
        with pytest.raises(Refused, match="no token vault is there"):
            await told(state, "rotate", PIN)
        taken = await kme.gateway.dec_keys(SaeId("a2"), SaeId("a1"), [given.keys[0].key_id])
        assert taken.keys[0].key == given.keys[0].key
        softhsm.plug_in()
        with pytest.raises(Refused, match="the PIN of token vault is needed"):
            await told(state, "rotate")
        for _ in range(2):
            assert (await told(state, "rotate", PIN)).rewrapped >= 1
        after = key_ids(softhsm)
        assert len(after) == 1
        assert after != before
        task.cancel()
        await asyncio.wait({task})
        return hub.notes

    notes = asyncio.run(story())
    assert any("guarded by pkcs11" in note for note in notes)
    assert any("token vault needs its PIN" in note for note in notes)
    assert not any(PIN in note for note in notes)
    open_store(state, A, root=opened(state, PIN).root, entropy=SystemEntropy()).close()


def test_status_and_doctor_say_who_guards_the_kek(state, softhsm):
    def doctor() -> str:
        return CliRunner().invoke(app, ["doctor", "--state", str(state.path)]).output

    assert "nobody: it lies beside the store (development)" in run(state, "status")
    assert "development" in doctor()
    assert "memory of keys" in doctor()
    softhsm.name_in(state, A)
    assert "although kek.toml names a token: `qanat kme init-token a`" in doctor()
    run(state, "init-token")
    for said in (run(state, "status"), doctor()):
        assert "PKCS#11 token vault, serial" in said
    assert f'"key_id": "{key_id_of(state)}"' in run(state, "status", "--json")
    settings_path(state, A).unlink()
    assert "kek.toml is missing" in doctor()


def test_recovering_a_store_asks_its_token(guarded):
    assert "16384 bits" in run(guarded, "recover", "--discard-keys")
