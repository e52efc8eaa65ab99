"""What the two ends say to each other: small tagged arrays in MessagePack, columns as packed bytes.

Bits are packed most significant bit first. Nothing here is trusted on receipt: sizes are judged where the
meaning is known (``sift.py``, ``transmit.py``, ``obtain.py``), content by the tags at the end of a key block.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from qanat.core.errors import RemoteProtocolError
from qanat.core.health import ReceiverHealth, TransmitterHealth
from qanat.core.malformed import MALFORMED

# A pulse block of a million detections, or the Toeplitz seed of a key block of 8 million bits.
MESSAGE_BYTES_MAX = 4 * 2**20


class Message(msgspec.Struct, frozen=True, array_like=True, tag_field="kind", forbid_unknown_fields=True):
    """One thing said."""


class Hello(Message, tag=0, frozen=True):
    """Each end, first of all."""

    plan_digest: bytes


class Detections(Message, tag=1, frozen=True):
    """Receiver: in these slots of this pulse block I saw something, in these bases.

    ``slots`` are gaps, see ``sift.py``; ``bases`` one bit per detection; ``health`` see ``health.py``.
    """

    number: int
    start_ns: int
    n_pulses: int
    double_click_count: int
    slots: bytes
    bases: bytes
    health: ReceiverHealth | None


class Sifted(Message, tag=2, frozen=True):
    """Transmitter: of these I prepared the same basis.

    ``kept`` one bit per detection; ``intensity_low`` and ``intensity_high`` one bit per kept detection, and then, on
    three-state links, per crossed one (measured in Z, prepared in X); ``z_bits`` what was prepared in those of Z.
    """

    number: int
    kept: bytes
    intensity_low: bytes
    intensity_high: bytes
    z_bits: bytes
    health: TransmitterHealth | None


class TestBits(Message, tag=3, frozen=True):
    """Receiver: and this is what I measured in those of Z, and then, on three-state links, in the crossed ones."""

    number: int
    z_bits: bytes


class Reconcile(Message, tag=4, frozen=True):
    """Transmitter: let us reconcile this key block in this way; see ``methods.py``."""

    block: int
    method: int
    parameters: bytes
    seed: bytes


class Parities(Message, tag=5, frozen=True):
    """Each end in each round: the parities of the blocks that both know to come next."""

    block: int
    bits: bytes


class GiveUp(Message, tag=6, frozen=True):
    """Transmitter: this key block yields nothing. ``reason`` is an ``AbortReason``."""

    block: int
    reason: int


class Check(Message, tag=7, frozen=True):
    """Transmitter: these are the hashes of my frames, under a hash key drawn just now."""

    block: int
    hash_key: bytes
    tags: bytes


class Checked(Message, tag=8, frozen=True):
    """Receiver: mine have the same, or not; one bit per frame."""

    block: int
    equal: bytes


class Amplify(Message, tag=9, frozen=True):
    """Transmitter: we shorten the key to this many bits with this Toeplitz seed."""

    block: int
    out_bits: int
    seed: bytes


class Tag(Message, tag=10, frozen=True):
    """Each end, once per key block: the authentication tag of everything said about it."""

    block: int
    tag: bytes


class Released(Message, tag=11, frozen=True):
    """Transmitter: your tag fits, the key is yours too. The token is a piece of the key itself."""

    block: int
    token: bytes


KeyBlockMessage = Reconcile | Parities | GiveUp | Check | Checked | Amplify | Tag | Released
AnyMessage = Hello | Detections | Sifted | TestBits | KeyBlockMessage

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyMessage] = msgspec.msgpack.Decoder(AnyMessage)

MessageT = TypeVar("MessageT", bound=Message)


def encoded(message: Message) -> bytes:
    return _encoder.encode(message)


def decoded(data: bytes) -> AnyMessage:
    """The message.

    Raises:
        RemoteProtocolError: it is none.
    """
    try:
        return _decoder.decode(data)
    except MALFORMED as problem:
        raise RemoteProtocolError(f"a message that makes no sense: {type(problem).__name__}") from None
