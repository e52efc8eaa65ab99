"""All ten estimates of samples that are bits, each where there are enough of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from qanat.crypto.randomness.sp800_90b import counting, predictors
from qanat.crypto.randomness.sp800_90b.counting import Samples
from qanat.crypto.randomness.sp800_90b.prediction import Prediction
from qanat.crypto.randomness.sp800_90b.repeats import repeats


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one estimator says: bits of min-entropy per sample, at most.

    Attributes:
        name: Which estimator.
        min_entropy_bits: None where there is no answer.
        note: Why there is none.
    """

    name: str
    min_entropy_bits: float | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Estimator:
    """One estimator, or the two that share their work.

    Attributes:
        names: Of what it answers.
        bits_min: What it takes: a spread needs two times, a run of guesses a guess; compression learns 1000 words.
        run: The answers, in the order of the names.
    """

    names: tuple[str, ...]
    bits_min: int
    run: Callable[[Samples], tuple[float | None, ...]]


def _one(estimate: Callable[[Samples], float], bits: Samples) -> tuple[float]:
    return (estimate(bits),)


def _guessed(predictor: Callable[[Samples], Prediction], bits: Samples) -> tuple[float]:
    return (predictor(bits).min_entropy_bits,)


ESTIMATORS = (
    Estimator(("most common value",), 2, partial(_one, counting.most_common_value)),
    Estimator(("collision",), 6, partial(_one, counting.collision)),
    Estimator(("Markov",), 2, partial(_one, counting.markov)),
    Estimator(
        ("compression",),
        counting.WORD_BITS * (counting.LEARNING_WORDS + 2),
        partial(_one, counting.compression),
    ),
    Estimator(("t-tuple", "longest repeated substring"), 3, repeats),
    *(
        Estimator((name,), predictors.BITS_MIN, partial(_guessed, predictor))
        for name, predictor in predictors.PREDICTORS.items()
    ),
)


def estimates(bits: Samples, progress: Callable[[str], None] = lambda _name: None) -> list[Estimate]:
    """All ten, in the standard's order. A million bits take four CPU seconds in a process of 210 MB.

    Args:
        bits: One bit per element. The standard asks for a million.
        progress: Told each estimator's name before it runs.
    """
    found: list[Estimate] = []
    for estimator in ESTIMATORS:
        progress(estimator.names[0])
        if len(bits) < estimator.bits_min:
            found += [Estimate(name, None, f"needs {estimator.bits_min} bits") for name in estimator.names]
            continue
        answers = estimator.run(bits)
        found += [
            Estimate(name, answer, "" if answer is not None else "no such repeat")
            for name, answer in zip(estimator.names, answers, strict=True)
        ]
    return found
