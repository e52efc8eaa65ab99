"""Health tests of a random source, as it runs: repetition count and adaptive proportion on bytes.

Source: NIST SP 800-90B (January 2018), 4.4.1 and 4.4.2; start-up tests on 1024 samples, 4.3 item 6. A sample is one
byte. The tests hold no past output, only counts, and use no library: a draw of 32 bytes costs
two microseconds, a megabyte 25 ms. Not for two threads at once: the caller locks.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache

from qanat.core.errors import QanatError
from qanat.core.ports import Entropy

STARTUP_BYTES = 1024
WINDOW_BYTES = 512  # 4.4.2: 512 where samples are not binary


class EntropyFailed(QanatError):
    """The random source of this process failed its health test and gives nothing more. Chance does that next to never
    to a sound source: treat the machine or the QRNG as broken, restart the process on another source, and destroy keys
    drawn since the last start if the fault may be older."""


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """When a source has failed.

    Attributes:
        repetitions: That many equal bytes in a row.
        proportion: That many bytes equal to the first in a window of ``WINDOW_BYTES``.
    """

    repetitions: int
    proportion: int


@cache
def cutoffs(min_entropy_bits: float, alpha_log2: int) -> Cutoffs:
    """The standard's cutoffs: C = 1 + ceil(-log2(alpha) / H), and C = 1 + CRITBINOM(W, 2**-H, 1 - alpha).

    Args:
        min_entropy_bits: What the source claims per byte, above 0 and at most 8.
        alpha_log2: Logarithm of the false-alarm probability per test; the standard recommends -20 to -40.

    Raises:
        ValueError: no such claim or probability.

    Example:
        >>> cutoffs(8, -20)
        Cutoffs(repetitions=4, proportion=13)
    """
    if not 0 < min_entropy_bits <= 8 or not -512 <= alpha_log2 < 0:
        raise ValueError(
            f"no cutoffs for {min_entropy_bits} bits per byte and a false-alarm probability 2**{alpha_log2}"
        )
    repetitions = 1 + math.ceil(-alpha_log2 / min_entropy_bits)
    return Cutoffs(repetitions, 1 + _critical_count(WINDOW_BYTES, 2.0**-min_entropy_bits, alpha_log2))


def _critical_count(trials: int, p: float, alpha_log2: int) -> int:
    """The smallest k with P(binomial(trials, p) > k) <= alpha, in exact integers over one denominator."""
    success, whole = p.as_integer_ratio()
    alpha_share = whole**trials >> -alpha_log2
    tail = 0
    for count in range(trials, 0, -1):
        tail += math.comb(trials, count) * success**count * (whole - success) ** (trials - count)
        if tail > alpha_share:
            return count
    return 0


class HealthTest:
    """Both tests on a stream of bytes that arrives in pieces."""

    __slots__ = ("_cutoffs", "_first", "_last", "_long_run", "_matches", "_run", "_seen")

    def __init__(self, limits: Cutoffs) -> None:
        self._cutoffs = limits
        self._long_run = re.compile(rb"(.)\1{%d}" % (limits.repetitions - 1), re.DOTALL)
        self._last, self._run = b"", 0
        self._first, self._seen, self._matches = b"", 0, 0

    def fault(self, data: bytes) -> str | None:
        """What is wrong with the stream up to here, in words without its bytes; None if nothing is."""
        return self._repetition(data) or self._proportion(data)

    def _repetition(self, data: bytes) -> str | None:
        if not data:
            return None
        head = len(data) - len(data.lstrip(self._last)) if self._last else 0
        if (self._run + head if head else 0) >= self._cutoffs.repetitions or self._long_run.search(data):
            return f"{self._cutoffs.repetitions} equal bytes in a row"
        tail = len(data) - len(data.rstrip(data[-1:]))
        self._run = self._run + tail if head == len(data) else tail
        self._last = data[-1:]
        return None

    def _proportion(self, data: bytes) -> str | None:
        place = 0
        while place < len(data):
            if self._seen == 0:
                self._first = data[place : place + 1]
            part = data[place : place + WINDOW_BYTES - self._seen]
            self._matches += part.count(self._first)
            self._seen += len(part)
            place += len(part)
            if self._matches >= self._cutoffs.proportion:
                return f"one byte {self._matches} times among {self._seen}, limit {self._cutoffs.proportion - 1}"
            if self._seen >= WINDOW_BYTES:
                self._seen = self._matches = 0
        return None


class HealthTestedEntropy:
    """An entropy source behind both tests: at the start, and on every byte that it gives. Once failed, always failed.

    Args:
        source: The operating system or a QRNG.
        min_entropy_bits: What the source claims per byte.
        alpha_log2: False alarms per byte and test. A source that a process asks for years needs far fewer than the
            standard's 2**-20, which at 1 MB/s would be one a second: 2**-80 is one in 10**10 years.
    """

    __slots__ = ("_fault", "_is_started", "_source", "_test")

    def __init__(self, source: Entropy, *, min_entropy_bits: float, alpha_log2: int) -> None:
        self._source = source
        self._test = HealthTest(cutoffs(min_entropy_bits, alpha_log2))
        self._fault: str | None = None
        self._is_started = False

    def random_bytes(self, size_bytes: int) -> bytes:
        """Bytes of the source that passed.

        Raises:
            EntropyFailed: these bytes, or earlier ones, did not pass. None of them is returned.
        """
        if not self._is_started and self._fault is None:
            self._tested(STARTUP_BYTES)  # thrown away: 4.3 item 6 lets them be used, we need not
            self._is_started = True
        return self._tested(size_bytes)

    def _tested(self, size_bytes: int) -> bytes:
        if self._fault is not None:
            raise EntropyFailed(f"random source failed before: {self._fault}")
        data = self._source.random_bytes(size_bytes)
        if len(data) != size_bytes:
            self._fault = f"{len(data)} bytes instead of {size_bytes}"
        else:
            self._fault = self._test.fault(data)
        if self._fault is not None:
            raise EntropyFailed(f"random source: {self._fault}")
        return data
