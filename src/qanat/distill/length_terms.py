"""The derivation of one key block's length, term by term: what ``qanat link show LINK --block N`` prints."""

from __future__ import annotations

import math
from typing import Final

from qanat.core.ledger_term import LengthTerm
from qanat.distill.authenticate import RETURNED_BYTES
from qanat.distill.estimate import Estimate
from qanat.distill.gather import GatheredBlock
from qanat.distill.release import TOKEN_BYTES
from qanat.keyrate.three_state import ThreeStateCounts

GRAIN = 2.0**20  # terms are rounded down to its inverse: sums of them are exact in floating point

_LIM = "Lim et al. 2014, eq. (1)"
_HOW: Final = {  # proof's term -> (name, source)
    "single_photon": ("single-photon detections in X, lower bound", "Lim et al. 2014, eq. (3)"),
    "sifted": ("coincidences in X", "Tomamichel et al. 2012"),
    "phase_error": ("what their phase errors may tell", f"{_LIM} and (5); docs/decisions/0007"),
    "reconciliation": ("parities of the transmitter's key disclosed", "counted at both ends"),
    "verification": ("verification: tags, or log2(2/epsilon_cor) where that is more", _LIM),
    "secrecy": ("price of the failure probability epsilon_sec", _LIM),
}
_THREE = "three states: docs/decisions/0043"
_OF_THREE_STATES: Final = {
    "phase_error": ("what their phase errors may tell", _THREE),
    "secrecy": ("price of the failure probability epsilon_sec", _THREE),
}


def length_terms(block: GatheredBlock, estimate: Estimate, *, discard_loss: float, is_made: bool) -> list[LengthTerm]:
    """The terms; those of a made block sum up to the bits handed on, exactly."""
    proof = estimate.proof
    how = _HOW | (_OF_THREE_STATES if isinstance(block.counts, ThreeStateCounts) else {})
    terms = [
        _term("vacuum detections in X, lower bound: not credited", proof.vacuum_bound, 0.0, "docs/decisions/0011"),
        *(_term(how[key][0], value, value, how[key][1]) for key, value in proof.terms.items() if key in how),
    ]
    if discard_loss:
        terms.append(_term("frames thrown away by verification", discard_loss, -discard_loss, "docs/decisions/0023"))
    if is_made:
        terms += _closing(estimate, terms)
    return terms + _told(block, proof.phase_error_bound, how["phase_error"][1])


def _closing(estimate: Estimate, terms: list[LengthTerm]) -> list[LengthTerm]:
    """Rounding to whole bytes, and what is taken from the new key before it is handed on."""
    cut = estimate.length_bits - math.fsum(term.enters_bits for term in terms)
    returned, token = 8 * RETURNED_BYTES, 8 * TOKEN_BYTES
    return [
        LengthTerm(name="rounding down to whole bytes", value=cut, enters_bits=cut, source="docs/decisions/0007"),
        _term("authentication key put back for what was spent", returned, -returned, "both directions' tags"),
        _term("release token, shown in public", token, -token, "docs/decisions/0014"),
    ]


def _told(block: GatheredBlock, phase_error_bound: float, source: str) -> list[LengthTerm]:
    """What was disclosed without touching the length, because it is paid for or never was secret."""
    return [
        _term("phase error rate, upper bound", phase_error_bound, 0.0, source),
        _term("test bits announced by either end", block.counts.total_z, 0.0, "no part of the key"),
        *_crossed(block),
        _term("error pattern, told by the receiver's answers", block.size_bits, 0.0, "docs/decisions/0011"),
    ]


def _crossed(block: GatheredBlock) -> list[LengthTerm]:
    counts = block.counts
    if not isinstance(counts, ThreeStateCounts):
        return []
    name = "bits of crossed detections announced by the receiver"
    return [_term(name, sum(counts.n_c), 0.0, "no part of the key; " + _THREE)]


def _term(name: str, value: float, enters_bits: float, source: str) -> LengthTerm:
    return LengthTerm(name=name, value=float(value), enters_bits=math.floor(enters_bits * GRAIN) / GRAIN, source=source)
