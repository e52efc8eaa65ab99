"""The four predictors of SP 800-90B, 6.3.7 to 6.3.10, sample by sample, for any alphabet.

Each guesses the next sample from those before. Ties go to the larger value or the later one, as the standard says at
each. 50 microseconds a sample together: ``predictors`` gives the same for bits, faster.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from qanat.crypto.randomness.sp800_90b.prediction import Prediction, prediction

WINDOWS = (63, 255, 1023, 4095)
LAGS_COUNT = 128
ORDERS_COUNT = 16
MMC_ENTRIES_MAX = 100_000
LZ78Y_ENTRIES_MAX = 65_536

Guess = tuple[int | None, int]  # what was guessed, what came


def _scored(guesses: Iterator[Guess], alphabet: int) -> Prediction:
    return prediction(np.array([guess == sample for guess, sample in guesses], dtype=bool), alphabet)


class _Scoreboard:
    """Of several guessers the one that was right most often speaks; among equals the one that was right last."""

    def __init__(self, members_count: int) -> None:
        self._scores, self.speaker = [0] * members_count, 0

    def credit(self, member: int) -> None:
        self._scores[member] += 1
        if self._scores[member] >= self._scores[self.speaker]:
            self.speaker = member


def multi_mcw(samples: list[int], alphabet: int, windows: Sequence[int] = WINDOWS) -> Prediction:
    """6.3.7: the most common value in the last samples, by the best of four windows."""
    return _scored(_mcw_guesses(samples, alphabet, windows), alphabet)


def _mcw_guesses(samples: list[int], alphabet: int, windows: Sequence[int]) -> Iterator[Guess]:
    counts, seen = [[0] * alphabet for _ in windows], [-1] * alphabet
    common, board = [samples[0]] * len(windows), _Scoreboard(len(windows))
    for place, sample in enumerate(samples):
        if place >= windows[0]:
            yield common[board.speaker], sample
            for member, size in enumerate(windows):
                if place >= size and common[member] == sample:
                    board.credit(member)
        seen[sample] = place
        for member, size in enumerate(windows):
            count = counts[member]
            count[sample] += 1
            if place >= size:
                count[samples[place - size]] -= 1
            most = max(count)
            common[member] = max((value for value in range(alphabet) if count[value] == most), key=seen.__getitem__)


def lag(samples: list[int], alphabet: int, lags_count: int = LAGS_COUNT) -> Prediction:
    """6.3.8: what came so and so many samples ago, by the best of 128 lags."""
    return _scored(_lag_guesses(samples, lags_count), alphabet)


def _lag_guesses(samples: list[int], lags_count: int) -> Iterator[Guess]:
    board = _Scoreboard(lags_count)
    for place in range(1, len(samples)):
        sample, speaker = samples[place], board.speaker
        yield samples[place - 1 - speaker] if speaker < place else None, sample
        for member in range(min(lags_count, place)):
            if samples[place - 1 - member] == sample:
                board.credit(member)


class _Followers:
    """What followed each context of one length, and which value most often."""

    __slots__ = ("_counts", "best", "entries")

    def __init__(self) -> None:
        self._counts: dict[int, dict[int, int]] = {}
        self.best: dict[int, tuple[int, int]] = {}  # context -> (count, value): ties go to the larger value
        self.entries = 0

    def add(self, context: int, value: int) -> None:
        counts = self._counts.setdefault(context, {})
        self.entries += value not in counts
        counts[value] = counts.get(value, 0) + 1
        self.best[context] = max(self.best.get(context, (0, -1)), (counts[value], value))

    def has(self, context: int, value: int) -> bool:
        return value in self._counts.get(context, ())


def _contexts(samples: list[int], alphabet: int, place: int, orders_count: int) -> list[int]:
    """The last 1, 2, ... samples before that place, each list as a number."""
    contexts, context = [], 0
    for order in range(min(orders_count, place)):
        context += samples[place - 1 - order] * alphabet**order
        contexts.append(context)
    return contexts


def multi_mmc(samples: list[int], alphabet: int, orders_count: int = ORDERS_COUNT) -> Prediction:
    """6.3.9: Markov models of orders 1 to 16, the best one guessing."""
    return _scored(_mmc_guesses(samples, alphabet, orders_count), alphabet)


def _mmc_guesses(samples: list[int], alphabet: int, orders_count: int) -> Iterator[Guess]:
    models, board = [_Followers() for _ in range(orders_count)], _Scoreboard(orders_count)
    for place in range(1, len(samples)):
        sample, contexts = samples[place], _contexts(samples, alphabet, place, orders_count)
        guesses = [model.best.get(context, (0, None))[1] for model, context in zip(models, contexts, strict=False)]
        if place > 1:
            yield guesses[board.speaker] if board.speaker < len(guesses) else None, sample
        for member, (model, context) in enumerate(zip(models, contexts, strict=False)):
            if guesses[member] == sample:
                board.credit(member)
            if model.entries < MMC_ENTRIES_MAX or model.has(context, sample):
                model.add(context, sample)


def lz78y(samples: list[int], alphabet: int, orders_count: int = ORDERS_COUNT) -> Prediction:
    """6.3.10: a dictionary of contexts of 1 to 16 samples, all asked, the most frequent answer guessed."""
    return _scored(_lz78y_guesses(samples, alphabet, orders_count), alphabet)


def _lz78y_guesses(samples: list[int], alphabet: int, orders_count: int) -> Iterator[Guess]:
    models, contexts_count = [_Followers() for _ in range(orders_count)], 0
    for place in range(orders_count, len(samples)):
        sample, most, guess = samples[place], 0, None
        contexts = _contexts(samples, alphabet, place, orders_count)
        for model, context in zip(reversed(models), reversed(contexts), strict=True):
            best = model.best.get(context)
            if best is not None and best[0] > most:
                most, guess = best
            if best is not None or contexts_count < LZ78Y_ENTRIES_MAX:
                contexts_count += best is None
                model.add(context, sample)
        if place > orders_count:
            yield guess, sample
