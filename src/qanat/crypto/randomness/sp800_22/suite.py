"""All fifteen tests with the standard's parameters, each where the sequence is long enough for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qanat.crypto.randomness.sp800_22 import balance, complexity, templates, walks
from qanat.crypto.randomness.sp800_22.chi_square import Bits


@dataclass(frozen=True, slots=True)
class Verdict:
    """One p-value: the probability that sound bits look at least as odd.

    Attributes:
        test: Which of the fifteen.
        variant: Which p-value of those that test gives; empty where it gives one.
        p_value: None where there is none.
        note: Why there is none.
    """

    test: str
    variant: str
    p_value: float | None
    note: str = ""

    @property
    def name(self) -> str:
        return f"{self.test} {self.variant}".strip()


@dataclass(frozen=True, slots=True)
class Test:
    """Attributes: bits_min: what the standard asks for. run: one p-value, or several by variant; none if they do not
    apply to these bits."""

    name: str
    bits_min: int
    run: Callable[[Bits], float | dict[str, float]]


def _log2(bits: Bits) -> int:
    return len(bits).bit_length() - 1


TESTS = (
    Test("frequency", 100, balance.frequency),
    # 2.2.7: blocks of at least 20 bits and of more than a hundredth of all. The printed examples have 128.
    Test("block frequency", 100, lambda bits: balance.block_frequency(bits, max(20, len(bits) // 99 + 1))),
    Test("runs", 100, balance.runs),
    Test("longest run of ones", 128, balance.longest_run),
    Test("matrix rank", 38_912, complexity.matrix_rank),
    Test("spectral", 1000, balance.spectral),
    Test("non-overlapping template", 1_000_000, templates.non_overlapping),
    Test("overlapping template", 1_000_000, templates.overlapping),
    Test("universal", 387_840, complexity.universal),
    Test("linear complexity", 1_000_000, lambda bits: complexity.linear_complexity(bits, 500)),
    # 2.11.7: m < log2 n - 2. 2.12.7: m < log2 n - 5.
    Test("serial", 1024, lambda bits: templates.serial(bits, min(16, _log2(bits) - 3))),
    Test("approximate entropy", 1024, lambda bits: templates.approximate_entropy(bits, min(10, _log2(bits) - 6))),
    Test("cumulative sums", 100, walks.cumulative_sums),
    Test("random excursions", 1_000_000, walks.excursions),
    Test("random excursions variant", 1_000_000, walks.excursions_variant),
)


def verdicts(bits: Bits, progress: Callable[[str], None] = lambda _name: None) -> list[Verdict]:
    """Every p-value, in the standard's order. A million bits take half a CPU second in a process of 100 MB.

    Args:
        bits: One bit per element.
        progress: Told each test's name before it runs.
    """
    found: list[Verdict] = []
    for test in TESTS:
        progress(test.name)
        found += _verdicts_of(test, bits)
    return found


def _verdicts_of(test: Test, bits: Bits) -> list[Verdict]:
    if len(bits) < test.bits_min:
        return [Verdict(test.name, "", None, f"needs {test.bits_min} bits")]
    values = test.run(bits)
    if isinstance(values, float):
        return [Verdict(test.name, "", values)]
    if not values:
        return [Verdict(test.name, "", None, f"needs {walks.CYCLES_MIN} returns to balance, which chance did not give")]
    return [Verdict(test.name, variant, value) for variant, value in values.items()]
