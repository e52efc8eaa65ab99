"""Lazy settings: what the transmitter prepares in slot i is a function of i, evaluated only where asked.

    s_i = F_K(i),   F: Philox4x32-10,   K: simulation key of one transmitter

F_K stands in for the hardware's random numbers **in simulation only**. Philox is a statistical generator, not a
cryptographic one, and a function of a short key is no randomness at all: keys grown from it are labelled
simulated. It must never make live key material.

Source: Salmon, Moraes, Dror, Shaw, Parallel random numbers: as easy as 1, 2, 3, SC11 (2011).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qanat.core.records import SettingsColumns

if TYPE_CHECKING:
    from qanat.physics.datasheet import TransmitterSheet

WORD = 1 << 32  # every threshold is an integer share of 2**32
FAIR = (WORD // 2, WORD // 2)


class Purpose(IntEnum):
    """A word of the counter: no counter value serves two purposes under one key."""

    TRANSMITTER = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsLaw:
    """How the transmitter chooses, as integer thresholds; every probability is *defined* by them.

    The proof, the emulator and the transmitter read the same numbers, so that no rounding lies between them.

    Attributes:
        intensities: Mean photon numbers, brightest first.
        thresholds: Rising, one per intensity, the last is 2**32: intensity k is chosen when the word lies
            in [thresholds[k-1], thresholds[k]).
        threshold_x: X is chosen when its word lies below.
        thresholds_zero: Per basis, X then Z: bit 0 is chosen when its word lies below. 2**32 in Z leaves one test
            state: the three-state protocol.
    """

    intensities: tuple[float, ...]
    thresholds: tuple[int, ...]
    threshold_x: int
    thresholds_zero: tuple[int, int] = FAIR

    def __post_init__(self) -> None:
        steps = (0, *self.thresholds)
        if len(self.thresholds) != len(self.intensities) or self.thresholds[-1] != WORD:
            raise ValueError("one threshold per intensity, the last is 2**32")
        if any(low >= high for low, high in zip(steps, self.thresholds, strict=False)):
            raise ValueError("every intensity needs a positive probability")
        if not 0 <= self.threshold_x <= WORD:
            raise ValueError(f"threshold_x {self.threshold_x} is outside 0..2**32")
        if len(self.thresholds_zero) != 2 or not all(0 <= t <= WORD for t in self.thresholds_zero):
            raise ValueError(f"thresholds_zero {self.thresholds_zero} are not two numbers in 0..2**32")

    @property
    def p_intensities(self) -> tuple[float, ...]:
        """Exactly as drawn; they sum to 1."""
        steps = (0, *self.thresholds)
        return tuple((high - low) / WORD for low, high in zip(steps, self.thresholds, strict=False))

    @property
    def p_x(self) -> float:
        return self.threshold_x / WORD

    @property
    def p_zero(self) -> tuple[float, float]:
        """Probability of bit 0 in X and in Z."""
        return (self.thresholds_zero[0] / WORD, self.thresholds_zero[1] / WORD)

    @property
    def p_settings(self) -> NDArray[np.float64]:
        """Law of s = (intensity * 2 + basis) * 2 + bit, shape (n_settings,)."""
        bases = zip((self.p_x, 1 - self.p_x), self.p_zero, strict=True)
        basis_bit = np.array([p * share for p, zero in bases for share in (zero, 1 - zero)])
        return np.outer(np.asarray(self.p_intensities), basis_bit).ravel()


def law_from_probabilities(
    *,
    intensities: tuple[float, ...],
    p_intensities: tuple[float, ...],
    p_x: float,
    p_zero: tuple[float, float] = (0.5, 0.5),
) -> SettingsLaw:
    """The nearest law with integer thresholds.

    Example:
        >>> law_from_probabilities(intensities=(0.5, 0.1), p_intensities=(0.75, 0.25), p_x=0.5).p_intensities
        (0.75, 0.25)
    """
    sums = np.cumsum(p_intensities)
    thresholds = (*(round(float(total) * WORD) for total in sums[:-1]), WORD)
    zero = (round(p_zero[0] * WORD), round(p_zero[1] * WORD))
    return SettingsLaw(
        intensities=intensities, thresholds=thresholds, threshold_x=round(p_x * WORD), thresholds_zero=zero
    )


def law_from_sheet(sheet: TransmitterSheet) -> SettingsLaw:
    """The law that this transmitter draws by."""
    return law_from_probabilities(
        intensities=sheet.intensities, p_intensities=sheet.p_intensities, p_x=sheet.p_x, p_zero=sheet.p_zero
    )


class SettingsFunction:
    """F_K of one transmitter.

    Words of the 128-bit output: 0 intensity, 1 spare, 2 basis, 3 bit: turned by one, so that its lowest bit is the
    most significant and a fair choice is that bit alone.

    Args:
        key: The simulation key, at least 8 bytes; hashed to Philox's 64 bits.
        law: How the output becomes settings.
        run: A word of the counter, for reruns under one key.
    """

    __slots__ = ("key_words", "law", "run")

    def __init__(self, key: bytes, law: SettingsLaw, *, run: int = 0) -> None:
        if len(key) < 8:
            raise ValueError(f"a simulation key of {len(key)} bytes is too short; give at least 8")
        digest = hashlib.sha256(b"qanat/simulated-settings/" + key).digest()
        self.key_words = (int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little"))
        self.law = law
        self.run = run

    def __repr__(self) -> str:
        return f"<SettingsFunction, simulated, run {self.run}>"

    def at(self, index: NDArray[np.int64]) -> SettingsColumns:
        """Settings of these slots (global slot numbers, not negative), in the order asked."""
        from qanat.physics import kernels  # numba: loaded only by who samples

        slots = _slots(index)
        packed = kernels.settings_at(
            slots,
            *self.key_words,
            self.run,
            np.array(self.law.thresholds, dtype=np.uint64),
            self.law.threshold_x,
            *self.law.thresholds_zero,
        )
        return _columns(packed)

    def at_plain(self, index: NDArray[np.int64]) -> SettingsColumns:
        """The same by numpy alone: the kernel's twin."""
        from qanat.physics import plain

        words = plain.philox_columns(_slots(index), self.key_words, Purpose.TRANSMITTER, self.run)
        intensity = np.searchsorted(np.array(self.law.thresholds, dtype=np.uint64), words[0], side="right")
        basis = words[2] >= np.uint64(self.law.threshold_x)
        turned = words[3] >> np.uint64(1) | (words[3] & np.uint64(1)) << np.uint64(31)
        bit = turned >= np.array(self.law.thresholds_zero, dtype=np.uint64)[basis.astype(np.intp)]
        return _columns(((intensity * 2 + basis) * 2 + bit).astype(np.uint8))


def _slots(index: NDArray[np.int64]) -> NDArray[np.int64]:
    slots = np.ascontiguousarray(index, dtype=np.int64)
    if slots.size and int(slots.min()) < 0:
        raise ValueError("a slot number is negative")
    return slots


def _columns(packed: NDArray[np.uint8]) -> SettingsColumns:
    one, two = np.uint8(1), np.uint8(2)
    return SettingsColumns(intensity=packed >> two, basis=packed >> one & one, bit=packed & one)
