"""`qanat seal`, `open` and `integrate` against a running network, as a person would use them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from live_network import ROOT, Live, until

METRO = ROOT / "networks" / "metro.toml"
BANKS = ("bank-mitte", "bank-charlottenburg")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    made = Live(tmp_path_factory.mktemp("sealing"), network=METRO).start()
    until(lambda: made.run("key", "get", *BANKS).code == 0, patience_s=60)
    yield made
    made.stop()


@pytest.mark.parametrize("way", [(), ("--one-time-pad",)], ids=["AES-256-GCM", "one-time pad"])
def test_a_file_travels_sealed_and_opens_once(live: Live, tmp_path: Path, way: tuple[str, ...]) -> None:
    (tmp_path / "plans.txt").write_bytes(b"the plans " * 30)
    mitte, charlottenburg = BANKS
    sealing = ("seal", str(tmp_path / "plans.txt"), "--as", mitte, "--to", charlottenburg, *way)
    done = until(lambda: (found := live.run(*sealing)).code == 0 and found, patience_s=60)
    assert "SIMULATED" in done.out
    sealed = tmp_path / "plans.txt.sealed"
    (tmp_path / "plans.txt").unlink()
    wrong = live.run("open", str(sealed), "--as", mitte)
    assert (wrong.code, "was sealed for bank-charlottenburg" in wrong.err) == (2, True)
    sealed_bytes = sealed.read_bytes()
    sealed.write_bytes(sealed_bytes[:-1])
    cut = live.run("open", str(sealed), "--as", charlottenburg)
    assert (cut.code, "should have" in cut.err) == (1, True)
    sealed.write_bytes(sealed_bytes)
    opened = live.run("open", str(sealed), "--as", charlottenburg)
    assert opened.code == 0, opened.err
    assert (tmp_path / "plans.txt").read_bytes() == b"the plans " * 30
    again = live.run("open", str(sealed), "--as", charlottenburg, "--out", str(tmp_path / "again"))
    assert (again.code, (tmp_path / "again").exists()) == (1, False)


def test_a_pad_that_is_too_long_is_refused_with_the_bits_there_are(live: Live, tmp_path: Path) -> None:
    (tmp_path / "film").write_bytes(bytes(3_000_000))
    done = live.run("seal", str(tmp_path / "film"), "--as", BANKS[0], "--to", BANKS[1], "--one-time-pad")
    assert done.code == 1
    assert "needs 24000256 bits of key" in done.err
    assert "No key was taken" in done.err


def test_openssl_at_both_ends_takes_one_key(live: Live, tmp_path: Path) -> None:
    mine = live.run("integrate", "openssl", str(tmp_path / "a.psk"), "--as", BANKS[0], "--peer", BANKS[1])
    assert mine.code == 0, mine.err
    key_id = mine.out.split()[2]
    theirs = live.run(
        "integrate", "openssl", str(tmp_path / "b.psk"), "--as", BANKS[1], "--peer", BANKS[0], "--key-id", key_id
    )
    assert theirs.code == 0, theirs.err
    assert (tmp_path / "a.psk").read_bytes() == (tmp_path / "b.psk").read_bytes()


def test_an_end_that_neither_leads_nor_follows_is_told(live: Live) -> None:
    peer_key = "A" * 43 + "="
    for ends in ((), ("--listen", "127.0.0.1:1", "--connect", "127.0.0.1:1"), ("--connect", "nowhere")):
        done = live.run("integrate", "wireguard", "wg0", peer_key, "--as", BANKS[0], "--peer", BANKS[1], *ends)
        assert done.code == 2, done.err
        assert "HOST:PORT" in done.err
