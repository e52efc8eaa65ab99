"""LinkReport: the public statistics of a link. It has no field that could hold a secret."""

from __future__ import annotations

from dataclasses import dataclass

from qanat.core.health import ReceiverHealth, TransmitterHealth
from qanat.core.ids import BlockId, LinkId
from qanat.core.ledger_term import LengthTerm
from qanat.core.provenance import Authentication

Counts = tuple[tuple[int, int], ...]  # per intensity, brightest first: (X, Z)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkReport:
    """What one block of pulses told about a link.

    Times are link time: they run slower than the wall clock where the machine is too slow.

    Attributes:
        number: Counts pulse blocks from 0.
        start_ns, duration_ns: The pulse block in link time.
        n_pulses: Clock slots.
        detection_count: All detections, before sifting.
        double_click_count: Slots with several detectors clicking.
        sifted_counts: Matching-basis detections per (intensity, basis).
        error_counts_z: Errors per intensity in Z, where all bits are announced.
        made_at_ns: Wall clock (or world clock) at which the report was made.
        receiver, transmitter: What the modules tell about themselves; None when they tell nothing.
    """

    link: LinkId
    number: int
    start_ns: int
    duration_ns: int
    n_pulses: int
    detection_count: int
    double_click_count: int
    sifted_counts: Counts
    error_counts_z: tuple[int, ...]
    made_at_ns: int
    receiver: ReceiverHealth | None = None
    transmitter: TransmitterHealth | None = None

    @property
    def sifted_count(self) -> int:
        return sum(x + z for x, z in self.sifted_counts)

    @property
    def test_count(self) -> int:
        return sum(z for _, z in self.sifted_counts)

    @property
    def error_count(self) -> int:
        return sum(self.error_counts_z)

    @property
    def qber(self) -> float | None:
        """Error rate of the announced Z bits; None when there were none."""
        return self.error_count / self.test_count if self.test_count else None

    @property
    def vacuum_gain(self) -> float:
        """Sifted detections of the dimmest intensity per clock slot; over its probability, the vacuum's gain."""
        return sum(self.sifted_counts[-1]) / self.n_pulses

    @property
    def basis_share_x(self) -> float | None:
        """Share of all clicks that fell in the X arm; None without four detectors' counts."""
        x0, x1, z0, z1 = self._clicks() or (0, 0, 0, 0)
        return (x0 + x1) / total if (total := x0 + x1 + z0 + z1) else None

    @property
    def bit_share_1(self) -> tuple[float | None, float | None]:
        """Share of clicks that say 1, in X and in Z; None without counts."""
        x0, x1, z0, z1 = self._clicks() or (0, 0, 0, 0)
        return (x1 / (x0 + x1) if x0 + x1 else None, z1 / (z0 + z1) if z0 + z1 else None)

    def _clicks(self) -> tuple[int, int, int, int] | None:
        if self.receiver is None or len(self.receiver.arrivals) != 4:
            return None
        x0, x1, z0, z1 = (arrivals.count for arrivals in self.receiver.arrivals)
        return x0, x1, z0, z1


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockReport:
    """How one key block ended: the derivation of its length, or why it was given up.

    Attributes:
        aborted: Reason in words, None when key was made.
        first_number, last_number: Pulse blocks it was made from.
        start_ns, end_ns: Their link time.
        n_pulses: Clock slots in them.
        sifted_bits: Length of the X key before reconciliation.
        qber_x: Errors found by reconciliation over its length; None before that.
        leak_bits: Parity bits of the reference key disclosed in reconciliation (see distill/estimate.py).
        tag_bits: Verification tag bits disclosed.
        authentication: How the two ends knew each other when this session began; its tags rest on that.
        auth_bits: Authentication secret spent, both directions; taken from the key it protects.
        secret_bits: Net length handed to key management, after `auth_bits` were put back.
        phase_error_bound: Upper bound on the phase error rate of the single photons in X.
        single_photon_bound: Lower bound on single-photon detections in X.
        vacuum_bound: Lower bound on vacuum detections in X.
        epsilon: Named failure probabilities; their sum bounds the key's total epsilon.
        round_trips: Exchanges that reconciliation took; both messages of one may cross.
        method: How it was reconciled: cascade or ldpc; empty before that.
        frames, frames_failed: Frames verified one by one, and how many of them differed and were thrown away.
        terms: Derivation of the length, term by term; empty where none was made.
        made_at_ns: Wall clock (or world clock) at which the report was made.
    """

    link: LinkId
    block: BlockId
    aborted: str | None
    first_number: int
    last_number: int
    start_ns: int
    end_ns: int
    n_pulses: int
    sifted_bits: int
    qber_x: float | None = None
    leak_bits: int = 0
    tag_bits: int = 0
    authentication: Authentication
    auth_bits: int = 0
    secret_bits: int = 0
    phase_error_bound: float | None = None
    single_photon_bound: float | None = None
    vacuum_bound: float | None = None
    epsilon: dict[str, float]
    round_trips: int = 0
    method: str = ""
    frames: int = 0
    frames_failed: int = 0
    terms: tuple[LengthTerm, ...] = ()
    made_at_ns: int
