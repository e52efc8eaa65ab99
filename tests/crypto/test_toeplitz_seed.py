"""A seed of privacy amplification serves one block."""

import os

import pytest

from qanat.core.errors import LocalProtocolError, RemoteProtocolError
from qanat.crypto import toeplitz_seed
from qanat.crypto.toeplitz_seed import SeedBook, SeedReused


class System:
    def random_bytes(self, size_bytes):
        return os.urandom(size_bytes)


class Stuck:
    def random_bytes(self, size_bytes):
        return bytes(size_bytes)


def test_a_seed_serves_one_block_at_both_ends():
    here, there = SeedBook(System()), SeedBook(System())
    seeds = [here.drawn(1_000, 300) for _ in range(20)]
    assert len(set(seeds)) == 20
    assert {len(seed) for seed in seeds} == {163}
    for seed in seeds:
        there.admit(seed)
    assert here.used_count == there.used_count == 20
    with pytest.raises(SeedReused, match="one of the 20") as caught:
        there.admit(seeds[7])
    assert isinstance(caught.value, RemoteProtocolError)
    assert seeds[7].hex() not in str(caught.value)


def test_an_entropy_source_that_repeats_itself_is_noticed_by_the_end_that_draws():
    book = SeedBook(Stuck())
    book.drawn(1_000, 300)
    with pytest.raises(SeedReused):
        book.drawn(1_000, 300)


def test_short_seeds_may_repeat_by_chance():
    book = SeedBook(System())
    for _ in range(300):
        book.drawn(5, 3)


def test_the_book_has_a_last_page(monkeypatch):
    monkeypatch.setattr(toeplitz_seed, "BLOCKS_MAX", 2)
    book = SeedBook(System())
    book.drawn(1_000, 300)
    book.drawn(1_000, 300)
    with pytest.raises(LocalProtocolError, match="2 seeds"):
        book.drawn(1_000, 300)
