"""How much of a key block is secret, and whether to go on with it.

**What reconciliation discloses, and how it is paid for.** Cascade discloses (a) parities of the transmitter's
key, ``leak_bits`` of them, and (b) parities of the error pattern W, the XOR of both keys; in the end all of W.
Older analyses left (b) out (Tupkary and Luetkenhaus, arXiv 2307.00576). We give Eve (a) bit for bit, and W as
a whole:

- A single-photon detection after squashing is a pair of qubits. W is the parity X (x) X of a pair, the phase
  error is Z (x) Z; they commute, so W may be measured and published first, and the uncertainty relation
  holds for what remains, with the same bound on the number of phase errors. The term s_X1 (1 - h(phi_X)) stays.
- A detection of an empty pulse is Bob's alone, and Eve may know it: W then tells her Alice's bit. So the
  term s_X0 of Lim et al. is **not** credited. It is worth some per mille of the key.
- Multi-photon detections were never credited.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from qanat.core.errors import LocalProtocolError
from qanat.core.timebase import text_from_ns
from qanat.crypto.verification import TAG_BITS
from qanat.distill.authenticate import RETURNED_BYTES
from qanat.distill.gather import GatheredBlock
from qanat.distill.plan import SIFTED_BITS_MAX, SessionPlan
from qanat.distill.release import TOKEN_BYTES
from qanat.keyrate.bbm92 import pair_secret_length
from qanat.keyrate.discard import kept_secrecy
from qanat.keyrate.lim2014 import SecretLength, secret_length
from qanat.keyrate.sampling import binary_entropy
from qanat.keyrate.three_state import ThreeStateCounts, three_state_length

QBER_HOPELESS = 0.13  # no decoy-state proof with one-way privacy amplification reaches it; 25 % is intercept-resend
LEAK_EXPECTED = 0.9  # times h(QBER): less is not to be hoped for, so a block that fails with this fails


class AbortReason(IntEnum):
    """Why a key block yields nothing. Travels as a number: text from the peer is never shown."""

    NO_TEST_BITS = 1
    QBER_HOPELESS = 2
    NOTHING_PROVEN = 3
    LEAK_EXCEEDED = 4  # or rounds without end
    NOT_EQUAL = 5
    INEXACT = 6
    TOO_LARGE = 7
    TOO_SMALL = 8


@dataclass(frozen=True, slots=True)
class Estimate:
    """Secret bits of a key block, whole bytes, with the proof's figures."""

    length_bits: int
    proof: SecretLength

    @property
    def net_bits(self) -> int:
        """What is left after the authentication secret was put back and the release token was used."""
        return self.length_bits - 8 * (RETURNED_BYTES + TOKEN_BYTES)


def estimate(
    block: GatheredBlock, plan: SessionPlan, leak_bits: int, *, tag_bits: int = TAG_BITS, discarded_bits: int = 0
) -> Estimate:
    """The length after this leak, rounded down to bytes; 0 when it does not even pay for its authentication.

    Args:
        tag_bits: Of verification, all frames together.
        discarded_bits: In frames that verification threw away; see ``keyrate.discard`` for what they cost.
    """
    proof = _law_of(plan)(block, plan, leak_bits, tag_bits)
    without_vacuum = math.floor(proof.signed_bits - proof.vacuum_bound - discard_loss(proof, discarded_bits))
    bits = min(proof.length_bits, without_vacuum, block.size_bits - discarded_bits) // 8 * 8
    result = Estimate(bits, proof)
    return result if result.net_bits > 0 else Estimate(0, proof)


def discard_loss(proof: SecretLength, discarded_bits: int) -> float:
    """Bits of secrecy that go with discarded frames."""
    if not discarded_bits:
        return 0.0
    singles, phi = proof.single_photon_bound, proof.phase_error_bound
    return kept_secrecy(singles, phi, 0) - kept_secrecy(singles, phi, discarded_bits)


def _law_of(plan: SessionPlan) -> Callable[[GatheredBlock, SessionPlan, int, int], SecretLength]:
    if plan.is_entangled:
        return _of_pairs
    return _of_three_states if plan.is_three_state else _of_decoys


