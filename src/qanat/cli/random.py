"""``qanat random``: looks for crude faults in a file of bits, and says what passing does not mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qanat.cli.show import as_json_text, table
from qanat.core.errors import EnvironmentProblem, MisuseError

if TYPE_CHECKING:
    from qanat.crypto.randomness.estimators import Estimate
    from qanat.crypto.randomness.sp800_22 import Verdict

ALPHA = 0.01  # SP 800-22, 1.1.5
SIZE_BYTES_MIN, SIZE_BYTES_MAX = (
    128,
    125_000,
)  # below 1024 bits hardly a test applies; above a million they take minutes
CAVEAT = (
    "Passing proves nothing: a counter through AES passes too, and whoever holds the AES key knows every bit. "
    "Failing means that something is broken."
)


def random(path: Path, as_json: bool) -> int:
    """Prints both groups of tests; 1 when a p-value is below ALPHA over the number of p-values (Bonferroni)."""
    data = _read(path)
    import numpy as np  # noqa: PLC0415

    from qanat.crypto.randomness.estimators import estimates  # noqa: PLC0415
    from qanat.crypto.randomness.sp800_22 import verdicts  # noqa: PLC0415

    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    tested, estimated = verdicts(bits), estimates(bits)
    count = sum(one.p_value is not None for one in tested)
    failed = [one.name for one in tested if one.p_value is not None and one.p_value < ALPHA / count]
    show = _show_json if as_json else _show
    show(len(bits), tested, estimated, failed)
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


def _show_json(size_bits: int, tested: list[Verdict], estimated: list[Estimate], failed: list[str]) -> None:
    as_json_text(
        {
            "size_bits": size_bits,
            "alpha": ALPHA,
            "false_alarms_expected": ALPHA * sum(one.p_value is not None for one in tested),
            "tests": [{"name": one.name, "p_value": one.p_value} for one in tested],
            "estimates": [{"name": one.name, "min_entropy_bits": one.min_entropy_bits} for one in estimated],
            "failed": failed,
            "caveat": CAVEAT,
        }
    )


def _show(size_bits: int, tested: list[Verdict], estimated: list[Estimate], failed: list[str]) -> None:
    count = sum(one.p_value is not None for one in tested)
    rows = [(one.name, _number(one.p_value, ".6f"), _mark(one.p_value, count)) for one in tested]
    print(f"Statistical tests (NIST SP 800-22) of {size_bits} bits")
    table("", ("test", "p-value", ""), rows)
    guesses = [(one.name, _number(one.min_entropy_bits, ".4f")) for one in estimated]
    print("\nEstimates (NIST SP 800-90B, 6.3)")
    table("", ("strategy", "min-entropy per bit"), guesses)
    print(f"\n{count} p-values: {count * ALPHA:.2f} below {ALPHA} are to be expected of sound bits by chance alone.")
    print(
        f"Failed means below {ALPHA} / {count} = {ALPHA / count:.1e}; sound bits do so once in {1 / ALPHA:.0f} files."
    )
    print("Estimates carry a margin of 99 %: sound bits score less than 1, short files much less.")
    print(f"Result: {'FAILED: ' + ', '.join(failed) if failed else 'no fault found'}. {CAVEAT}")


def _mark(p_value: float | None, count: int) -> str:
    if p_value is None:
        return "too few bits"
    if p_value < ALPHA / count:
        return "FAILED"
    return "low, as chance allows" if p_value < ALPHA else ""


def _number(value: float | None, style: str) -> str:
    return "-" if value is None else format(value, style)
