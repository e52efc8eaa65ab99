"""The life of a key at one site: its states, what moves it, who may cause that. One table; all else derives from it.

What the pieces of the store are (``PIECE_STATES``), what the ledger counts (``ledger.Fate``) and the picture in the
docs come from here. A step that is not in the table is a mistake of ours and raises, before anything changed.

Delivered, spent, expired, compromised and destroyed are ends: the bits are erased in the transaction that enters
them, and nothing leads out. They differ in why, which is what an auditor asks.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from qanat.core.errors import LocalProtocolError
from qanat.km.store import PieceState


class KeyState(StrEnum):
    """Where a stretch of key stands at one site."""

    PRE_ACTIVE = "pre-active"  # stored; the other end has not yet said that it holds it too
    ACTIVE = "active"  # both ends hold it; its owner may give it out
    GRANTED = "granted"  # its master has it, or an application asked for it here; one slave at this site may fetch it
    DELIVERED = "delivered"  # it left to an application, once
    SPENT = "spent"  # it protected a relayed key as pad or tag key, once
    EXPIRED = "expired"  # nobody wanted it in its lifetime
    COMPROMISED = "compromised"  # an alarm condemned the light that it grew from
    DESTROYED = "destroyed"  # refused, lost at the other end, timed out, or too short to be a key


class KeyEvent(StrEnum):
    """What moves a key."""

    CONFIRM = "confirm"  # the other KME says that it holds the same
    GRANT = "grant"  # the KME that owns the key gave it to a master
    DELIVER = "deliver"  # an answer to an application that may have it, made durable before it leaves
    SPEND = "spend"  # a relay at this site took it for a hop
    EXPIRE = "expire"  # the instant agreed by both ends has come, here or there
    CONDEMN = "condemn"  # the controller's quarantine, or the word of a KME at an end of the link
    GIVE_UP = "give up"  # this KME or the other one: sizes differ, no confirmation in time, left-over bytes


class Step(NamedTuple):
    """One row of the table.

    Attributes:
        who: May cause it.
        then: What it means for delivery.
    """

    state: KeyState
    event: KeyEvent
    to: KeyState
    who: str
    then: str


_S, _E = KeyState, KeyEvent
_NEVER = "never delivered from now on"

TABLE: Final[tuple[Step, ...]] = (
    Step(_S.PRE_ACTIVE, _E.CONFIRM, _S.ACTIVE, "the other KME", "its owner may give it out"),
    Step(_S.PRE_ACTIVE, _E.EXPIRE, _S.EXPIRED, "the clock of either KME", _NEVER),
    Step(_S.PRE_ACTIVE, _E.CONDEMN, _S.COMPROMISED, "controller, KME at an end of the link", _NEVER),
    Step(_S.PRE_ACTIVE, _E.GIVE_UP, _S.DESTROYED, "either KME", _NEVER),
    Step(_S.ACTIVE, _E.GRANT, _S.GRANTED, "the owner's KME", "only the slave named may have it"),
    Step(_S.ACTIVE, _E.DELIVER, _S.DELIVERED, "a master at the owner's site", "never again to a master"),
    Step(_S.ACTIVE, _E.SPEND, _S.SPENT, "a relay over the link", _NEVER),
    Step(_S.ACTIVE, _E.EXPIRE, _S.EXPIRED, "the clock of either KME", _NEVER),
    Step(_S.ACTIVE, _E.CONDEMN, _S.COMPROMISED, "controller, KME at an end of the link", _NEVER),
    Step(_S.ACTIVE, _E.GIVE_UP, _S.DESTROYED, "either KME", _NEVER),
    Step(_S.GRANTED, _E.DELIVER, _S.DELIVERED, "the slave that was named", "never again to a slave"),
    Step(_S.GRANTED, _E.EXPIRE, _S.EXPIRED, "the clock of either KME", _NEVER),
    Step(_S.GRANTED, _E.CONDEMN, _S.COMPROMISED, "controller, KME at an end of the link", _NEVER),
    Step(_S.GRANTED, _E.GIVE_UP, _S.DESTROYED, "either KME", _NEVER),
)

ENDS: Final = frozenset(KeyState) - {step.state for step in TABLE}

PIECE_STATES: Final = {PieceState.WAITING: KeyState.PRE_ACTIVE, PieceState.READY: KeyState.ACTIVE}

_TO: Final = {(step.state, step.event): step.to for step in TABLE}
_LEGAL: Final = frozenset((step.state, step.to) for step in TABLE)


def after(state: KeyState, event: KeyEvent) -> KeyState:
    """The state that follows.

    Raises:
        LocalProtocolError: the table has no such step.

    Example:
        >>> after(KeyState.ACTIVE, KeyEvent.CONDEMN)
        <KeyState.COMPROMISED: 'compromised'>
    """
    try:
        return _TO[state, event]
    except KeyError:
        raise LocalProtocolError(f"a key that is {state} cannot {event}") from None


def check_step(state: KeyState, to: KeyState) -> None:
    """Returns when some event leads from one to the other.

    Raises:
        LocalProtocolError: none does.
    """
    if (state, to) not in _LEGAL:
        raise LocalProtocolError(f"a key that is {state} cannot become {to}")
