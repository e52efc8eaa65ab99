"""What both ends of a link must agree on before the first photon."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, fields

from qanat.core.ids import BlockId, LinkId, block_id
from qanat.crypto.verification import collision_bound

INTENSITY_COUNT = 3  # the two-decoy proof
RECONCILIATIONS = ("auto", "cascade", "cascade-low-leak", "ldpc")
SIFTED_BITS_MAX = 8_000_000  # a Toeplitz seed of twice that fits one message (messages.MESSAGE_BYTES_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPlan:
    """The agreed constants of one session; its digest goes into every authentication tag.

    Attributes:
        epoch: Counts sessions of one link; frames of another epoch are ignored.
        intensities: Mean photon numbers, brightest first; of entangled pairs their mean number alone.
        p_intensities: Their probabilities, exactly as drawn.
        p_x: Probability that the transmitter prepares X.
        pulses_per_block, pulse_block_ns: Clock slots and link time of one pulse block.
        block_sifted_bits: X bits that a key block has on average, see ``sifted_count_wanted``.
        epsilon_sec, epsilon_cor: Secrecy and correctness of one key block.
        is_entangled: Both ends measure photons of a pair; the proof is ``keyrate.tomamichel2012``, never fit
            for laser pulses.
        is_three_state: The test basis has bit 0 alone; crossed detections are told too, for ``keyrate.three_state``.
        is_simulated: No photons were involved; keys are labelled accordingly.
        in_flight_bytes_max: Memory that open key blocks may take at each end, see ``in_flight.py``.
        reconciliation: "auto", "cascade", "cascade-low-leak" or "ldpc", see ``methods.py``.
        tag_key_generations_max: Key blocks that may authenticate one another in a row, see ``authenticate.py``.
        round_trip_ns: Of the classical channel, where it is known beforehand; measured when None.

    Raises:
        ValueError: outside what the proof or the formats allow.
    """

    link: LinkId
    epoch: int
    intensities: tuple[float, ...]
    p_intensities: tuple[float, ...]
    p_x: float
    pulses_per_block: int
    pulse_block_ns: int
    block_sifted_bits: int
    epsilon_sec: float
    epsilon_cor: float
    is_entangled: bool = False
    is_three_state: bool = False
    is_simulated: bool
    in_flight_bytes_max: int = 2**29
    reconciliation: str = "auto"
    tag_key_generations_max: int = 10_000
    round_trip_ns: int | None = None

    def __post_init__(self) -> None:
        wanted = 1 if self.is_entangled else INTENSITY_COUNT
        if len(self.intensities) != wanted or len(self.p_intensities) != wanted:
            raise ValueError(f"link {self.link}: the proof needs {wanted} intensities")
        if self.is_three_state and self.is_entangled:
            raise ValueError(f"link {self.link}: three states are a laser's; a pair has them all")
        if not 0 <= self.epoch < 2**32 or self.pulses_per_block < 1 or self.pulse_block_ns < 1:
            raise ValueError(f"link {self.link}: epoch, pulses per block and pulse block must be positive")
        if not 2 <= self.block_sifted_bits <= SIFTED_BITS_MAX // 2:
            raise ValueError(f"link {self.link}: block_sifted_bits must lie in 2..{SIFTED_BITS_MAX // 2}")
        if not (0 < self.epsilon_sec < 1 and 0 < self.epsilon_cor < 1):
            raise ValueError(f"link {self.link}: epsilons are probabilities between 0 and 1")
        if self.in_flight_bytes_max < 0 or not 0 <= (self.round_trip_ns or 0) < 2**62:
            raise ValueError(f"link {self.link}: memory and round-trip time cannot be negative")
        if self.tag_key_generations_max < 1:
            raise ValueError(f"link {self.link}: tag keys must serve at least once")
        if self.reconciliation not in RECONCILIATIONS:
            raise ValueError(f"link {self.link}: reconciliation is one of {', '.join(RECONCILIATIONS)}")
        if collision_bound(SIFTED_BITS_MAX) > self.epsilon_cor:
            raise ValueError(f"link {self.link}: a verification tag cannot reach epsilon_cor {self.epsilon_cor:.1e}")

    @property
    def sifted_count_wanted(self) -> int:
        """Sifted detections, X and Z together, with which a key block ends."""
        return sifted_count_wanted(block_sifted_bits=self.block_sifted_bits, p_x=self.p_x)

    @property
    def epsilon_tag_keys_max(self) -> float:
        """With more than this, tag keys are worn: so many generations of key blocks, half a one for rounding."""
        return (self.tag_key_generations_max - 0.5) * (self.epsilon_sec + self.epsilon_cor)

    def block_id(self, number: int) -> BlockId:
        return block_id(self.link, self.epoch, number)

    def digest(self) -> bytes:
        """16 bytes by which two ends see whether they were given the same plan."""
        text = "\n".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self))
        return hashlib.sha256(text.encode()).digest()[:16]


def sifted_count_wanted(*, block_sifted_bits: int, p_x: float) -> int:
    """How many sifted detections of either basis bring about so many in X, both ends choosing X with ``p_x``.

    The rule must not look at the bases: stopping on the count of one basis biases the sample that the other
    is of it (Pfister et al., New J. Phys. 18, 053001 (2016), "iterative sifting").

    Example:
        >>> sifted_count_wanted(block_sifted_bits=900, p_x=0.75)
        1000
    """
    share_x = p_x**2 / (p_x**2 + (1 - p_x) ** 2)
    return math.ceil(block_sifted_bits / share_x)
