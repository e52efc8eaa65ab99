"""What is told about a key block when it has ended: its key, if there is one, and its ledger."""

from __future__ import annotations

from collections.abc import Sequence

from qanat.core.ledger_term import LengthTerm
from qanat.core.provenance import Authentication, Origin, Provenance
from qanat.core.records import KeyBlock
from qanat.core.report import BlockReport
from qanat.core.secret import SecretBits
from qanat.distill.authenticate import RETURNED_BYTES, TagKeys
from qanat.distill.gather import GatheredBlock
from qanat.distill.plan import SessionPlan
from qanat.distill.release import TOKEN_BYTES
from qanat.keyrate.lim2014 import SecretLength


def key_block(
    block: GatheredBlock, plan: SessionPlan, keys: TagKeys, bits: SecretBits, epsilon: dict[str, float]
) -> KeyBlock:
    """The key with what its secrecy rests on: this one link, how its ends knew each other, what may have failed."""
    return KeyBlock(
        link=plan.link,
        block=plan.block_id(block.number),
        start_ns=block.start_ns,
        end_ns=block.end_ns,
        bits=bits,
        provenance=Provenance(
            origin=Origin.QKD,
            links=(plan.link,),
            authentication=keys.authentication,
            algorithms=keys.algorithms,
            epsilon_total=min(1.0, sum(epsilon.values())),
            simulated=plan.is_simulated,
        ),
    )


def block_report(
    block: GatheredBlock,
    plan: SessionPlan,
    *,
    aborted: str | None,
    error_count: int | None,
    leak_bits: int,
    tag_bits: int,
    secret_bits: int,
    proof: SecretLength | None,
    authentication: Authentication,
    epsilon_authentication: float,
    epsilon_tag_keys: float,
    round_trips: int,
    method: str,
    frames: int,
    frames_failed: int,
    terms: Sequence[LengthTerm],
    now_ns: int,
) -> BlockReport:
    """The ledger of one key block, the same at both ends but for the clock.

    ``leak_bits`` are the disclosed parities of the reference key. Their differences from the receiver's
    are not in it: the error pattern is given to Eve as a whole, and the vacuum term is not credited for
    that (``estimate.py``). ``vacuum_bound`` is shown, not used. ``auth_bits`` includes the release token.
    ``epsilon_tag_keys`` is what the tag keys inherited from the key blocks they came from.
    """
    return BlockReport(
        link=plan.link,
        block=plan.block_id(block.number),
        aborted=aborted,
        first_number=block.first_number,
        last_number=block.last_number,
        start_ns=block.start_ns,
        end_ns=block.end_ns,
        n_pulses=block.n_pulses,
        sifted_bits=block.size_bits,
        qber_x=None if error_count is None else error_count / block.size_bits,
        leak_bits=leak_bits,
        tag_bits=tag_bits,
        authentication=authentication,
        auth_bits=8 * (RETURNED_BYTES + TOKEN_BYTES) if aborted is None else 0,
        secret_bits=secret_bits,
        phase_error_bound=proof.phase_error_bound if proof else None,
        single_photon_bound=proof.single_photon_bound if proof else None,
        vacuum_bound=proof.vacuum_bound if proof else None,
        epsilon={
            "secrecy": plan.epsilon_sec,
            "correctness": plan.epsilon_cor,
            "authentication": epsilon_authentication,
            "tag_keys": epsilon_tag_keys,
        },
        round_trips=round_trips,
        method=method,
        frames=frames,
        frames_failed=frames_failed,
        terms=tuple(terms),
        made_at_ns=now_ns,
    )
