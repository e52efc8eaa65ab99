"""Files under a one-time pad: what goes in comes out, once, and only if nobody touched it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from memory_kme import TwoKmes

from qanat.core.ids import KeyId, SaeId
from qanat.core.secret import SecretBits
from qanat.sae.client import KeyDeliveryClient
from qanat.sae.keys import DeliveredKey
from qanat.sae.pad import PadTooShort, key_bits_for, open_padded, pad_file, read_pad_header, requests_for
from qanat.sae.seal import NotSealed, SealBroken

ALICE, BOB = SaeId("alice"), SaeId("bob")


def keys(size_bytes: int, each: int = 100) -> list[DeliveredKey]:
    count = -(-(size_bytes + 32) // each)
    return [
        DeliveredKey(key_id=uuid4(), master=ALICE, slave=BOB, bits=SecretBits(os.urandom(each)), provenance=None)
        for _ in range(count)
    ]


def copies(found: list[DeliveredKey]) -> list[DeliveredKey]:
    return [replace(key, bits=SecretBits(key.bits.reveal())) for key in found]


@pytest.mark.parametrize("size", [0, 1, 68, 69, 5000])
def test_what_was_padded_comes_out_again(tmp_path: Path, size: int) -> None:
    plain, mine = os.urandom(size), keys(size)
    theirs = copies(mine)
    (tmp_path / "plain").write_bytes(plain)
    header = pad_file(tmp_path / "plain", tmp_path / "sealed", mine)
    assert all(key.bits == SecretBits(bytes(100)) for key in mine)  # used once: wiped
    asked: list[KeyId] = []
    open_padded(tmp_path / "sealed", tmp_path / "opened", lambda _, ids: asked.extend(ids) or theirs)
    assert (tmp_path / "opened").read_bytes() == plain
    assert (tmp_path / "opened").stat().st_mode & 0o077 == 0
    assert tuple(asked) == header.key_ids == read_pad_header(tmp_path / "sealed").key_ids


def test_any_changed_byte_is_refused_and_any_cut_before_a_key_is_spent(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(os.urandom(50))
    mine = keys(50)
    theirs = copies(mine)
    pad_file(tmp_path / "plain", tmp_path / "sealed", mine)
    content = (tmp_path / "sealed").read_bytes()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        (tmp_path / "sealed").write_bytes(changed)
        with pytest.raises((SealBroken, NotSealed)):
            open_padded(tmp_path / "sealed", tmp_path / "opened", lambda *_: copies(theirs))
    for cut in range(len(content)):
        (tmp_path / "sealed").write_bytes(content[:cut])
        with pytest.raises(NotSealed):
            open_padded(tmp_path / "sealed", tmp_path / "opened", lambda *_: pytest.fail("a key was spent"))
    assert {entry.name for entry in tmp_path.iterdir()} == {"plain", "sealed"}


def test_the_pad_is_as_long_as_the_file_and_differs_from_the_tags_key(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(bytes(100))
    mine = keys(100)
    raw = b"".join(key.bits.reveal() for key in mine)
    pad_file(tmp_path / "plain", tmp_path / "sealed", mine)
    content = (tmp_path / "sealed").read_bytes()
    assert content[-116:-16] == raw[32:132]  # zeros under a pad show the pad: no byte of it is used twice
    assert raw[:32] not in content
    with pytest.raises(PadTooShort, match="were given"):
        pad_file(tmp_path / "plain", tmp_path / "again", keys(0)[:1])
    assert not (tmp_path / "again").exists()


def test_a_file_travels_under_a_pad_through_two_kmes(two: TwoKmes, tmp_path: Path) -> None:
    plain = os.urandom(1500)
    (tmp_path / "plain").write_bytes(plain)
    with (
        KeyDeliveryClient(two.url("a"), **two.saes["alice"].kwargs()) as alice,
        KeyDeliveryClient(two.url("b"), **two.saes["bob"].kwargs()) as bob,
    ):
        status = alice.status(BOB)
        asked = requests_for(len(plain), status)
        assert sum(number * size for number, size in asked) >= key_bits_for(len(plain))
        got = [key for number, size in asked for key in alice.enc_keys(BOB, number, size)]
        pad_file(tmp_path / "plain", tmp_path / "sealed", got)
        open_padded(tmp_path / "sealed", tmp_path / "opened", bob.dec_keys)
        assert (tmp_path / "opened").read_bytes() == plain
        needed, held = key_bits_for(100_000), status.stored_key_count * 256
        with pytest.raises(PadTooShort, match=f"{needed} bits of key, {held} are there"):
            requests_for(100_000, status)
