"""The fifteen tests of SP 800-22 give its printed p-values, pass what is sound and fail what is not."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from tests.crypto.randomness import digits

from qanat.core.streams import Streams
from qanat.crypto.randomness.sp800_22 import balance, chi_square, complexity, templates, walks
from qanat.crypto.randomness.sp800_22.suite import TESTS, verdicts

PRINTED = tomllib.loads((Path(__file__).parents[3] / "authorities" / "sp800_22.toml").read_text(encoding="utf-8"))
MILLION = 1_000_000
DIGITS = {
    "pi": lambda: digits.pi(MILLION),
    "e": lambda: digits.e(MILLION),
    "root2": lambda: digits.root(2, MILLION),
    "root3": lambda: digits.root(3, MILLION),
}
PI = digits.pi(100)


def near(value):
    return pytest.approx(value, abs=PRINTED["tolerance"])


def bits(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8) - ord("0")


def found_by(sequence: np.ndarray) -> dict[str, float | None]:
    return {one.name: one.p_value for one in verdicts(np.asarray(sequence).astype(np.uint8))}


@pytest.mark.parametrize("name", DIGITS)
def test_a_million_digits_give_the_values_that_appendix_b_prints(name: str) -> None:
    sequence, old = DIGITS[name](), PRINTED["parameters"]
    found = found_by(sequence) | {
        "block frequency": balance.block_frequency(sequence, old["block_frequency_bits"]),
        "linear complexity": complexity.linear_complexity(sequence, 500, tuple(old["linear_complexity_shares"])),
        "overlapping template": templates.overlapping(sequence, tuple(old["overlapping_shares"])),
    }
    printed = dict(zip(PRINTED["appendix_b"]["names"], PRINTED["appendix_b"][name], strict=True))
    assert {one: found[one] for one in printed} == near(printed)
    assert None not in found.values()


def test_e_gives_every_printed_state_of_the_two_excursion_tests() -> None:
    sequence = digits.e(MILLION)
    assert list(walks.excursions(sequence).values()) == near(PRINTED["excursions"]["e"])
    assert list(walks.excursions_variant(sequence).values()) == near(PRINTED["excursions_variant"]["e"])


def test_the_older_overlapping_law_is_the_poisson_one_and_all_laws_sum_to_one() -> None:
    """3.8: P(u) = exp(-eta) / 2**u * sum over l of C(u - 1, l - 1) eta**l / l!, eta = 1."""
    e = np.exp(-1.0)
    law = [e, e / 2, 3 * e / 8, 13 * e / 48, 73 * e / 384]
    assert PRINTED["parameters"]["overlapping_shares"] == pytest.approx([*law, 1 - sum(law)], abs=1e-8)
    for shares in (templates.OVERLAPPING, complexity.COMPLEXITY, *(row[4] for row in balance.LONGEST_RUN)):
        assert sum(shares) == pytest.approx(1, abs=2e-4)
    assert [complexity.rank_share(32, 32 - less) for less in (0, 1)] == pytest.approx([0.2888, 0.5776], abs=1e-4)


def test_counts_give_the_printed_examples() -> None:
    """2.1.4, 2.1.8, 2.2.4, 2.2.8, 2.3.4, 2.3.8, 2.13.4, 2.13.8; 2.4.8 rounds its chi square, unrounded 0.180598."""
    assert balance.frequency(bits("1011010101")) == near(0.527089)
    assert balance.frequency(PI) == near(0.109599)
    assert balance.block_frequency(bits("0110011010"), 3) == near(0.801252)
    assert balance.block_frequency(PI, 10) == near(0.706438)
    assert balance.runs(bits("1001101011")) == near(0.147232)
    assert balance.runs(PI) == near(0.500798)
    assert walks.cumulative_sums(bits("1011010111"))["forwards"] == pytest.approx(0.4116588, abs=2e-6)
    assert walks.cumulative_sums(PI) == near({"forwards": 0.219194, "backwards": 0.114866})
    longest = "11001100000101010110110001001100111000000000001001001101010100010001001111010110100000001101011111001100"
    assert balance.longest_run(bits(longest + "111001101101100010110010")) == pytest.approx(0.180609, abs=2e-5)


def test_ranks_give_the_printed_examples() -> None:
    """2.5.4, whose three shares are rounded, and 2.5.8."""
    assert [complexity.rank([0b010, 0b110, 0b010]), complexity.rank([0b010, 0b101, 0b011])] == [2, 3]
    assert chi_square.p_value(np.array([1, 1, 0]), (0.2888, 0.5776, 0.1336)) == near(0.741948)
    assert complexity.matrix_rank(digits.e(MILLION)[:100_000]) == near(0.532069)


def test_patterns_give_the_printed_examples() -> None:
    """2.7.4, 2.11.4, 2.11.8, 2.12.4, 2.12.8. 2.6.8 miscounts a peak: 0.646355 is what its formulas give."""
    assert templates.non_overlapping(bits("10100100101110010110"), 3, 2)["001"] == near(0.344154)
    assert templates.serial(bits("0011011101"), 3) == near({"1": 0.808792, "2": 0.670320})
    assert templates.serial(digits.e(MILLION), 2) == near({"1": 0.843764, "2": 0.561915})
    assert templates.approximate_entropy(bits("0100110101"), 3) == near(0.261961)
    assert templates.approximate_entropy(PI, 2) == near(0.235301)
    assert balance.spectral(PI) == near(0.646355)


def test_overlapping_hits_are_those_counted_by_hand() -> None:
    """In the sequence of 2.8.4: 1011101111, 0010110100, 0111001011, 1011111000, 0101101001."""
    sequence = bits("10111011110010110100011100101110111110000101101001")
    assert templates.overlapping_hits(sequence, 2, 10).tolist() == [5, 1, 3, 4, 1]


def test_complexity_and_distances_are_those_of_the_printed_examples() -> None:
    """2.9.4, step 4; 2.10.4 and 2.10.8."""
    words = bits("01011010011101010111").reshape(10, 2) @ np.array([2, 1])
    assert np.log2(complexity.distances(words)[4:]).mean() == near(1.1949875)
    assert complexity.shift_register([int(bit) for bit in "1101011110001"]) == 4
    shares = tuple(PRINTED["parameters"]["linear_complexity_shares"])
    assert complexity.linear_complexity(digits.e(MILLION), 1000, shares) == near(0.845406)


def test_walks_give_the_printed_examples() -> None:
    """2.14.4, which rounds, and 2.15.4."""
    assert walks.excursions(bits("0110110101"), 1)["+1"] == pytest.approx(0.502529, abs=1e-4)
    assert walks.excursions_variant(bits("0110110101"), 1)["+1"] == near(0.683091)


def test_there_are_as_many_templates_as_printed() -> None:
    """2.7.2 and the table of appendix A: for 2 to 10 bits."""
    assert [len(templates.aperiodic(size)) for size in range(2, 11)] == [2, 4, 6, 12, 20, 40, 74, 148, 284]


def test_windows_count_what_a_scan_that_jumps_past_each_hit_counts() -> None:
    block = Streams(seed=5).get("scan").integers(0, 2, 20_000, np.uint8)
    text, counts = "".join(map(str, block)), np.bincount(templates.windows(block, 9), minlength=512)
    for template in templates.aperiodic(9):
        assert text.count(template) == counts[int(template, 2)]  # str.count jumps


def test_ranks_are_those_of_all_sums_of_rows() -> None:
    stream = Streams(seed=5).get("rank")
    for _ in range(200):
        rows, span = stream.integers(0, 128, 7).tolist(), {0}
        for row in rows:
            span |= {row ^ other for other in span}
        assert 2 ** complexity.rank(rows) == len(span)


def test_shift_registers_are_the_shortest() -> None:
    """Against a search through all registers, 2.10: the least length whose feedback makes the rest from the start."""

    def makes(taps: int, length: int, block: list[int]) -> bool:
        return all(
            block[place] == sum(block[place - 1 - i] for i in range(length) if taps >> i & 1) % 2
            for place in range(length, len(block))
        )

    stream = Streams(seed=5).get("register")
    for _ in range(100):
        block = stream.integers(0, 2, 11).tolist()
        shortest = next(n for n in range(12) if any(makes(taps, n, block) for taps in range(1 << n)))
        # A block of zeros and a last 1 takes a register as long as itself; a block of zeros none.
        assert complexity.shift_register(block) == shortest


def test_a_counter_under_aes_passes_and_whoever_has_the_key_knows_it_all() -> None:
    """A fixed stream; least of 188 p-values. Nothing here proves secrecy."""
    stream = Cipher(algorithms.AES(bytes(range(16))), modes.CTR(bytes(16))).encryptor().update(bytes(125_000))
    values = [p for p in found_by(np.unpackbits(np.frombuffer(stream, np.uint8))).values() if p is not None]
    assert len(values) >= 162
    assert min(values) > 0.01 / len(values)


def test_p_values_of_sound_bits_are_spread_evenly() -> None:
    """60 sequences: the mean of each p-value lies within 5 standard errors (0.289 / sqrt 60) of one half."""
    rows = [list(found_by(Streams(seed=n).get("even").integers(0, 2, 40_000)).values()) for n in range(60)]
    for column in zip(*rows, strict=True):
        if column[0] is not None:
            assert abs(np.mean(column) - 0.5) < 5 * 0.289 / 60**0.5


def register(size: int) -> np.ndarray:
    """A shift register of 16 bits: balanced and long, but linear."""
    made = [1] * 16
    for _ in range(size - 16):
        made.append(made[-16] ^ made[-14] ^ made[-13] ^ made[-11])
    return np.array(made, np.uint8)


def sound(name: str) -> np.ndarray:
    return Streams(seed=8).get(name).integers(0, 2, MILLION, np.uint8)


def unbalanced() -> tuple[np.ndarray, np.ndarray]:
    """Three quarters ones, three quarters zeros."""
    return sound("x") | sound("y"), sound("x") & sound("y")


def with_template(template: str) -> np.ndarray:
    """Every 900 bits once more than by chance."""
    made = sound("x")[: MILLION // 900 * 900].reshape(-1, 900).copy()
    made[:, : len(template)] = bits(template)
    return np.concatenate([made.ravel(), sound("y")[made.size :]])


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("frequency", lambda: sound("x") | (Streams(seed=2).get("or").random(MILLION) < 0.02)),
        ("block frequency", lambda: np.where(np.arange(MILLION) // 20_000 % 2, *unbalanced())),
        ("runs", lambda: np.repeat(sound("x"), 2)[:MILLION]),
        ("longest run of ones", lambda: np.where(np.arange(MILLION) % 10_000 < 30, 1, sound("x"))),
        ("matrix rank", lambda: register(MILLION)),
        ("spectral", lambda: np.where(np.arange(MILLION) % 10 == 0, 1, sound("x"))),
        ("non-overlapping template 010011011", lambda: with_template("010011011")),
        ("overlapping template", lambda: np.where(np.arange(MILLION) % 1032 < 12, 1, sound("x"))),
        ("universal", lambda: np.repeat(sound("x")[::8], 8)),
        ("linear complexity", lambda: register(MILLION)),
        ("serial 1", lambda: np.tile(sound("x")[:5000], 200)),
        ("approximate entropy", lambda: np.tile(sound("x")[:5000], 200)),
        ("cumulative sums forwards", lambda: sound("x") | (Streams(seed=2).get("or").random(MILLION) < 0.02)),
        ("random excursions +1", lambda: np.resize(bits("1001"), MILLION)),
        ("random excursions variant +2", lambda: np.resize(bits("10"), MILLION)),
    ],
)  # fmt: skip
def test_each_fault_is_found_by_its_test(name: str, fault) -> None:  # type: ignore[no-untyped-def]
    assert found_by(fault())[name] < 1e-6


def test_each_of_the_fifteen_runs_once_and_says_so_before() -> None:
    told: list[str] = []
    found = verdicts(sound("x"), told.append)
    assert told == [test.name for test in TESTS] == list(dict.fromkeys(one.test for one in found))
    assert len(told) == 15


@pytest.mark.parametrize("size", [0, 1, 99, 100, 128, 1024, 6272, 38_912, 387_840, MILLION])
@pytest.mark.parametrize("fill", [0, 1])
def test_short_sequences_get_the_tests_that_suit_them_and_constant_ones_fail_these(size: int, fill: int) -> None:
    for one in verdicts(np.full(size, fill, np.uint8)):
        if one.p_value is None:
            assert one.note.startswith("needs ")
        else:
            assert 0 <= one.p_value < 1e-6
