"""One key block at the terminal: every term of its length, and what was spent on it."""

from __future__ import annotations

import math
from typing import Any

from qanat.cli.show import percent, table


def print_block(report: dict[str, Any]) -> None:
    """A report with its terms, as ``qanat link show LINK --block N`` prints it."""
    seconds = (report["end_ns"] - report["start_ns"]) / 1e9
    print(
        f"key block {report['block']}: {report['sifted_bits']} sifted bits from {report['n_pulses']:.3g} pulses in "
        f"{seconds:.3g} s of link time, QBER in X {percent(report['qber_x'])}"
    )
    if report["method"]:
        print(
            f"reconciled by {report['method']} in {report['round_trips']} rounds; "
            f"{report['frames']} frames verified, {report['frames_failed']} thrown away"
        )
    print()
    rows = [(t["name"], _number(t["value"]), _signed(t["enters_bits"]), t["source"]) for t in report["terms"]]
    if report["aborted"] is None:
        total = math.fsum(t["enters_bits"] for t in report["terms"])
        rows.append(("secret bits handed on", str(report["secret_bits"]), _signed(total), "the sum of the above"))
    table("", ("term", "value", "bits", "from"), rows)
    print()
    if report["aborted"] is not None:
        print(f"no key: {report['aborted']}")
    epsilon = ", ".join(f"{name} {value:.1e}" for name, value in report["epsilon"].items())
    print(f"failure probabilities: {epsilon}; together {report['epsilon_total']:.1e}")
    start = {"pre-shared": "a pre-shared secret", "ml-dsa": "ML-DSA signatures"}[report["authentication"]]
    share = report["auth_bits"] / report["secret_bits"] if report["secret_bits"] else None
    print(
        f"authentication: began from {start}; {report['auth_bits']} bits of key spent and put back, release token "
        f"included, {percent(share)} of the secret bits"
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"


def _signed(bits: float) -> str:
    return "-" if bits == 0 else f"{bits:+.1f}"
