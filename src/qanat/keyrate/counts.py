"""What both ends agree that they saw in one key block: detections and errors per intensity."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index

from qanat.core.errors import QanatError


class CountsError(QanatError):
    """The counts or settings of a key block contradict each other, so no proof applies to them. The block
    must be given up; if it happens again, the two ends disagree on what was announced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoyCounts:
    """Detections of one key block in matching bases, per intensity, brightest first.

    Counts are of detections after sifting, over the whole block; no detection may have been kept or
    dropped by its intensity (docs/explanation/proven-assumed-simulated.md).

    Attributes:
        n_x: Detections in X, the key basis. Their sum is the length of the sifted key.
        n_z: Detections in Z, the test basis.
        m_z: Errors in Z.

    Raises:
        CountsError: not three intensities, a negative or fractional count, or more errors than detections.

    Example:
        >>> DecoyCounts(n_x=(900, 90, 10), n_z=(100, 10, 1), m_z=(1, 0, 1)).total_x
        1000
    """

    n_x: tuple[int, ...]
    n_z: tuple[int, ...]
    m_z: tuple[int, ...]

    def __post_init__(self) -> None:
        for name in ("n_x", "n_z", "m_z"):
            object.__setattr__(self, name, checked_counts(name, getattr(self, name)))
        for which, (errors, detections) in enumerate(zip(self.m_z, self.n_z, strict=True)):
            if errors > detections:
                raise CountsError(f"intensity {which}: {errors} errors among {detections} detections in Z")

    @property
    def total_x(self) -> int:
        return sum(self.n_x)

    @property
    def total_z(self) -> int:
        return sum(self.n_z)

    @property
    def errors_z(self) -> int:
        return sum(self.m_z)


def checked_counts(name: str, counts: tuple[int, ...]) -> tuple[int, ...]:
    """Three whole numbers, none negative, as plain integers; raises ``CountsError``."""
    try:
        whole = tuple(index(count) for count in counts)  # numpy integers become plain ones; 3.0 is refused
    except TypeError:
        raise CountsError(f"{name} holds something that is not a whole number: {counts!r}") from None
    if len(whole) != 3:
        raise CountsError(f"{name} has {len(whole)} intensities; the two-decoy proof needs three")
    if min(whole) < 0:
        raise CountsError(f"{name} has a negative count: {whole}")
    return whole
