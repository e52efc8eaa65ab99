"""Min-entropy of a raw source per sample: NIST SP 800-90B (January 2018), 6.3, for sources that need not be IID.

Every estimator answers "how well could one strategy guess the next sample", with a 99 % confidence margin; the least
answer counts. An upper limit on what may be claimed, never a proof of it: a counter under AES gets the full score.
The bitwise ones are here, those over tuples in ``tuples``, the predictors in ``predictors``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Z_99 = 2.5758293035489008  # the standard prints 2.576: upper 0.5 % point of the normal distribution


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one estimator says: bits of min-entropy per sample; None where the data are too short for it."""

    name: str
    min_entropy_bits: float | None


def estimates(bits: NDArray[np.uint8], predicted_count_max: int = 100_000) -> list[Estimate]:
    """All ten on samples that are bits. The predictors are slow (20 us per bit) and see only the first bits.

    Args:
        bits: One bit per element.
        predicted_count_max: How many bits the predictors see.
    """
    from qanat.crypto.randomness.predictors import lag, lz78y, multi_mcw, multi_mmc  # noqa: PLC0415 - both need this file
    from qanat.crypto.randomness.tuples import tuple_estimates  # noqa: PLC0415

    head = bits[:predicted_count_max].tolist()
    found = [
        _estimate("most common value", lambda: most_common_value(bits)),
        _estimate("collision", lambda: collision(bits)),
        _estimate("Markov", lambda: markov(bits)),
        _estimate("compression", lambda: compression(bits)),
    ]
    repeated, longest = tuple_estimates(bits)
    found += [Estimate("t-tuple", repeated), Estimate("longest repeated substring", longest)]
    for name, predictor in (("MultiMCW", multi_mcw), ("lag", lag), ("MultiMMC", multi_mmc), ("LZ78Y", lz78y)):
        found.append(_estimate(f"{name} prediction", partial(predictor, head)))
    return found


def _estimate(name: str, entropy: Callable[[], float]) -> Estimate:
    try:
        return Estimate(name, entropy())
    except TooShort:
        return Estimate(name, None)


class TooShort(ValueError):
    """Too few samples for this estimator."""


def entropy_from_share(share: float, samples_count: int) -> float:
    """-log2 of the upper confidence limit of an observed share."""
    if samples_count < 2:
        raise TooShort
    return -math.log2(min(1.0, share + Z_99 * math.sqrt(share * (1 - share) / (samples_count - 1)))) + 0.0


def most_common_value(samples: NDArray[np.uint8]) -> float:
    """6.3.1."""
    import numpy as np  # noqa: PLC0415 - this room imports without numpy

    if not len(samples):
        raise TooShort
    return entropy_from_share(int(np.bincount(samples).max()) / len(samples), len(samples))


def collision(bits: NDArray[np.uint8]) -> float:
    """6.3.2: how long until a value comes again: two bits if equal, else three."""
    times, place, data = [], 0, bits.tolist()
    while place + 1 < len(data):
        time = 2 if data[place] == data[place + 1] else 3
        if place + time > len(data):
            break
        times.append(time)
        place += time
    if len(times) < 2:
        raise TooShort
    mean = sum(times) / len(times)
    spread = math.sqrt(sum((time - mean) ** 2 for time in times) / (len(times) - 1))
    low = mean - Z_99 * spread / math.sqrt(len(times))
    # For p >= 1/2 the mean is 2 + 2 p (1 - p): the incomplete gamma functions of step 7 reduce to it for two values.
    if low >= 2.5:
        return 1.0
    return -math.log2(0.5 + math.sqrt(max(0.0, 1.25 - 0.5 * low))) + 0.0 if low > 2 else 0.0


def markov(bits: NDArray[np.uint8]) -> float:
    """6.3.3: the likeliest sequence of 128 bits of a first-order chain."""
    import numpy as np  # noqa: PLC0415

    if len(bits) < 2:
        raise TooShort
    pairs = np.bincount(bits[:-1].astype(np.int64) * 2 + bits[1:], minlength=4).reshape(2, 2).tolist()
    first = [1 - float(bits.mean()), float(bits.mean())]
    step = [[_log2(pairs[a][b] / sum(pairs[a])) if sum(pairs[a]) else -math.inf for b in (0, 1)] for a in (0, 1)]
    best = [_log2(first[0]), _log2(first[1])]
    for _ in range(127):  # Viterbi covers the six sequences that the standard lists
        best = [max(best[a] + step[a][b] for a in (0, 1)) for b in (0, 1)]
    return min(-max(best) / 128, 1.0) + 0.0


def _log2(share: float) -> float:
    return math.log2(share) if share > 0 else -math.inf


def compression(bits: NDArray[np.uint8], dictionary_count: int = 1000) -> float:
    """6.3.4: Maurer's statistic on words of six bits, and the p of a near-uniform source that would give it."""
    import numpy as np  # noqa: PLC0415

    size = 6
    count = len(bits) // size
    if count - dictionary_count < 2:
        raise TooShort
    words = (bits[: count * size].reshape(count, size) @ (1 << np.arange(size - 1, -1, -1))).tolist()
    last: dict[int, int] = {}
    logs = []
    for index, word in enumerate(words, 1):
        if index > dictionary_count:
            logs.append(math.log2(index - last[word] if word in last else index))
        last[word] = index
    mean = sum(logs) / len(logs)
    c = 0.5907  # 6.3.4 step 5
    # As printed: not quite the sample variance, a little above it.
    spread = c * math.sqrt(sum(value**2 for value in logs) / (len(logs) - 1) - mean**2)
    low = mean - Z_99 * spread / math.sqrt(len(logs))
    p = _word_probability(low, 2**size, dictionary_count, count)
    return 1.0 if p is None else -math.log2(p) / size + 0.0


def _word_probability(target: float, words_count: int, d: int, count: int) -> float | None:
    """The p with G(p) + (2**b - 1) G(q) = target, by bisection; None where there is none: then full entropy."""
    import numpy as np  # noqa: PLC0415

    u = np.arange(1, count + 1, dtype=np.float64)
    logs = np.log2(u)
    tests_count = count - d

    def g(z: float) -> float:
        # For each distance u: (1-z)**(u-1) z**2 for every test at t > u, and z (1-z)**(t-1) at u = t.
        powers = (1 - z) ** (u - 1)
        inner = logs * z * z * powers * np.minimum(tests_count, count - u)
        return float((inner.sum() + (logs * z * powers)[d:].sum()) / tests_count)

    low, high = 1 / words_count, 1.0
    if target > g(low) * words_count:
        return None
    for _ in range(60):
        p = (low + high) / 2
        if g(p) + (words_count - 1) * g((1 - p) / (words_count - 1)) > target:
            low = p
        else:
            high = p
    return (low + high) / 2
