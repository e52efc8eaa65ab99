"""The page of demonstrations: the table that `qanat reproduce` prints, and what went into each row."""

from __future__ import annotations

from collections.abc import Sequence

from qanat.cli.reproduce import COLUMNS, cells, outcomes_of_all
from qanat.plan.demonstration import shown
from qanat.plan.reproduction import Outcome, counts

HEAD = """# Demonstrations

What the field's landmark experiments published, and what our formulas give for them: `qanat reproduce`, and
`qanat reproduce NAME` for one with everything that went into it.

**The rule.** A point passes when |log10(computed / published)| is at most 0.15 for a laboratory link whose parameters
are all printed, at most 0.3 otherwise, and the QBER, where one was published and is no input, is within 0.5 percentage
points. Where no rate was published, or where we could not read it, the computed value is reported and no agreement is
claimed: *geometry only*. A miss is said and explained. Inputs that a paper does not print are assumptions, each with
its reason; one kind of receiver has one set of them, and none is adapted to one experiment's key rate.
[Why so](../decisions/0054-demonstrations.md).

A point that ends in *simulated* is a link of a network file: two minutes of its light, by the modules that the file
names, as `qanat sim` counts them. All others are formulas. The files say what they cannot express yet.

A published value is one that was read in the paper or its abstract, or word by word in a quotation; the rows below say
which. Many experiments are finite where a formula here is asymptotic: that is the usual reason of a miss.

"""


def page() -> str:
    """Everything, by demonstration in the file's order, then the assumptions by name."""
    outcomes = outcomes_of_all()
    said = ", ".join(f"{verdict} {count}" for verdict, count in counts(outcomes).items())
    rows = [_row(COLUMNS), "|---" * len(COLUMNS) + "|", *(_row(cells(each)) for each in outcomes)]
    sections: dict[str, list[Outcome]] = {}
    for each in outcomes:
        sections.setdefault(each.demonstration.name, []).append(each)
    parts = [HEAD + f"Of {len(outcomes)} points: {said}.\n", "\n".join(rows) + "\n"]
    return "\n".join([*parts, *map(_section, sections.values()), _assumptions(outcomes)])


def _section(outcomes: list[Outcome]) -> str:
    demonstration = outcomes[0].demonstration
    about = f"{demonstration.title}. {demonstration.source}. Built: {demonstration.geometry}."
    points = [f"- **{each.point.name}** ({each.point.protocol}): {_said(each)}" for each in outcomes]
    return "\n".join([f"## {demonstration.name}\n", about + "\n", *points]) + "\n"


def _said(each: Outcome) -> str:
    point = each.point
    parts = [each.verdict + (f", because {point.because}" if point.because else "")]
    if point.link:
        file, _, link = point.link.partition("/")
        parts.append(f"link `{link}` of `networks/{file}.toml`, {each.computed.assumptions[0]}")
    if point.inputs:
        parts.append("printed: " + ", ".join(f"{name} = {shown(value)}" for name, value in point.inputs.items()))
    if point.assumptions:
        labels = ", ".join(f"`{own.label}`" for own in point.assumptions)
        parts.append(f"[assumed](#assumptions): {labels}")
    if point.optimised:
        parts.append("the best of what is not stated")
    if point.published is not None:
        parts.append(f"published value read in {point.published.read}")
    return "; ".join(parts) + "."


def _assumptions(outcomes: list[Outcome]) -> str:
    named = {each.label: each for outcome in outcomes for each in outcome.point.assumptions}
    rows = [
        _row(
            (f"`{each.label}`", ", ".join(f"{name} = {shown(value)}" for name, value in each.values.items()), each.why)
        )
        for each in sorted(named.values(), key=lambda each: each.label)
    ]
    return "\n".join(["## Assumptions\n", _row(("name", "values", "why")), "|---|---|---|", *rows]) + "\n"


def _row(texts: Sequence[str]) -> str:
    return "| " + " | ".join(texts) + " |"
