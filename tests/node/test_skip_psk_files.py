"""The file of routers' pre-shared keys: who may be in it, who may read it, and what a KME does with a damaged one."""

from __future__ import annotations

import json
import logging
import multiprocessing
from pathlib import Path

import pytest

from qanat.core.errors import EnvironmentProblem, MisuseError
from qanat.core.ids import SaeId, SiteId
from qanat.node.entropy import SystemEntropy
from qanat.node.skip_psk import FILE, Enrolled, PskBook, add, listed, remove
from qanat.node.statedir import StateDir

A, B, APP, TWO = SiteId("a"), SiteId("b"), SaeId("app"), SaeId("two")
ENTROPY = SystemEntropy()


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    made = StateDir(tmp_path / "state")
    made.prepare()
    for site in (A, B):
        made.node(site).mkdir(mode=0o700)
    return made


def enrol(state: StateDir, identity: str = "router", sae: SaeId = APP, site: SiteId = A) -> Enrolled:
    return add(state, site, sae, identity, entropy=ENTROPY)


def test_a_key_has_256_bits_and_is_found_by_its_identity_alone(state: StateDir) -> None:
    made, other = enrol(state), enrol(state, "other", TWO)
    assert (len(made.secret), made.secret == other.secret) == (32, False)
    book = PskBook(state, A)
    found = book.find("router")
    assert found is not None
    assert (found.name, found.secret.reveal()) == (APP, made.secret)
    assert book.admits(APP, found.serial)
    assert not book.admits(TWO, found.serial)
    assert book.find("route") is None
    assert PskBook(state, B).find("router") is None
    assert (state.node(A) / FILE).stat().st_mode & 0o777 == 0o600


def test_a_serial_number_is_negative_and_that_of_no_certificate(state: StateDir) -> None:
    enrol(state)
    found = PskBook(state, A).find("router")
    assert found is not None
    assert found.serial < 0


def test_an_identity_is_one_in_the_whole_network(state: StateDir) -> None:
    enrol(state)
    with pytest.raises(MisuseError, match="identity router already"):
        enrol(state, sae=TWO, site=B)
    assert [row.sae for _, row in listed(state)] == [APP]


@pytest.mark.parametrize("identity", ["", " ", "a b", "x" * 129, "å", "a\n", "a\0b"])
def test_an_identity_that_routers_cannot_show_is_refused(state: StateDir, identity: str) -> None:
    with pytest.raises(MisuseError, match="printable ASCII"):
        enrol(state, identity)
    assert listed(state) == []


def test_removing_by_identity_and_by_application(state: StateDir) -> None:
    for identity, sae, site in (("one", APP, A), ("two", APP, A), ("three", TWO, A), ("four", APP, B)):
        enrol(state, identity, sae, site)
    assert remove(state, identity="two") == ["two"]
    assert remove(state, identity="two") == []
    assert remove(state, sae=APP) == ["one", "four"]
    assert [row.identity for _, row in listed(state)] == ["three"]


def test_a_removed_key_is_wiped_and_nobody_s_any_more(state: StateDir) -> None:
    enrol(state)
    kept = enrol(state, "kept", TWO)
    book = PskBook(state, A)
    psk = book.find("router")
    assert psk is not None
    remove(state, identity="router")
    book.look()
    assert book.find("router") is None
    assert not book.admits(psk.name, psk.serial)
    assert psk.secret.reveal() == bytes(32)
    still = book.find("kept")
    assert still is not None
    assert still.secret.reveal() == kept.secret


def test_a_file_that_is_gone_admits_nobody(state: StateDir) -> None:
    enrol(state)
    book = PskBook(state, A)
    (state.node(A) / FILE).unlink()
    book.look()
    assert book.find("router") is None


def damaged(made: Enrolled) -> dict[str, bytes]:
    row = {"identity": "x", "sae": "app", "serial": 5, "made": "2026-01-01T00:00:00Z", "secret": "c2hvcnQ="}
    good = row | {"secret": "QUFB" * 10 + "QUE="}
    return {
        "half": json.dumps({"psks": [row]}).encode()[:40] + made.secret.hex().encode(),
        "short key": json.dumps({"psks": [row]}).encode(),
        "no base64": json.dumps({"psks": [row | {"secret": made.secret.hex() + "*"}]}).encode(),
        "a number": json.dumps({"psks": [row | {"secret": 5}]}).encode(),
        "serial": json.dumps({"psks": [good | {"serial": -5}]}).encode(),
        "identity": json.dumps({"psks": [good | {"identity": "a b"}]}).encode(),
        "twice": json.dumps({"psks": [good, good]}).encode(),
        "binary": b"\xff\x00\xfe",
    }


@pytest.mark.parametrize("name", list(damaged(Enrolled(identity="", sae="", serial=1, made=0, secret=b""))))  # type: ignore[arg-type]
def test_a_damaged_file_changes_nothing_and_is_told_without_a_secret(
    state: StateDir, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = enrol(state)
    book, path = PskBook(state, A), state.node(A) / FILE
    path.write_bytes(damaged(made)[name])
    book.look()
    assert book.find("router") is not None, "what it said before holds"
    assert PskBook(state, A).find("router") is None, "a KME that never read a good one knows nobody"
    assert str(path) in caplog.text
    assert made.secret.hex() not in caplog.text
    for command in (lambda: listed(state), lambda: enrol(state, "new")):
        with pytest.raises(EnvironmentProblem, match=FILE) as told:
            command()
        assert made.secret.hex() not in str(told.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_file_that_others_can_read_is_not_used(state: StateDir, mode: int, caplog: pytest.LogCaptureFixture) -> None:
    enrol(state)
    (state.node(A) / FILE).chmod(mode)
    assert PskBook(state, A).find("router") is None
    assert "can be read by others" in caplog.text
    with pytest.raises(EnvironmentProblem, match="can be read by others"):
        listed(state)


def test_a_link_in_its_place_is_not_followed(state: StateDir, tmp_path: Path) -> None:
    enrol(state)
    path = state.node(A) / FILE
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert PskBook(state, A).find("router") is None


def test_a_folder_without_a_network_gets_no_file(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="no state directory"):
        enrol(StateDir(tmp_path / "nowhere"))
    assert not (tmp_path / "nowhere").exists()


def _add_many(path: str, name: str) -> None:
    for index in range(10):
        enrol(StateDir(path), f"{name}-{index}")


def test_commands_at_once_lose_none_of_each_other_s(state: StateDir) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_add_many, args=(str(state.path), name)) for name in ("p", "q", "r")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert len(listed(state)) == 30


def test_nothing_shows_a_key_by_accident(state: StateDir, caplog: pytest.LogCaptureFixture) -> None:
    made = enrol(state)
    caplog.set_level(logging.DEBUG)
    book = PskBook(state, A)
    book.look()
    for text in (repr(made), str(made), repr(listed(state)), repr(book.find("router")), caplog.text):
        assert made.secret.hex() not in text
        assert repr(made.secret)[2:-1] not in text
