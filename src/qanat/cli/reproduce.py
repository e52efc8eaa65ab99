"""``qanat reproduce``: the field's landmark experiments, published against computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qanat.cli.show import as_json_text, percent, table

if TYPE_CHECKING:
    from qanat.plan.demonstration import Demonstration
    from qanat.plan.experiment import Simulate
    from qanat.plan.reproduction import Outcome

UNITS = {"rate_bps": "bit/s", "rate_per_pulse": "bit per round", "bits": "bit"}
COLUMNS = ("demonstration", "point", "published", "computed", "log10 (limit)", "QBER", "verdict")


def reproduce(name: str | None, as_json: bool) -> int:
    """Compute, compare, print. 1 when a point that claims to pass does not."""
    from qanat.plan.reproduction import counts, report, reproduced  # noqa: PLC0415

    outcomes = reproduced(_demonstrations(name), _simulate())
    if as_json:
        as_json_text(report(outcomes))
    else:
        table("", COLUMNS, [cells(each) for each in outcomes])
        print(", ".join(f"{verdict}: {count}" for verdict, count in counts(outcomes).items()))
        for each in outcomes:
            if name is not None:
                print(f"\n{details(each)}")
            elif not each.is_kept:
                print(f"{each.demonstration.name}, {each.point.name}: claims to pass, and does not")
    return 0 if all(each.is_kept for each in outcomes) else 1


def outcomes_of_all() -> list[Outcome]:
    """Every demonstration, for the page of the docs."""
    from qanat.plan.reproduction import reproduced  # noqa: PLC0415

    return reproduced(_demonstrations(None), _simulate())


def cells(each: Outcome) -> tuple[str, ...]:
    """One row of the table."""
    published, limit = each.point.published, each.demonstration.tolerance
    said, found, near = "-", _first_known(each), "-"
    if published is not None:
        said = amount(published.quantity, published.value)
        found = amount(published.quantity, each.computed.quantity(published.quantity) or 0.0)
        near = f"no key ({limit:g})" if each.log10_ratio is None else f"{each.log10_ratio:+.2f} ({limit:g})"
    return (each.demonstration.name, each.point.name, said, found, near, _qber(each), each.verdict)


def _qber(each: Outcome) -> str:
    published = each.point.published
    if each.point.protocol.startswith("cv-"):  # continuous variables have no error rate
        return "-"
    text = percent(each.computed.qber)
    return text if published is None or published.qber is None else f"{text}, published {percent(published.qber)}"


def amount(quantity: str, value: float) -> str:
    """With its unit.

    Example:
        >>> amount("rate_bps", 304_000.0), amount("rate_per_pulse", 9.53e-12)
        ('304 kbit/s', '9.53e-12 bit per round')
    """
    for prefix, size in (("M", 1e6), ("k", 1e3)):
        if quantity != "rate_per_pulse" and value >= size:
            return f"{value / size:.3g} {prefix}{UNITS[quantity]}"
    return f"{value:.3g} {UNITS[quantity]}"


def details(each: Outcome) -> str:
    """What went in, in lines."""
    from qanat.plan.demonstration import shown  # noqa: PLC0415

    demonstration, point = each.demonstration, each.point
    lines = [f"{demonstration.title}, {point.name}: {each.verdict}", f"  source: {demonstration.source}"]
    lines += [f"  geometry: {demonstration.geometry}", f"  protocol: {point.protocol} ({point.how})"]
    if point.link:
        lines.append(f"  simulated: link {point.link} of the network files")
    if point.inputs:
        printed = ", ".join(f"{name} = {shown(value)}" for name, value in point.inputs.items())
        lines.append(f"  printed by the source: {printed}")
    lines += [f"  assumed: {each_of_them}" for each_of_them in point.assumptions]
    if each.computed.chosen:
        best = ", ".join(f"{name} = {value:.3g}" for name, value in each.computed.chosen.items())
        lines.append(f"  at its default or the best: {best}")
    if point.published is not None:
        lines.append(f"  published value read in: {point.published.read}")
    if point.because:
        lines.append(f"  misses because: {point.because}")
    lines += [f"  the proof assumes: {assumption}" for assumption in each.computed.assumptions]
    return "\n".join(lines)


def _first_known(each: Outcome) -> str:
    for quantity in ("bits", "rate_bps", "rate_per_pulse"):
        value = each.computed.quantity(quantity)
        if value is not None:
            return amount(quantity, value)
    return "-"


def _simulate() -> Simulate:
    from qanat.cli.simulated_links import simulated_link  # noqa: PLC0415

    return simulated_link


def _demonstrations(name: str | None) -> tuple[Demonstration, ...]:
    from qanat.cli.place import demonstrations_path  # noqa: PLC0415
    from qanat.plan.demonstration import chosen, demonstrations_from_text  # noqa: PLC0415

    return chosen(demonstrations_from_text(demonstrations_path().read_text(encoding="utf-8")), name)
