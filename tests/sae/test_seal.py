"""Sealed files: what goes in comes out, and nothing else ever does."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import KeyId, SaeId
from qanat.core.secret import SecretBits
from qanat.sae.keys import DeliveredKey
from qanat.sae.seal import CHUNK_BYTES, KeyTooShort, NotSealed, SealBroken, open_file, read_header, seal_file


def new_key(size_bytes: int = 32) -> DeliveredKey:
    return DeliveredKey(
        key_id=uuid.uuid4(),
        master=SaeId("alice"),
        slave=SaeId("bob"),
        bits=SecretBits(os.urandom(size_bytes)),
        provenance=None,
    )


class Lookup:
    """A KME's other side: gives the key once per call and counts the calls."""

    def __init__(self, key: DeliveredKey) -> None:
        self.key = key
        self.calls: list[tuple[str, KeyId]] = []

    def __call__(self, master: SaeId, key_id: KeyId) -> DeliveredKey:
        self.calls.append((master, key_id))
        return self.key


def sealed(folder: Path, plaintext: bytes, key: DeliveredKey) -> Path:
    (folder / "plain").write_bytes(plaintext)
    seal_file(folder / "plain", folder / "sealed", key)
    return folder / "sealed"


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 17])
def test_what_was_sealed_comes_out_again(tmp_path: Path, size: int) -> None:
    plaintext, key = os.urandom(size), new_key()
    lookup = Lookup(key)
    path = sealed(tmp_path, plaintext, key)
    assert size < 16 or plaintext not in path.read_bytes()
    header = open_file(path, tmp_path / "opened", lookup)
    assert (tmp_path / "opened").read_bytes() == plaintext
    assert (tmp_path / "opened").stat().st_mode & 0o077 == 0
    assert lookup.calls == [("alice", key.key_id)]
    assert (header.master, header.slave, header.size_bytes) == ("alice", "bob", size)
    assert read_header(path) == header


def test_one_key_used_twice_shares_no_ciphertext(tmp_path: Path) -> None:
    key = new_key()
    first = sealed(tmp_path, bytes(1000), key).read_bytes()
    second = sealed(tmp_path, bytes(1000), key).read_bytes()
    assert first[-1000:] != second[-1000:]


def test_any_changed_byte_is_refused_and_leaves_no_output(tmp_path: Path) -> None:
    key = new_key()
    path = sealed(tmp_path, os.urandom(100), key)
    original = path.read_bytes()
    for place in range(len(original)):
        changed = bytearray(original)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises((SealBroken, NotSealed)):
            open_file(path, tmp_path / "opened", Lookup(key))
    assert {entry.name for entry in tmp_path.iterdir()} == {"plain", "sealed"}


def test_a_file_cut_at_any_place_is_refused_before_a_key_is_spent(tmp_path: Path) -> None:
    key = new_key()
    path = sealed(tmp_path, os.urandom(2 * CHUNK_BYTES), key)
    original = path.read_bytes()
    cuts = [0, 5, 21, 30, 200, len(original) - CHUNK_BYTES - 16, len(original) - 1]
    for content in [*(original[:cut] for cut in cuts), original + b"x"]:
        path.write_bytes(content)
        lookup = Lookup(key)
        with pytest.raises(NotSealed):
            open_file(path, tmp_path / "opened", lookup)
        assert lookup.calls == []
    assert not (tmp_path / "opened").exists()


def test_chunks_cannot_be_swapped(tmp_path: Path) -> None:
    key = new_key()
    path = sealed(tmp_path, os.urandom(3 * CHUNK_BYTES), key)
    content = path.read_bytes()
    size = CHUNK_BYTES + 16
    body = content[-3 * size :]
    path.write_bytes(content[: -3 * size] + body[size : 2 * size] + body[:size] + body[2 * size :])
    with pytest.raises(SealBroken, match="chunk 0"):
        open_file(path, tmp_path / "opened", Lookup(key))


def test_a_tag_that_fails_late_leaves_the_old_file_in_place(tmp_path: Path) -> None:
    key = new_key()
    path = sealed(tmp_path, os.urandom(3 * CHUNK_BYTES), key)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    (tmp_path / "opened").write_bytes(b"old")
    with pytest.raises(SealBroken, match="chunk 2"):
        open_file(path, tmp_path / "opened", Lookup(key))
    assert (tmp_path / "opened").read_bytes() == b"old"
    assert {entry.name for entry in tmp_path.iterdir()} == {"plain", "sealed", "opened"}


def test_another_key_or_another_id_opens_nothing(tmp_path: Path) -> None:
    key, other = new_key(), new_key()
    path = sealed(tmp_path, b"hello", key)
    with pytest.raises(SealBroken, match="asks for key"):
        open_file(path, tmp_path / "opened", Lookup(other))
    liar = DeliveredKey(key_id=key.key_id, master=key.master, slave=key.slave, bits=other.bits, provenance=None)
    with pytest.raises(SealBroken, match="tag does not match"):
        open_file(path, tmp_path / "opened", Lookup(liar))
    assert not (tmp_path / "opened").exists()


def test_a_header_that_claims_a_monstrous_size_is_refused_at_once(tmp_path: Path) -> None:
    path = sealed(tmp_path, b"hello", new_key())
    content = path.read_bytes()
    claim = content.replace(b'"size_bytes": 5', b'"size_bytes": 9' + b"0" * 25)
    place = len(b"qanat sealed file 2\n")
    length = int.from_bytes(content[place : place + 4]) + 25
    path.write_bytes(claim[:place] + length.to_bytes(4) + claim[place + 4 :])
    with pytest.raises(NotSealed, match="should have"):
        read_header(path)


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyTooShort, match="128 bits"):
        sealed(tmp_path, b"hello", new_key(16))
    assert not (tmp_path / "sealed").exists()


def test_files_that_cannot_be_used_say_so(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="No such file"):
        seal_file(tmp_path / "absent", tmp_path / "out", new_key())
    (tmp_path / "plain").write_bytes(b"x")
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        seal_file(tmp_path / "plain", tmp_path / "absent" / "out", new_key())
    with pytest.raises(EnvironmentProblem):
        seal_file(tmp_path, tmp_path / "out", new_key())
    with pytest.raises(EnvironmentProblem, match="no ordinary file"):
        seal_file("/dev/null", tmp_path / "out", new_key())


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "plain").write_bytes(b"x" * 1000)
    monkeypatch.setattr("qanat.sae.files.os.fsync", full)
    with pytest.raises(EnvironmentProblem, match="No space left"):
        seal_file(tmp_path / "plain", tmp_path / "out", new_key())
    assert {entry.name for entry in tmp_path.iterdir()} == {"plain"}