def _of_three_states(block: GatheredBlock, plan: SessionPlan, leak_bits: int, tag_bits: int) -> SecretLength:
    """One test state: the other one's errors come from crossed detections, see ``keyrate.three_state``."""
    counts = block.counts
    if not isinstance(counts, ThreeStateCounts):
        raise LocalProtocolError(f"link {plan.link}: counts of a three-state link without crossed detections")
    return three_state_length(
        counts,
        intensities=(plan.intensities[0], plan.intensities[1], plan.intensities[2]),
        p_intensities=(plan.p_intensities[0], plan.p_intensities[1], plan.p_intensities[2]),
        p_x=plan.p_x,
        leak_bits=leak_bits,
        tag_bits=tag_bits,
        epsilon_sec=plan.epsilon_sec,
        epsilon_cor=plan.epsilon_cor,
    )


def _of_pairs(block: GatheredBlock, plan: SessionPlan, leak_bits: int, tag_bits: int) -> SecretLength:
    """Every coincidence is a pair of qubits: all count, see ``keyrate.bbm92``."""
    return pair_secret_length(
        n=block.counts.total_x,
        k=block.counts.total_z,
        errors=block.counts.errors_z,
        leak_bits=leak_bits,
        tag_bits=tag_bits,
        epsilon_sec=plan.epsilon_sec,
        epsilon_cor=plan.epsilon_cor,
    )


def _of_decoys(block: GatheredBlock, plan: SessionPlan, leak_bits: int, tag_bits: int) -> SecretLength:
    return secret_length(
        block.counts,
        intensities=(plan.intensities[0], plan.intensities[1], plan.intensities[2]),
        p_intensities=(plan.p_intensities[0], plan.p_intensities[1], plan.p_intensities[2]),
        leak_bits=leak_bits,
        tag_bits=tag_bits,
        epsilon_sec=plan.epsilon_sec,
        epsilon_cor=plan.epsilon_cor,
    )


def reason_to_stop(block: GatheredBlock, plan: SessionPlan) -> AbortReason | None:
    """Whether a key block is hopeless before a single parity is spent on it."""
    if block.size_bits < 2:
        return AbortReason.TOO_SMALL
    if block.size_bits >= SIFTED_BITS_MAX:
        return AbortReason.TOO_LARGE
    qber = block.qber_z
    if qber is None:
        return AbortReason.NO_TEST_BITS
    if qber > QBER_HOPELESS:
        return AbortReason.QBER_HOPELESS
    expected = math.floor(LEAK_EXPECTED * block.size_bits * binary_entropy(qber))
    return None if estimate(block, plan, expected).length_bits else AbortReason.NOTHING_PROVEN


def sentence(reason: AbortReason, block: GatheredBlock, plan: SessionPlan, leak_bits: int) -> str:
    """Why, for people, with this end's own numbers."""
    qber = "none" if block.qber_z is None else f"{100 * block.qber_z:.2f} %"
    size = f"{block.size_bits} sifted bits"
    match reason:
        case AbortReason.NO_TEST_BITS:
            return f"no test bits among {size}: nothing is known about the channel"
        case AbortReason.QBER_HOPELESS:
            return f"QBER too high: {qber} in Z, no key above {100 * QBER_HOPELESS:.0f} %"
        case AbortReason.NOTHING_PROVEN:
            proof = estimate(block, plan, leak_bits).proof
            return (
                f"the proof gives nothing: phase error bound {proof.phase_error_bound:.3f}, "
                f"single photons at least {proof.single_photon_bound:.0f} of {size}, QBER {qber}, leak {leak_bits}"
            )
        case AbortReason.LEAK_EXCEEDED:
            return f"reconciliation disclosed {leak_bits} bits of {size}: QBER {qber} in Z was no guide"
        case AbortReason.NOT_EQUAL:
            return f"verification: the two keys of {size} are not equal after reconciliation"
        case AbortReason.INEXACT:
            return f"privacy amplification of {size} was not exact; smaller key blocks are"
        case AbortReason.TOO_LARGE:
            return f"a key block of {size} is more than one message can amplify"
        case AbortReason.TOO_SMALL:
            return f"only {size} in {text_from_ns(block.end_ns - block.start_ns)}"
