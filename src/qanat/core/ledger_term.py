"""One line in the derivation of a key block's length."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthTerm:
    """What was counted, spent or disclosed, and what it adds to the length or takes from it.

    Attributes:
        name: What it is, for people.
        value: As counted: bits, a rate or a probability, as the name says.
        enters_bits: Added to the length; negative where it costs, 0 where it is only told. Whole multiples of
            2**-20 bit, so that the terms of a made block sum up to its ``secret_bits`` to the last digit.
        source: Where the rule comes from.
    """

    name: str
    value: float
    enters_bits: float
    source: str
