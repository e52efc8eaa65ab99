"""The ways to reconcile, and which one a key block takes. What is chosen travels as a number and its parameters."""

from __future__ import annotations

from enum import IntEnum

from qanat.core.errors import RemoteProtocolError
from qanat.distill.cascade.reconciler import Reconciler
from qanat.distill.cascade.schedule import Pace, schedule_from_qber, schedule_from_sizes
from qanat.distill.gather import GatheredBlock
from qanat.distill.in_flight import BYTES_PER_BIT
from qanat.distill.ldpc.parameters import ldpc_parameters
from qanat.distill.ldpc.reconciler import LdpcReconciler
from qanat.distill.plan import SessionPlan
from qanat.distill.rounds import Rounds
from qanat.distill.sift import Bits

SEED_BYTES = 16
ROUND_CPU_NS = 300_000  # of both ends, for a round's messages, at most; bench/cascade.py: 170_000 with all else
SHARE_FOR_ROUNDS = 0.1  # of the time a key block's light takes, at most, for the messages of a slower pace


class Method(IntEnum):
    """Its number in ``messages.Reconcile``."""

    CASCADE = 1
    LDPC = 2


def chosen(block: GatheredBlock, plan: SessionPlan, round_trip_ns: int) -> tuple[Method, bytes]:
    """What the transmitter proposes, from the estimated error rate, the link's rate and its round-trip time.

    Cascade discloses less and is faster, but needs hundreds of rounds. LDPC is taken where the link makes more key
    during those than open key blocks may hold: there Cascade would make light wait. Where LDPC does not suit, Cascade.
    """
    qber = block.qber_z or 0.0
    if plan.reconciliation == "ldpc" or (
        plan.reconciliation == "auto" and _outruns_cascade(block, plan, round_trip_ns)
    ):
        parameters = ldpc_parameters(block.size_bits, qber, round_trip_ns)
        if parameters is not None:
            return Method.LDPC, parameters
    is_asked = plan.reconciliation == "cascade-low-leak"
    pace = Pace.LOW_LEAK if is_asked else pace_for(block.end_ns - block.start_ns, round_trip_ns)
    return Method.CASCADE, bytes(schedule_from_qber(block.size_bits, qber, pace=pace).log2_sizes)


def pace_for(lasted_ns: int, round_trip_ns: int) -> Pace:
    """The least leak whose rounds are done before the next key block's light is in, without keeping a core busy.

    Example:
        >>> [pace_for(lasted_ns, 1_000_000).name for lasted_ns in (10**9, 4 * 10**9, 10**11)]
        ['FEW_ROUNDS', 'BALANCED', 'LOW_LEAK']
    """
    for pace in (Pace.LOW_LEAK, Pace.BALANCED):
        rounds_count = pace.rounds_typical
        is_in_time = rounds_count * round_trip_ns / 2 <= lasted_ns
        if is_in_time and rounds_count * ROUND_CPU_NS <= SHARE_FOR_ROUNDS * lasted_ns:
            return pace
    return Pace.FEW_ROUNDS


def rounds(method: int, parameters: bytes, seed: bytes, *, bits: Bits, is_reference: bool, plan: SessionPlan) -> Rounds:
    """This end of what the transmitter proposed.

    Raises:
        RemoteProtocolError: no honest transmitter proposes this.
    """
    if len(seed) != SEED_BYTES:
        raise RemoteProtocolError(f"a seed of {len(seed)} bytes for reconciliation; it has {SEED_BYTES}")
    if method == Method.LDPC and not plan.reconciliation.startswith("cascade"):
        return LdpcReconciler(bits, is_reference=is_reference, parameters=parameters, seed=seed)
    schedule = schedule_from_sizes(len(bits), parameters) if method == Method.CASCADE else None
    if schedule is None:
        raise RemoteProtocolError(f"no honest transmitter reconciles by method {method} with such parameters")
    return Reconciler(bits, is_reference=is_reference, schedule=schedule, seed=seed)


def _outruns_cascade(block: GatheredBlock, plan: SessionPlan, round_trip_ns: int) -> bool:
    lasted_ns = max(1, block.end_ns - block.start_ns)
    made_meanwhile_bits = block.size_bits * Pace.FEW_ROUNDS.rounds_typical / 2 * round_trip_ns / lasted_ns
    return made_meanwhile_bits > plan.in_flight_bytes_max / BYTES_PER_BIT
