"""``qanat random``: looks for crude faults in a file of bits, and says what passing does not mean."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qanat.cli.show import as_json_text, table
from qanat.core.errors import EnvironmentProblem, MisuseError

if TYPE_CHECKING:
    from qanat.crypto.randomness.sp800_22.suite import Verdict
    from qanat.crypto.randomness.sp800_90b.suite import Estimate

ALPHA = 0.01  # SP 800-22, 1.1.5
SIZE_BYTES_MIN = 128  # below 1024 bits hardly a test applies
SIZE_BYTES_MAX = 125_000  # a million bits: all tests apply, and take seconds
CAVEAT = (
    "This is a health check, not a proof of security. Passing proves nothing: a counter through AES passes too, and "
    "whoever holds the AES key knows every bit. Failing means that something is broken."
)


def random(path: Path, as_json: bool) -> int:
    """Prints both groups of tests; 1 when a p-value is below ALPHA over the number of p-values (Bonferroni)."""
    data = _read(path)
    import numpy as np

    from qanat.crypto.randomness.sp800_22.suite import TESTS, verdicts
    from qanat.crypto.randomness.sp800_90b.suite import ESTIMATORS, estimates

    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    progress = _progress(len(TESTS) + len(ESTIMATORS))
    tested, estimated = verdicts(bits, progress), estimates(bits, progress)
    progress("")
    count = sum(one.p_value is not None for one in tested)
    failed = [one.name for one in tested if one.p_value is not None and one.p_value < ALPHA / count]
    if as_json:
        _show_json(data, tested, estimated, failed)
    else:
        _show(path, data, tested, estimated, failed)
    return 1 if failed else 0


def _read(path: Path) -> bytes:
    """The first SIZE_BYTES_MAX bytes, of a file of any size.

    Raises:
        EnvironmentProblem: there is no such file, or it cannot be read.
        MisuseError: it is too short.
    """
    if path.is_dir():
        raise EnvironmentProblem(f"{path} is a directory, not a file of bits")
    if path.exists() and not path.is_file():
        raise EnvironmentProblem(f"{path} is not a regular file; copy some of its bytes into one")
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_BYTES_MAX)
    except OSError as error:
        raise EnvironmentProblem(f"{path}: {error.strerror}") from error
    if len(data) < SIZE_BYTES_MIN:
        raise MisuseError(f"{path} has {len(data)} bytes; the tests need {SIZE_BYTES_MIN}, better {SIZE_BYTES_MAX}")
    return data


def _format_hint(data: bytes) -> str:
    """What the file may hold instead of eight bits a byte; empty if nothing speaks for it."""
    values = set(data)
    if values == {0, 1}:
        return "Every byte is 0 or 1. If each is meant as one bit, pack eight into a byte: they were read as eight."
    if values <= set(b"01 \t\r\n"):
        return "The file is text of zeros and ones. Its letters were judged, not the bits that they spell: pack these."
    if values <= {*range(32, 127), *b"\t\r\n"}:
        return "The file looks like text. Its letters were judged: decode it (hex, base64, numbers) to raw bits first."
    return ""


def _progress(count: int) -> Callable[[str], None]:
    """One line on a terminal's stderr, rewritten before each test and erased at the end; nothing elsewhere."""
    if not sys.stderr.isatty():
        return lambda _name: None
    numbers = iter(range(1, count + 1))

    def show(name: str) -> None:
        text = f"{next(numbers)} of {count}: {name}" if name else ""
        print(f"\r{text:<60}", end="" if name else "\r", file=sys.stderr, flush=True)

    return show


def _show_json(data: bytes, tested: list[Verdict], estimated: list[Estimate], failed: list[str]) -> None:
    count = sum(one.p_value is not None for one in tested)
    as_json_text(
        {
            "size_bits": 8 * len(data),
            "alpha": ALPHA,
            "p_values_count": count,
            "false_alarms_expected": ALPHA * count,
            "tests": [{"name": one.name, "p_value": one.p_value, "note": one.note} for one in tested],
            "estimates": [
                {"name": one.name, "min_entropy_bits": one.min_entropy_bits, "note": one.note} for one in estimated
            ],
            "min_entropy_bits": _least(estimated).min_entropy_bits,
            "failed": failed,
            "hint": _format_hint(data),
            "caveat": CAVEAT,
        }
    )


def _least(estimated: list[Estimate]) -> Estimate:
    """Most common value answers whatever the length, so that there is always one."""
    return min(estimated, key=lambda one: math.inf if one.min_entropy_bits is None else one.min_entropy_bits)


def _show(path: Path, data: bytes, tested: list[Verdict], estimated: list[Estimate], failed: list[str]) -> None:
    count = sum(one.p_value is not None for one in tested)
    print(f"{path}: {8 * len(data)} of {8 * path.stat().st_size} bits judged\n")
    print("Statistical tests (NIST SP 800-22). p-value: how often sound bits look at least as odd")
    by_test: dict[str, list[Verdict]] = {}
    for one in tested:
        by_test.setdefault(one.test, []).append(one)
    rows = [_test_row(name, verdicts, ALPHA / count) for name, verdicts in by_test.items()]
    table("", ("test", "p-values", "lowest", "of", ""), rows)
    print("\nEstimates (NIST SP 800-90B, 6.3): the most that a source of these bits may claim, by ten ways of guessing")
    guesses = [
        (one.name, one.note if one.min_entropy_bits is None else f"{one.min_entropy_bits:.4f}") for one in estimated
    ]
    table("", ("way of guessing", "min-entropy per bit"), guesses)
    least = _least(estimated)
    print(f"\nOf {count} p-values, {ALPHA * count:.2g} lie below {ALPHA} by chance alone when the bits are sound.")
    print(f"Failed means below {ALPHA} / {count} = {ALPHA / count:.1e}: sound bits do so about once in 100 files.")
    print(f"The least estimate counts: {least.min_entropy_bits:.4f} ({least.name}). It decides nothing here. Estimates")
    print("lean low on purpose: a million sound bits score about 0.85, short files much less.")
    print(f"\nResult: {'FAILED: ' + _few(failed) if failed else 'no fault found'}.")
    for sentence in (_format_hint(data), CAVEAT):
        if sentence:
            print(sentence)


def _test_row(name: str, verdicts: list[Verdict], limit: float) -> tuple[str, ...]:
    """One line for all p-values of a test: how many, the lowest, which that is, and what it means."""
    values = [(one.p_value, one.variant) for one in verdicts if one.p_value is not None]
    if not values:
        return name, "", "", "", verdicts[0].note
    lowest, variant = min(values)
    shown = "below 1e-6" if lowest < 1e-6 else f"{lowest:.6f}"
    mark = "FAILED" if lowest < limit else "low, as chance allows" if lowest < ALPHA else ""
    return name, str(len(values)), shown, variant, mark


def _few(names: Sequence[str], count_max: int = 8) -> str:
    rest = len(names) - count_max
    return ", ".join(names[:count_max]) + (f" and {rest} more (--json lists all)" if rest > 0 else "")
