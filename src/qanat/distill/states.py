"""Where a key block may stand, and what the peer may say then. One table judges both ends.

Our own messages follow the same table from the other side: what one end may hear is what the other may say.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from qanat.core.records import Role
from qanat.distill.messages import (
    Amplify,
    Check,
    Checked,
    GiveUp,
    Message,
    Parities,
    Reconcile,
    Released,
    Tag,
)


class State(StrEnum):
    """How far one end is with one key block."""

    GATHERED = "gathered"  # sifted; the transmitter decides whether it is worth anything
    RECONCILING = "reconciling"  # parities cross, round by round
    VERIFYING = "verifying"  # the transmitter's hash, the receiver's verdict
    AMPLIFYING = "amplifying"  # the receiver waits for the seed
    READY = "ready"  # the transmitter has a new key; its tag waits for those of earlier key blocks
    TAGGING = "tagging"  # tags over the whole conversation
    RELEASING = "releasing"  # the receiver waits for the token
    ENDED = "ended"  # released or given up


HEARABLE: Final[dict[tuple[Role, State], tuple[type[Message], ...]]] = {
    (Role.RECEIVER, State.GATHERED): (Reconcile, GiveUp),
    (Role.RECEIVER, State.RECONCILING): (Parities,),
    (Role.TRANSMITTER, State.RECONCILING): (Parities,),
    (Role.RECEIVER, State.VERIFYING): (Check, GiveUp),
    (Role.TRANSMITTER, State.VERIFYING): (Checked,),
    (Role.RECEIVER, State.AMPLIFYING): (Amplify, GiveUp),
    (Role.RECEIVER, State.TAGGING): (Tag,),
    (Role.TRANSMITTER, State.TAGGING): (Tag,),
    (Role.RECEIVER, State.RELEASING): (Released,),
}
