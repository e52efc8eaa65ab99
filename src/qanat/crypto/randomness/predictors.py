"""The four predictors of SP 800-90B, 6.3.7 to 6.3.10: each guesses every next sample from those before."""

from __future__ import annotations

import math
from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Sequence

from qanat.crypto.randomness.estimators import Z_99, TooShort


def prediction_entropy(hits: Sequence[bool], values_count: int) -> float:
    """6.3.7 steps 4 to 7: from the share of right guesses, and from the longest run of them."""
    count = len(hits)
    if count < 2:
        raise TooShort
    right = sum(hits)
    share = right / count
    if right == 0:
        high = 1 - 0.01 ** (1 / count)
    else:
        high = min(1.0, share + Z_99 * math.sqrt(share * (1 - share) / (count - 1)))
    run = longest = 0
    for hit in hits:
        run = run + 1 if hit else 0
        longest = max(longest, run)
    return -math.log2(max(high, _local_share(longest + 1, count), 1 / values_count)) + 0.0


def _local_share(run: int, count: int) -> float:
    """The p at which no run of that many hits occurs with probability 0.99 (Feller), by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        p = (low + high) / 2
        if _log_no_run(p, run, count) > math.log(0.99):
            low = p
        else:
            high = p
    return low


def _log_no_run(p: float, run: int, count: int) -> float:
    q, x = 1 - p, 1.0
    for _ in range(10):  # the root nearest 1, as the standard iterates it
        x = 1 + q * p**run * x ** (run + 1) if (run + 1) * math.log(max(x, 1.0)) < 600 else math.inf
        if not x < 2:
            return -math.inf
    top, bottom = 1 - p * x, (run + 1 - run * x) * q
    return math.log(top / bottom) - (count + 1) * math.log(x) if top > 0 and bottom > 0 else -math.inf


class _Scoreboard:
    """Of several guesses the one that was right most often speaks; a tie leaves the last speaker, 6.3.7 step 3."""

    def __init__(self, members_count: int) -> None:
        self._scores, self._speaker = [0] * members_count, 0
        self.hits: list[bool] = []

    def judge(self, guesses: Sequence[int | None], sample: int) -> None:
        self.hits.append(guesses[self._speaker] == sample)
        for member, guess in enumerate(guesses):
            if guess == sample:
                self._scores[member] += 1
                if self._scores[member] >= self._scores[self._speaker]:
                    self._speaker = member


def multi_mcw(samples: Sequence[int], windows: Sequence[int] = (63, 255, 1023, 4095)) -> float:
    """6.3.7: the most common value in the last samples, the latest among equals, by windows."""
    board, counts = _Scoreboard(len(windows)), [Counter[int]() for _ in windows]
    last_seen: dict[int, int] = {}
    for index, sample in enumerate(samples):
        if index >= windows[0]:
            board.judge(
                [_favourite(c, last_seen) if index >= w else None for c, w in zip(counts, windows, strict=True)], sample
            )
        last_seen[sample] = index
        for count, window in zip(counts, windows, strict=True):
            count[sample] += 1
            if index >= window:
                count[samples[index - window]] -= 1
    return prediction_entropy(board.hits, len(set(samples)))


def _favourite(count: Counter[int], last_seen: dict[int, int]) -> int:
    return max(count, key=lambda value: (count[value], last_seen[value]))


def lag(samples: Sequence[int], depth: int = 128) -> float:
    """6.3.8: the sample that came so many places before, for 1 to 128 places."""
    board = _Scoreboard(depth)
    before: deque[int | None] = deque([None] * depth, maxlen=depth)
    for index, sample in enumerate(samples):
        if index:
            board.judge(before, sample)
        before.appendleft(sample)
    return prediction_entropy(board.hits, len(set(samples)))


class _Followers:
    """What followed each context how often; among equals the largest value speaks. Bounded contexts."""

    def __init__(self, contexts_count_max: int) -> None:
        self._counts: dict[Hashable, dict[int, int]] = defaultdict(dict)
        self._max = contexts_count_max

    def __contains__(self, context: Hashable) -> bool:
        return context in self._counts

    def learn(self, context: Hashable, sample: int) -> None:
        if context in self._counts or len(self._counts) < self._max:
            counts = self._counts[context]
            counts[sample] = counts.get(sample, 0) + 1

    def guess(self, context: Hashable) -> tuple[int, int] | None:
        """(how often, value)."""
        counts = self._counts.get(context)
        return max((count, value) for value, count in counts.items()) if counts else None


def multi_mmc(samples: Sequence[int], depth: int = 16) -> float:
    """6.3.9: Markov models of order 1 to 16, each of at most 100 000 transitions."""
    data, board = bytes(samples), _Scoreboard(depth)
    models = [_Followers(100_000) for _ in range(depth)]
    for index in range(2, len(data)):
        for order in range(1, min(depth, index - 1) + 1):
            models[order - 1].learn(data[index - 1 - order : index - 1], data[index - 1])
        found = [
            model.guess(data[index - order : index]) if index > order else None for order, model in enumerate(models, 1)
        ]
        board.judge([guess[1] if guess else None for guess in found], data[index])
    return prediction_entropy(board.hits, len(set(samples)))


def lz78y(samples: Sequence[int], depth: int = 16) -> float:
    """6.3.10: a dictionary of what followed the last 16 to 1 samples, of at most 65 536 contexts."""
    data, hits, known = bytes(samples), [], _Followers(65_536)
    for index in range(depth + 1, len(data)):
        for order in range(depth, 0, -1):
            known.learn(data[index - 1 - order : index - 1], data[index - 1])
        found = [known.guess(data[index - order : index]) for order in range(depth, 0, -1)]
        best = max((guess[0] for guess in found if guess), default=0)
        value = next((guess[1] for guess in found if guess and guess[0] == best), None)
        hits.append(value == data[index])
    return prediction_entropy(hits, len(set(samples)))
