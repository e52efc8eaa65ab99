"""Health tests of sources and of delivered key: the standard's cutoffs, faults found at once, silence otherwise."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import binom

from qanat.core.errors import QanatError
from qanat.core.secret import SecretBits
from qanat.core.streams import Streams
from qanat.crypto.randomness.delivered import KeyHealth
from qanat.crypto.randomness.health import (
    STARTUP_BYTES,
    WINDOW_BYTES,
    Cutoffs,
    EntropyFailed,
    HealthTest,
    HealthTestedEntropy,
    cutoffs,
)


def noise(size_bytes: int, name: str = "noise") -> bytes:
    return Streams(seed=9).get(name).bytes(size_bytes)


class Tape:
    """A source that plays a tape and counts what it gave."""

    def __init__(self, tape: bytes) -> None:
        self.tape, self.place = tape, 0

    def random_bytes(self, size_bytes: int) -> bytes:
        self.place += size_bytes
        return self.tape[self.place - size_bytes : self.place]


def behind_tests(tape: bytes) -> HealthTestedEntropy:
    return HealthTestedEntropy(Tape(tape), min_entropy_bits=8, alpha_log2=-40)


@pytest.mark.parametrize(
    ("min_entropy_bits", "repetitions", "proportion"),
    [(0.5, 41, 410), (1, 21, 311), (2, 11, 177), (4, 6, 62), (8, 4, 13)],
)
def test_cutoffs_are_those_of_the_standard(min_entropy_bits: float, repetitions: int, proportion: int) -> None:
    """Proportions: SP 800-90B (2018), 4.4.2, examples for window 512. Repetitions: 4.4.1, 1 + ceil(20 / H)."""
    assert cutoffs(min_entropy_bits, -20) == Cutoffs(repetitions, proportion)


@pytest.mark.parametrize("min_entropy_bits", [0.5, 1, 4, 7.9, 8])
@pytest.mark.parametrize("alpha_log2", [-20, -30, -40])
def test_cutoffs_are_the_smallest_that_the_binomial_law_allows(min_entropy_bits: float, alpha_log2: int) -> None:
    limits, p = cutoffs(min_entropy_bits, alpha_log2), 2.0**-min_entropy_bits
    assert (limits.repetitions - 1) * min_entropy_bits >= -alpha_log2 > (limits.repetitions - 2) * min_entropy_bits
    assert binom.sf(limits.proportion - 1, WINDOW_BYTES, p) <= 2.0**alpha_log2
    assert binom.sf(limits.proportion - 2, WINDOW_BYTES, p) > 2.0**alpha_log2


@pytest.mark.parametrize(("claim", "alpha"), [(0, -20), (8.1, -20), (8, 0), (float("nan"), -20)])
def test_a_claim_that_cannot_be_is_refused(claim: float, alpha: int) -> None:
    with pytest.raises(ValueError, match="no cutoffs"):
        cutoffs(claim, alpha)


@pytest.mark.parametrize("piece", [1, 3, 7, 512, 4096])
def test_a_run_is_found_at_its_last_byte_however_the_stream_is_cut(piece: int) -> None:
    limits = Cutoffs(repetitions=9, proportion=513)
    for length, is_found in ((8, False), (9, True)):
        stream = bytes(range(100)) + b"\xaa" * length + bytes(range(100))
        test = HealthTest(limits)
        found = [test.fault(stream[at : at + piece]) for at in range(0, len(stream), piece)]
        assert any(found) is is_found


@pytest.mark.parametrize("piece", [1, 5, 512, 4096])
def test_a_favourite_byte_is_found_only_within_one_window(piece: int) -> None:
    limits = Cutoffs(repetitions=600, proportion=30)
    for count, is_found in ((29, False), (30, True)):
        window = bytearray(1 + i % 200 for i in range(512))
        window[0 : 2 * count : 2] = b"\0" * count
        test = HealthTest(limits)
        stream = bytes(window) + bytes(window) if count == 29 else bytes(window)
        found = [test.fault(stream[at : at + piece]) for at in range(0, len(stream), piece)]
        assert any(found) is is_found


def test_nothing_is_given_before_the_start_up_test() -> None:
    source = Tape(noise(5000))
    given = HealthTestedEntropy(source, min_entropy_bits=8, alpha_log2=-40).random_bytes(32)
    assert source.place == STARTUP_BYTES + 32 >= 1024 + 32
    assert given == source.tape[STARTUP_BYTES : STARTUP_BYTES + 32]
    with pytest.raises(EntropyFailed):
        behind_tests(noise(1000) + bytes(24) + noise(1000)).random_bytes(1)


def test_a_source_that_sticks_fails_and_stays_failed_and_shows_no_bytes() -> None:
    source = behind_tests(noise(2048) + b"\xa7" * 40 + noise(4096))
    assert len(source.random_bytes(1000)) == 1000
    for _ in range(3):
        with pytest.raises(EntropyFailed, match="equal bytes in a row") as caught:
            source.random_bytes(100)
        assert isinstance(caught.value, QanatError)
        assert "a7" not in str(caught.value)
        assert "167" not in str(caught.value)


def test_a_source_that_gives_too_little_fails() -> None:
    with pytest.raises(EntropyFailed, match="bytes instead of"):
        behind_tests(noise(1500)).random_bytes(1000)


def test_a_good_source_is_left_alone() -> None:
    """8 MB at 2**-40 per byte and test: false alarm 2 * 8e6 * 2**-40 = 1.5e-5; the seed is fixed."""
    source = behind_tests(noise(8_001_024))
    assert sum(len(source.random_bytes(4000)) for _ in range(2000)) == 8_000_000


def test_health_tests_load_no_numerics() -> None:
    code = "import qanat.node.entropy as e, sys; e.SystemEntropy().random_bytes(9); print('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_sound_key_blocks_cause_no_finding() -> None:
    health = KeyHealth()
    for number in range(100):
        assert health.finding(SecretBits(noise(12_500, f"block{number}"))) is None


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (bytes(1000), "equal bytes in a row"),
        (noise(5000) + bytes(64) + noise(5000), "equal bytes in a row"),
        (b"\x01\x02" * 2000, "one byte"),
        (bytes(a | b for a, b in zip(noise(9000), noise(9000, "b"), strict=True)), "ones among"),
    ],
)
def test_a_broken_key_block_is_noticed_and_not_shown(data: bytes, says: str) -> None:
    finding = KeyHealth().finding(SecretBits(data))
    assert finding is not None
    assert says in finding
    assert data[:4].hex() not in finding


def test_a_bias_too_small_for_one_block_is_noticed_over_many() -> None:
    """52 % ones are 500 above half in one block of 25 000 bits, where 727 are allowed, and 8 times as many over 64."""
    health, stream = KeyHealth(), Streams(seed=4).get("bias")
    findings = [health.finding(SecretBits(np.packbits(stream.random(25_000) < 0.52).tobytes())) for _ in range(64)]
    assert findings[0] is None
    assert "in the last" in str(findings[-1])
