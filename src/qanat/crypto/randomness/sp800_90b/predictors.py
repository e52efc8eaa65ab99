"""The four predictors of SP 800-90B, 6.3.7 to 6.3.10, for samples that are bits: whole columns at a time.

The same hits as in ``predictors_plain``, place by place. What makes columns possible: the scoreboard's speaker always
has the highest score, so it is the last member that was right and then led; and what followed a context before each
place is a running sum over the places in order of context.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanat.crypto.randomness.sp800_90b.prediction import Prediction, prediction
from qanat.crypto.randomness.sp800_90b.predictors_plain import (
    LAGS_COUNT,
    LZ78Y_ENTRIES_MAX,
    MMC_ENTRIES_MAX,
    ORDERS_COUNT,
    WINDOWS,
)

Bits = NDArray[np.uint8]
Hits = NDArray[np.bool_]
Counts = NDArray[np.int64]
NO_GUESS = np.uint8(2)
BITS_MIN = WINDOWS[0] + 2
PLACES_AT_ONCE = 1 << 16  # 128 lags * 65 536 places * 4 bytes of scores = 34 MB


def _spoken_hits(columns: Iterator[Hits], members_count: int) -> Hits:
    """Whether the speaker was right at each place, from whether each member was: shape (members, places)."""
    scores, speaker, spoken = np.zeros(members_count, np.int32), 0, []
    for is_right in columns:
        places = np.arange(is_right.shape[1])
        totals = scores[:, None] + np.cumsum(is_right, axis=1, dtype=np.int32)
        leads = is_right & (totals == totals.max(axis=0))
        last = members_count - 1 - np.argmax(leads[::-1], axis=0)
        since = np.maximum.accumulate(np.where(leads.any(axis=0), places, -1))
        after = np.where(since >= 0, last[since], speaker)
        spoken.append(is_right[np.concatenate(([speaker], after[:-1])), places])
        scores, speaker = totals[:, -1], int(after[-1])
    return np.concatenate(spoken)


def _in_columns(is_right: Hits) -> Iterator[Hits]:
    for start in range(0, is_right.shape[1], PLACES_AT_ONCE):
        yield is_right[:, start : start + PLACES_AT_ONCE]


def multi_mcw(bits: Bits) -> Prediction:
    """6.3.7. Windows are odd, so that none holds as many ones as zeros."""
    ones = np.concatenate(([0], np.cumsum(bits, dtype=np.int64)))
    is_right = np.zeros((len(WINDOWS), len(bits)), dtype=bool)
    for row, size in zip(is_right, WINDOWS, strict=True):
        row[size:] = (2 * (ones[size:-1] - ones[: -size - 1]) > size) == bits[size:]
    return prediction(_spoken_hits(_in_columns(is_right[:, WINDOWS[0] :]), len(WINDOWS)), 2)


def lag(bits: Bits) -> Prediction:
    """6.3.8."""
    return prediction(_spoken_hits(_lag_columns(bits), LAGS_COUNT), 2)


def _lag_columns(bits: Bits) -> Iterator[Hits]:
    size = len(bits)
    padded = np.concatenate([np.full(LAGS_COUNT, 2, np.uint8), bits])  # what came before the first is no bit
    for start in range(1, size, PLACES_AT_ONCE):
        end = min(size, start + PLACES_AT_ONCE)
        places = slice(LAGS_COUNT + start, LAGS_COUNT + end)
        yield np.stack(
            [padded[places] == padded[places.start - back : places.stop - back] for back in range(1, LAGS_COUNT + 1)]
        )


def multi_mmc(bits: Bits) -> Prediction:
    """6.3.9. Each model learns at most ``MMC_ENTRIES_MAX`` pairs of context and value, those that come first."""
    is_right = np.zeros((ORDERS_COUNT, len(bits)), dtype=bool)
    for order, contexts in _contexts(bits):
        values = bits[order:]
        pairs = 2 * contexts.astype(np.int32) + values
        first = _first_places(pairs, 2 << order)
        is_kept = first < np.append(np.sort(first), len(bits))[min(MMC_ENTRIES_MAX, len(first))]
        zeros, ones = _followers_before(contexts, values, is_kept[pairs])
        is_right[order - 1, order:] = _favourite(zeros, ones) == values
    return prediction(_spoken_hits(_in_columns(is_right[:, 2:]), ORDERS_COUNT), 2)


def lz78y(bits: Bits) -> Prediction:
    """6.3.10. All lengths together learn at most ``LZ78Y_ENTRIES_MAX`` contexts: at each place the longest first."""
    values = bits[ORDERS_COUNT:]
    known = [contexts[ORDERS_COUNT - order :].copy() for order, contexts in _contexts(bits)]
    turns = [
        ORDERS_COUNT * _first_places(contexts, 2 << order) + ORDERS_COUNT - 1 - order
        for order, contexts in enumerate(known)
    ]
    end = np.append(np.sort(np.concatenate(turns)), ORDERS_COUNT * (len(bits) + 1))[LZ78Y_ENTRIES_MAX]
    most, guesses = np.zeros(len(values), np.int64), np.full(len(values), NO_GUESS)
    for contexts, turn in zip(reversed(known), reversed(turns), strict=True):
        zeros, ones = _followers_before(contexts, values, (turn < end)[contexts])
        count = np.maximum(zeros, ones)
        guesses = np.where(count > most, _favourite(zeros, ones), guesses)
        most = np.maximum(count, most)
    return prediction((guesses == values)[1:], 2)


def _favourite(zeros: NDArray[np.int64], ones: NDArray[np.int64]) -> Bits:
    """The larger value of equals; none where nothing is known."""
    return np.where(zeros + ones == 0, NO_GUESS, ones >= zeros).astype(np.uint8)


def _contexts(bits: Bits) -> Iterator[tuple[int, NDArray[np.uint16]]]:
    """For each order: the bits before each place from that order on, as a number. Overwritten by the next."""
    numbers = np.zeros(len(bits), np.uint16)  # of 16 bits, which numpy sorts by radix
    for order in range(1, ORDERS_COUNT + 1):
        numbers[order:] |= bits[:-order].astype(np.uint16) << (order - 1)
        yield order, numbers[order:]


def _first_places(keys: NDArray[np.integer[Any]], keys_count: int) -> NDArray[np.int64]:
    """Where each key comes first; beyond the end for keys that never do."""
    first = np.full(keys_count, len(keys))
    first[keys[::-1]] = np.arange(len(keys))[::-1]  # of repeated indices the last assignment stays
    return first


def _followers_before(contexts: NDArray[np.uint16], values: Bits, is_kept: Hits) -> tuple[Counts, Counts]:
    """How often a zero and how often a one followed each place's context at earlier places that are kept."""
    order = np.argsort(contexts, kind="stable")
    ordered = contexts[order]
    is_new = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    start = np.maximum.accumulate(np.where(is_new, np.arange(len(order)), 0))

    def before(is_counted: Hits) -> Counts:
        total = np.concatenate(([0], np.cumsum(is_counted[order])))
        counts = np.empty(len(order), np.int64)
        counts[order] = total[:-1] - total[start]
        return counts

    return before(is_kept & (values == 0)), before(is_kept & (values == 1))


PREDICTORS: dict[str, Callable[[Bits], Prediction]] = {
    "MultiMCW prediction": multi_mcw,
    "lag prediction": lag,
    "MultiMMC prediction": multi_mmc,
    "LZ78Y prediction": lz78y,
}
