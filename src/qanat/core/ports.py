"""Where a host plugs in what engines must not own: entropy, devices, storage of journals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from qanat.core.health import TransmitterHealth
from qanat.core.records import DetectionBlock, SettingsColumns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Entropy(Protocol):
    """Source of secret randomness: the operating system or a QRNG. Never a seeded stream."""

    def random_bytes(self, size_bytes: int) -> bytes: ...


class TransmitterModule(Protocol):
    """The transmitting QKD module, as its end of distillation sees it.

    Attributes:
        intensities: Mean photon numbers, brightest first.
        p_intensities: Their probabilities, exactly as drawn; they sum to 1.
        p_x: Probability of preparing in X.
        p_zero: Probability of bit 0 in X and in Z; a module without this attribute has two even states in both.
        is_simulated: No photons were involved; keys are labelled accordingly.
    """

    intensities: tuple[float, ...]
    p_intensities: tuple[float, ...]
    p_x: float
    is_simulated: bool

    def settings_at(self, block_number: int, index: NDArray[np.int64]) -> SettingsColumns:
        """What was prepared in these slots of that pulse block."""

    def health_of(self, block_number: int) -> TransmitterHealth | None:
        """What the module tells about itself in that pulse block; None when it tells nothing."""


class ReceiverModule(Protocol):
    """The receiving QKD module: it yields one DetectionBlock after the other."""

    is_simulated: bool

    def next_block(self) -> DetectionBlock:
        """The next block of detections, in order; a gap in the numbers is a block that was lost.

        Raises:
            LightEnded: a recording is over.
        """
