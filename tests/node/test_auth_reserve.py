"""The pre-shared secret: equal at both ends, and no slice twice, kill -9 included."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qanat.node.processes.auth_reserve import SLICE_COUNT, SLICE_SIZE_BYTES, AuthReserve, ReserveExhausted, provision

# Claims slice after slice and says which, until somebody kills it.
CLAIMER = """
import sys
from pathlib import Path
from qanat.node.processes.auth_reserve import AuthReserve
reserve = AuthReserve(Path(sys.argv[1]))
while True:
    epoch = reserve.last_epoch + 1
    secret = reserve.claim(epoch)
    print(epoch, secret.reveal()[:16].hex(), flush=True)
"""


@pytest.fixture
def ends(tmp_path: Path) -> tuple[Path, Path]:
    paths = (tmp_path / "a" / "l.secret", tmp_path / "b" / "l.secret")
    provision(paths)
    return paths


def test_both_ends_get_the_same_slices_and_every_slice_is_different(ends: tuple[Path, Path]) -> None:
    a, b = map(AuthReserve, ends)
    slices = []
    for epoch in (1, 2, 5, SLICE_COUNT):
        left, right = a.claim(epoch), b.claim(epoch)
        assert left == right
        assert left.size_bytes == SLICE_SIZE_BYTES
        slices.append(left.reveal())
    assert len(set(slices)) == len(slices)


def test_only_the_owner_may_read_it(ends: tuple[Path, Path]) -> None:
    for path in ends:
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_spent_slice_is_gone_from_the_disk(ends: tuple[Path, Path]) -> None:
    secret = AuthReserve(ends[0]).claim(3).reveal()
    assert secret not in ends[0].read_bytes()
    assert secret in ends[1].read_bytes()  # the other end has not spent it yet


@settings(max_examples=15, deadline=None)
@given(epochs=st.lists(st.integers(-1, SLICE_COUNT + 2), max_size=12), reopens=st.lists(st.booleans(), min_size=12))
def test_no_epoch_is_given_twice_whatever_is_asked(
    tmp_path_factory: pytest.TempPathFactory, epochs: list[int], reopens: list[bool]
) -> None:
    folder = tmp_path_factory.mktemp("reserve")
    provision((folder / "a", folder / "b"))
    reserve = AuthReserve(folder / "a")
    given_out: list[int] = []
    for epoch, is_reopened in zip(epochs, reopens, strict=False):
        if is_reopened:
            reserve = AuthReserve(folder / "a")
        try:
            reserve.claim(epoch)
        except ReserveExhausted:
            continue
        assert all(epoch > earlier for earlier in given_out)
        given_out.append(epoch)


def test_the_end_of_the_secret_is_a_sentence(ends: tuple[Path, Path]) -> None:
    reserve = AuthReserve(ends[0])
    reserve.claim(SLICE_COUNT)
    with pytest.raises(ReserveExhausted, match="256 slices"):
        reserve.claim(SLICE_COUNT + 1)


def test_kill_9_between_claims_spends_no_slice_twice(ends: tuple[Path, Path]) -> None:
    told: list[tuple[int, str]] = []
    for round_number in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", CLAIMER, str(ends[0])], stdout=subprocess.PIPE, text=True
        ) as claimer:
            assert claimer.stdout is not None
            for _ in range(5 + 3 * round_number):
                epoch, digits = claimer.stdout.readline().split()
                told.append((int(epoch), digits))
            claimer.kill()
            told += [(int(line.split()[0]), line.split()[1]) for line in claimer.stdout if len(line.split()) == 2]
    epochs = [epoch for epoch, _ in told]
    assert epochs == sorted(set(epochs))
    assert len({digits for _, digits in told}) == len(told)
    assert "00" * 16 not in {digits for _, digits in told}
    assert AuthReserve(ends[0]).last_epoch >= epochs[-1]


def test_a_second_start_keeps_the_secret_and_a_lost_end_renews_both(ends: tuple[Path, Path]) -> None:
    before = ends[0].read_bytes()
    provision(ends)
    assert ends[0].read_bytes() == before
    os.unlink(ends[1])
    provision(ends)
    assert ends[0].read_bytes() == ends[1].read_bytes() != before
