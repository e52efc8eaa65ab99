"""Estimates that count: most common value, collision, Markov, compression (SP 800-90B, 6.3.1 to 6.3.4)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.uint8]  # one in each element
Z_99 = 2.5758293035489008  # 0.995 quantile of the normal law; the standard prints 2.576


def share_max(share: float, trials: int) -> float:
    """Upper end of the 99 % confidence interval of an observed share, at most 1."""
    return min(1.0, share + Z_99 * math.sqrt(share * (1 - share) / (trials - 1)))


def entropy_bits(p: float) -> float:
    """-log2(p): infinite for 0."""
    return -math.log2(p) + 0.0 if p > 0 else math.inf


def most_common_value(samples: Samples) -> float:
    """6.3.1, any alphabet."""
    return entropy_bits(share_max(int(np.bincount(samples).max()) / len(samples), len(samples)))


def collision(bits: Samples) -> float:
    """6.3.2: how long until a value comes again: two bits if equal, else three."""
    times, place, data = [], 0, bits.tolist()
    while place + 1 < len(data):
        time = 2 if data[place] == data[place + 1] else 3
        if place + time > len(data):
            break
        times.append(time)
        place += time
    low = float(np.mean(times)) - Z_99 * float(np.std(times, ddof=1)) / math.sqrt(len(times))
    # Step 7 says that the mean is 2 + 2 p (1 - p): two bits differ with probability 2 p (1 - p).
    if low >= 2.5:
        return 1.0
    return entropy_bits(0.5 + math.sqrt(1.25 - max(2.0, low) / 2))


def markov(bits: Samples) -> float:
    """6.3.3: the likeliest 128 bits of a first-order chain. Step by step, which covers the six candidates of step 3."""
    ones = float(bits.mean())
    pairs = np.bincount(2 * bits[:-1].astype(np.int64) + bits[1:], minlength=4).reshape(2, 2).tolist()
    steps = [[entropy_bits(pairs[a][b] / max(1, sum(pairs[a]))) for b in (0, 1)] for a in (0, 1)]
    least = [entropy_bits(1 - ones), entropy_bits(ones)]
    for _ in range(127):
        least = [min(least[a] + steps[a][b] for a in (0, 1)) for b in (0, 1)]
    return min(1.0, min(least) / 128)


WORD_BITS = 6
LEARNING_WORDS = 1000


def compression(bits: Samples, learning_words: int = LEARNING_WORDS) -> float:
    """6.3.4: how far back each word of six bits was seen last (Maurer), and the p of a biased source that does so."""
    count = len(bits) // WORD_BITS
    words = bits[: count * WORD_BITS].reshape(count, WORD_BITS) @ (1 << np.arange(WORD_BITS - 1, -1, -1))
    last = [0] * (1 << WORD_BITS)
    distances = []
    for place, word in enumerate(words.tolist(), 1):
        if place > learning_words:
            distances.append(place - last[word])
        last[word] = place
    logs = np.log2(distances)
    tested, mean = len(logs), float(logs.mean())
    # As printed: not quite the sample variance, a little above it.
    deviation = 0.5907 * math.sqrt(max(0.0, float((logs**2).sum()) / (tested - 1) - mean**2))
    low = mean - Z_99 * deviation / math.sqrt(tested)
    expected = _expected_distance(count, learning_words)
    least = 2.0**-WORD_BITS
    if expected(least) <= low:
        return 1.0
    return entropy_bits(bisected(expected, low, least, 1.0)) / WORD_BITS


def _expected_distance(count: int, learning_words: int) -> Callable[[float], float]:
    """Step 7's expectation when one word has probability p and the 63 others share the rest."""
    tested = count - learning_words
    distance = np.arange(1, count + 1, dtype=np.float64)
    logs = np.log2(distance)
    weighted = logs * np.minimum(tested, count - distance)  # each distance, for all tests at later places

    def part(z: float) -> float:
        near = count if z * count < 50 else int(50 / z)  # (1 - z)**(50 / z) < 2e-22
        powers = (1 - z) ** (distance[:near] - 1)
        first_seen = logs[learning_words:near] @ powers[learning_words:]
        return float(z * z * (weighted[:near] @ powers) + z * first_seen) / tested

    others = (1 << WORD_BITS) - 1
    return lambda p: part(p) + others * part((1 - p) / others)


def bisected(falling: Callable[[float], float], target: float, low: float, high: float) -> float:
    """Where a falling function meets the target."""
    for _ in range(60):
        middle = (low + high) / 2
        if falling(middle) > target:
            low = middle
        else:
            high = middle
    return (low + high) / 2
