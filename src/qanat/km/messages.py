"""What KMEs say to each other. None of it is secret: relayed keys are under a one-time pad."""

from __future__ import annotations

from typing import Annotated

import msgspec

from qanat.core.ids import BlockId, KeyId, LinkId, SaeId, SiteId
from qanat.core.provenance import Provenance
from qanat.km.store import Source
from qanat.km.stream_messages import StreamClosed, StreamOpen, StreamWanted

# Far above anything real, far below what a 64-bit column holds.
Natural = Annotated[int, msgspec.Meta(ge=0, le=2**53)]

Instant = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]  # ns of the wall clock

# The reasons that also take back keys already granted.
REASON_QUARANTINED = "quarantined"
REASON_EXPIRED = "expired"


class Have(msgspec.Struct, tag="have", array_like=True, frozen=True):
    """I hold this block of our link too: give out what you own of it. It also says when a block or relay ends.

    Attributes:
        expires_ns: When it ends by the sender's clock; both sites keep the earlier of the two instants.
    """

    parent: BlockId
    size_bytes: Natural
    expires_ns: Instant | None = None


class Gone(msgspec.Struct, tag="gone", array_like=True, frozen=True):
    """I do not hold this block or relay (any more): give out nothing of it."""

    parent: BlockId
    reason: str


class Condemned(msgspec.Struct, tag="condemned", array_like=True, frozen=True):
    """The light of a link that ends at my site is condemned since then, by the command of this revision."""

    link: LinkId
    since_ns: Instant
    revision: Natural


class Lost(msgspec.Struct, tag="lost", array_like=True, frozen=True):
    """I destroyed all key that we shared until now: give out nothing of it."""

    reason: str


class Grant(msgspec.Struct, array_like=True, frozen=True):
    """One key that a master at my site was given; its slave at yours may fetch it."""

    key_id: KeyId
    piece: BlockId
    offset: Natural
    size_bytes: Natural
    master: SaeId
    slave: SaeId


class Granted(msgspec.Struct, tag="granted", array_like=True, frozen=True):
    grants: list[Grant]


class Hop(msgspec.Struct, tag="hop", array_like=True, frozen=True):
    """A key on its way over one hop: an encoded ``HopHeader``, then cipher and tag."""

    header: bytes
    sealed: bytes


class Range(msgspec.Struct, array_like=True, frozen=True):
    """Bytes of a piece that are spent by this hop."""

    piece: BlockId
    offset: Natural
    size_bytes: Natural


class Trail(msgspec.Struct, array_like=True, frozen=True):
    """What one hop of a relayed key rests on."""

    link: LinkId
    sources: tuple[Source, ...]
    provenance: Provenance


class HopHeader(msgspec.Struct, array_like=True, frozen=True):
    """What the next node must believe about a relayed key; the hop's tag covers it.

    Attributes:
        route: Links from origin to target.
        trail: One entry per hop, up to and including this one.
        pads: Ranges whose bytes, joined, are the pad.
        tag_key: Range of the 32 bytes that key the tag.
    """

    relay: BlockId
    origin: SiteId
    target: SiteId
    route: tuple[LinkId, ...]
    size_bytes: Natural
    trail: tuple[Trail, ...]
    pads: tuple[Range, ...]
    tag_key: Range


class Copies(msgspec.Struct, tag="copies", array_like=True, frozen=True):
    """Keys for several SAEs: an encoded ``CopiesHeader``; cipher and tag, or nothing at the lead site."""

    header: bytes
    sealed: bytes


class CopiesHeader(msgspec.Struct, array_like=True, frozen=True):
    """Keys that a master at my site was given, and which SAEs at yours may fetch them.

    Attributes:
        batch: One name at all slave sites.
        sources, provenance: What the whole batch rests on, at every site.
        ranges: At the lead site one range per key, else the pad.
        tag_key: Range of the 32 bytes that key the tag; None at the lead site.
    """

    batch: BlockId
    key_ids: tuple[KeyId, ...]
    size_bytes: Natural
    master: SaeId
    slaves: tuple[SaeId, ...]
    sources: tuple[Source, ...]
    provenance: Provenance
    ranges: tuple[Range, ...]
    tag_key: Range | None


class RelayDone(msgspec.Struct, tag="relay_done", array_like=True, frozen=True):
    """Target to origin: stored. ``tag`` authenticates ``trail`` with the key that came inside the payload."""

    relay: BlockId
    trail: tuple[Trail, ...]
    tag: bytes


class RelayFailed(msgspec.Struct, tag="relay_failed", array_like=True, frozen=True):
    """Somebody on the way to origin: this relay ends here."""

    relay: BlockId
    reason: str


Message = (
    Have
    | Gone
    | Lost
    | Condemned
    | Granted
    | Hop
    | Copies
    | RelayDone
    | RelayFailed
    | StreamOpen
    | StreamWanted
    | StreamClosed
)


class Frame(msgspec.Struct, array_like=True, frozen=True):
    """One datagram between two KMEs.

    Attributes:
        stream: Name of the sender's outbox; another name means that it lost its store.
        oldest: Number of the oldest message that the sender still keeps.
        number: Number of the first message in this frame.
        ack_stream, ack_number: The last message of the receiver's stream that was processed here.
    """

    version: Natural
    stream: bytes
    oldest: Natural
    number: Natural
    messages: list[bytes]
    ack_stream: bytes
    ack_number: Natural


_encoder = msgspec.msgpack.Encoder()
_frame_decoder = msgspec.msgpack.Decoder(Frame)
_message_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
_header_decoder = msgspec.msgpack.Decoder(HopHeader)
_copies_decoder = msgspec.msgpack.Decoder(CopiesHeader)


def encoded(value: object) -> bytes:
    return _encoder.encode(value)


def frame_from_bytes(data: bytes) -> Frame:
    """Raises: msgspec.DecodeError."""
    return _frame_decoder.decode(data)


def message_from_bytes(data: bytes) -> Message:
    """Raises: msgspec.DecodeError."""
    return _message_decoder.decode(data)


def header_from_bytes(data: bytes) -> HopHeader:
    """Raises: msgspec.DecodeError."""
    return _header_decoder.decode(data)


def copies_header_from_bytes(data: bytes) -> CopiesHeader:
    """Raises: msgspec.DecodeError."""
    return _copies_decoder.decode(data)
