"""``qanat random``: looks for crude faults in a file of bits, and says what passing does not mean."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qanat.cli.show import as_json_text, table
from qanat.core.errors import EnvironmentProblem, MisuseError

if TYPE_CHECKING:
    from qanat.crypto.randomness.judgement import Judgement
    from qanat.crypto.randomness.sp800_22.suite import Verdict

SIZE_BYTES_MIN = 128  # below 1024 bits hardly a test applies
SIZE_BYTES_MAX = 125_000  # a million bits: all tests apply, and take seconds
CAVEAT = (
    "This is a health check, not a proof of security. Passing proves nothing: a counter through AES passes too, and "
    "whoever holds the AES key knows every bit. Failing means that something is broken."
)


def random(path: Path, as_json: bool) -> int:
    """Prints both groups of tests; 1 when a test failed."""
    data, file_size_bytes = _read(path)
    import numpy as np

    from qanat.crypto.randomness.judgement import STEPS_COUNT, judgement

    progress = _progress(STEPS_COUNT)
    found = judgement(np.unpackbits(np.frombuffer(data, np.uint8)), progress)
    progress("")
    if as_json:
        as_json_text(_plain(data, found))
    else:
        print(f"{path}: {8 * len(data)} of {8 * file_size_bytes} bits judged\n")
        _show(data, found)
    return 1 if found.failed else 0


def _read(path: Path) -> tuple[bytes, int]:
    """The first SIZE_BYTES_MAX bytes, of a file of any size, and that size.

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
            data, size_bytes = file.read(SIZE_BYTES_MAX), os.fstat(file.fileno()).st_size
    except OSError as error:
        raise EnvironmentProblem(f"{path}: {error.strerror}") from error
    if len(data) < SIZE_BYTES_MIN:
        raise MisuseError(f"{path} has {len(data)} bytes; the tests need {SIZE_BYTES_MIN}, better {SIZE_BYTES_MAX}")
    return data, size_bytes


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


def _plain(data: bytes, found: Judgement) -> dict[str, Any]:
    from qanat.crypto.randomness.judgement import ALPHA

    return {
        "size_bits": 8 * len(data),
        "alpha": ALPHA,
        "p_values_count": len(found.p_values),
        "false_alarms_expected": ALPHA * len(found.p_values),
        "tests": [{"name": one.name, "p_value": one.p_value, "note": one.note} for one in found.tested],
        "estimates": [
            {"name": one.name, "min_entropy_bits": one.min_entropy_bits, "note": one.note} for one in found.estimated
        ],
        "min_entropy_bits": found.least.min_entropy_bits,
        "failed": found.failed,
        "hint": _format_hint(data),
        "caveat": CAVEAT,
    }


def _show(data: bytes, found: Judgement) -> None:
    _show_tests(found)
    _show_estimates(found)
    print(f"\nResult: {'FAILED: ' + _few(found.failed) if found.failed else 'no fault found'}.")
    for sentence in (_format_hint(data), CAVEAT):
        if sentence:
            print(sentence)


def _show_tests(found: Judgement) -> None:
    from qanat.crypto.randomness.judgement import ALPHA

    print("Statistical tests (NIST SP 800-22). p-value: how often sound bits look at least as odd")
    by_test: dict[str, list[Verdict]] = {}
    for one in found.tested:
        by_test.setdefault(one.test, []).append(one)
    rows = [_test_row(name, verdicts, found.p_value_min, ALPHA) for name, verdicts in by_test.items()]
    table("", ("test", "p-values", "lowest", "which", ""), rows)
    count, limit = len(found.p_values), found.p_value_min
    print(f"Of {count} p-values, {ALPHA * count:.2g} lie below {ALPHA} by chance alone when the bits are sound.")
    print(f"Failed means below {ALPHA} / {count} = {limit:.1e}: sound bits do so about once in 100 files.\n")


def _show_estimates(found: Judgement) -> None:
    print("Estimates (NIST SP 800-90B, 6.3): the most that a source of these bits may claim, by ten ways of guessing")
    rows = [
        (one.name, one.note if one.min_entropy_bits is None else f"{one.min_entropy_bits:.4f}")
        for one in found.estimated
    ]
    table("", ("way of guessing", "min-entropy per bit"), rows)
    print(
        f"The least counts: {found.least.min_entropy_bits:.4f} ({found.least.name}). It decides nothing here: estimates"
    )
    print("lean low on purpose. A million sound bits score about 0.85, short files much less.")


def _test_row(name: str, verdicts: list[Verdict], limit: float, alpha: float) -> tuple[str, ...]:
    """One line for all p-values of a test: how many, the lowest, which that is, and what it means."""
    values = [(one.p_value, one.variant) for one in verdicts if one.p_value is not None]
    if not values:
        return name, "", "", "", verdicts[0].note
    lowest, variant = min(values)
    shown = "below 1e-6" if lowest < 1e-6 else f"{lowest:.6f}"
    mark = "FAILED" if lowest < limit else "low, as chance allows" if lowest < alpha else ""
    return name, str(len(values)), shown, variant, mark


def _few(names: Sequence[str], count_max: int = 8) -> str:
    rest = len(names) - count_max
    return ", ".join(names[:count_max]) + (f" and {rest} more (--json lists all)" if rest > 0 else "")
