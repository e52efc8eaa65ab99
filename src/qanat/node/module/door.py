"""How two ends meet: who are you, and are you whom we expect?

Anybody can connect to an open port. Each end says what it is, with a fresh nonce. Then each shows who it is, in the way
that both were told to use: that it holds a copy of one secret file (``secret_door.py``), or by a signature
(``signed_door.py``). Before that nothing is spent and no session is begun.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from qanat import __version__
from qanat.core.errors import QanatError, RemoteProtocolError
from qanat.core.ids import LinkId
from qanat.core.provenance import Authentication
from qanat.core.records import Role
from qanat.crypto.wegman_carter import AuthenticationPool
from qanat.node.wire import Codec, read_frame, write_frame

PROTOCOL = 2
NONCE_BYTES = 16
PATIENCE_S = 10.0
GREETING_BYTES_MAX = 4096
MEETING_BYTES_MAX = 8192  # a signature and half a key exchange
WORDS = {Role.TRANSMITTER: "transmitter", Role.RECEIVER: "receiver"}


class PeerDiffers(QanatError):
    """The two ends are not those of one link as both network files describe it. Give both the same file and link, and
    one of them --role tx, the other --role rx."""


class PeerUnproven(QanatError):
    """The peer did not show that it is the other end of this link. Nothing was spent on it."""


class Greeting(msgspec.Struct, tag="greeting", frozen=True):
    """First frame of each end.

    Attributes:
        protocol: Of this conversation; the ends must agree.
        version: Of the program, for people.
        plan_digest: Of all that both ends must know of the link, whatever the session.
        next_epoch: Number of the next slice that this end has not spent.
        is_simulated: This end's light is.
        authentication: How this end wants to know the other; the ends must agree.
    """

    protocol: int
    version: str
    link: LinkId
    role: int
    plan_digest: bytes
    next_epoch: int
    is_simulated: bool
    authentication: str
    nonce: bytes


GREETING: Codec[Greeting] = Codec(Greeting)


class Meeting(Protocol):
    """One end showing the other who it is, after both greetings; without I/O.

    ``receive`` raises a ``QanatError`` when the peer is not whom we expect; ``pool`` gives what the session
    authenticates with, and spends what must be spent, once and after ``is_finished``.
    """

    @property
    def is_finished(self) -> bool: ...

    def frames_to_send(self) -> list[bytes]: ...

    def receive(self, frame: bytes) -> None: ...

    def pool(self) -> AuthenticationPool: ...


class Starter(Protocol):
    """What one end was given to know the other by.

    Attributes:
        sentence: The same for people.
    """

    authentication: Authentication
    sentence: str

    @property
    def last_epoch(self) -> int:
        """Number of the newest session that was begun with it."""

    def meeting(self, *, role: Role, link: LinkId, epoch: int, own: bytes, other: bytes) -> Meeting:
        """With a peer whose greeting is ``other``; ``own`` is ours, both as they travelled."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the two ends agreed on at the door; ``pool`` as in ``Meeting``."""

    epoch: int
    is_simulated: bool
    pool: Callable[[], AuthenticationPool]


def greeting(*, link: LinkId, role: Role, plan_digest: bytes, starter: Starter, is_simulated: bool) -> Greeting:
    """Ours, with a fresh nonce."""
    return Greeting(
        protocol=PROTOCOL,
        version=__version__,
        link=link,
        role=int(role),
        plan_digest=plan_digest,
        next_epoch=starter.last_epoch + 1,
        is_simulated=is_simulated,
        authentication=starter.authentication,
        nonce=os.urandom(NONCE_BYTES),
    )


async def meet(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ours: Greeting, starter: Starter
) -> Agreement:
    """Greet, and show each other who we are, at both ends alike.

    Raises:
        PeerDiffers: another link, role, plan or protocol.
        PeerUnproven, SignatureRefused: it is not whom we expect, or goes away when it should show so.
        RemoteProtocolError: it talks nonsense, or says nothing in time.
    """
    own_frame = GREETING.encode(ours)
    write_frame(writer, own_frame)
    their_frame = await _frame(reader, GREETING_BYTES_MAX)
    if their_frame is None:
        raise RemoteProtocolError("it closed the connection without a greeting")
    theirs = GREETING.decode(their_frame)
    _compare(ours, theirs)
    epoch = max(ours.next_epoch, theirs.next_epoch)
    meeting = starter.meeting(role=Role(ours.role), link=ours.link, epoch=epoch, own=own_frame, other=their_frame)
    while True:
        for frame in meeting.frames_to_send():
            write_frame(writer, frame)
        if meeting.is_finished:
            return Agreement(epoch, ours.is_simulated or theirs.is_simulated, meeting.pool)
        answer = await _frame(reader, MEETING_BYTES_MAX)
        if answer is None:
            raise PeerUnproven("it closed the connection instead of showing who it is")
        meeting.receive(answer)


async def _frame(reader: asyncio.StreamReader, size_bytes_max: int) -> bytes | None:
    try:
        return await asyncio.wait_for(read_frame(reader, size_bytes_max), PATIENCE_S)
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
    if theirs.authentication != ours.authentication:
        raise PeerDiffers(
            f"link {ours.link}: the peer begins from {theirs.authentication[:40]!a}, we from '{ours.authentication}'; "
            "give both ends --secret, or both --identity and --peer"
        )
    if theirs.plan_digest != ours.plan_digest:
        raise PeerDiffers(
            f"link {ours.link}: the two network files or datasheets describe it differently, or the programs differ "
            f"(peer: qanat {theirs.version[:40]!a}, we: qanat {ours.version})"
        )
    if not 0 < theirs.next_epoch < 2**32 or len(theirs.nonce) != NONCE_BYTES:
        raise RemoteProtocolError("a greeting with numbers that cannot be")
