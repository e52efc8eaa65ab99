"""How two ends meet: who are you, and do we hold copies of one secret file?

Anybody can connect to an open port. Each end says what it is, with a fresh nonce; each then shows by an HMAC over both
greetings that it holds the door key. Only after that a slice of the pre-shared secret is spent, its number being the
later of the two ends' next ones: a stranger can neither spend slices nor name their number. This guards the
reserve and gives clear sentences. The keys' authenticity rests on the tags of every key block, not on this
(docs/decisions/0030).
"""

from __future__ import annotations

import asyncio
import hmac
import os
from dataclasses import dataclass

import msgspec

from qanat import __version__
from qanat.core.errors import QanatError, RemoteProtocolError
from qanat.core.ids import LinkId
from qanat.core.records import Role
from qanat.core.secret import SecretBits
from qanat.node.wire import Codec, read_frame, write_frame

PROTOCOL = 1
NONCE_BYTES = 16
PATIENCE_S = 10.0
GREETING_BYTES_MAX = 4096
WORDS = {Role.TRANSMITTER: "transmitter", Role.RECEIVER: "receiver"}


class PeerDiffers(QanatError):
    """The two ends are not those of one link as both network files describe it. Give both the same file and link, and
    one of them --role tx, the other --role rx."""


class PeerUnproven(QanatError):
    """The peer did not show that it holds a copy of our pre-shared secret. Nothing was spent on it."""


class Greeting(msgspec.Struct, tag="greeting", frozen=True):
    """First frame of each end.

    Attributes:
        protocol: Of this conversation; the ends must agree.
        version: Of the program, for people.
        plan_digest: Of all that both ends must know of the link, whatever the session.
        next_epoch: Number of the next slice that this end has not spent.
        is_simulated: This end's light is.
    """

    protocol: int
    version: str
    link: LinkId
    role: int
    plan_digest: bytes
    next_epoch: int
    is_simulated: bool
    nonce: bytes


class Proof(msgspec.Struct, tag="proof", frozen=True):
    """Second frame of each end: HMAC-SHA256 under the door key."""

    tag: bytes


DOOR: Codec[Greeting | Proof] = Codec(Greeting | Proof)


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the two ends agreed on at the door."""

    epoch: int
    is_simulated: bool


def greeting(*, link: LinkId, role: Role, plan_digest: bytes, next_epoch: int, is_simulated: bool) -> Greeting:
    """Ours, with a fresh nonce."""
    nonce = os.urandom(NONCE_BYTES)
    return Greeting(PROTOCOL, __version__, link, int(role), plan_digest, next_epoch, is_simulated, nonce)


async def meet(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ours: Greeting, door_key: SecretBits
) -> Agreement:
    """Greet and prove, at both ends alike.

    Raises:
        PeerDiffers: another link, role, plan or protocol.
        PeerUnproven: it does not hold our secret, or goes away when it should show so.
        RemoteProtocolError: it talks nonsense, or says nothing in time.
    """
    own_frame = DOOR.encode(ours)
    write_frame(writer, own_frame)
    their_frame = await _frame(reader)
    if their_frame is None:
        raise RemoteProtocolError("it closed the connection without a greeting")
    theirs = DOOR.decode(their_frame)
    if not isinstance(theirs, Greeting):
        raise RemoteProtocolError("it did not begin with a greeting")
    _compare(ours, theirs)
    write_frame(writer, DOOR.encode(Proof(_proof(door_key, ours.role, own_frame, their_frame))))
    answer = await _frame(reader)
    proof = DOOR.decode(answer) if answer is not None else None
    expected = _proof(door_key, theirs.role, their_frame, own_frame)
    if not isinstance(proof, Proof) or not hmac.compare_digest(proof.tag, expected):
        raise PeerUnproven("the two ends do not hold copies of one pre-shared secret")
    return Agreement(max(ours.next_epoch, theirs.next_epoch), ours.is_simulated or theirs.is_simulated)


async def _frame(reader: asyncio.StreamReader) -> bytes | None:
    try:
        return await asyncio.wait_for(read_frame(reader, GREETING_BYTES_MAX), PATIENCE_S)
    except TimeoutError:
        raise RemoteProtocolError(f"it said nothing for {PATIENCE_S:g} s") from None


def _compare(ours: Greeting, theirs: Greeting) -> None:
    if theirs.protocol != ours.protocol:
        raise PeerDiffers(
            f"the peer (qanat {theirs.version[:40]!a}) speaks version {theirs.protocol} of this conversation, we "
            f"(qanat {ours.version}) speak {ours.protocol}"
        )
    if theirs.link != ours.link:
        raise PeerDiffers(f"the peer is an end of link {theirs.link[:80]!a}, we are one of link {ours.link}")
    if theirs.role not in set(Role) or theirs.role == ours.role:
        role = WORDS[Role(theirs.role)] if theirs.role in set(Role) else "something unknown"
        raise PeerDiffers(f"link {ours.link}: both ends are {role}")
    if theirs.plan_digest != ours.plan_digest:
        raise PeerDiffers(
            f"link {ours.link}: the two network files or datasheets describe it differently, or the programs differ "
            f"(peer: qanat {theirs.version[:40]!a}, we: qanat {ours.version})"
        )
    if not 0 < theirs.next_epoch < 2**32 or len(theirs.nonce) != NONCE_BYTES:
        raise RemoteProtocolError("a greeting with numbers that cannot be")


def _proof(door_key: SecretBits, role: int, own: bytes, other: bytes) -> bytes:
    """Bound to the prover's role and both greetings, so that no proof serves another end or another time."""
    said = b"".join(len(part).to_bytes(4) + part for part in (b"qanat door", bytes([role]), own, other))
    return hmac.digest(door_key.reveal(), said, "sha256")
