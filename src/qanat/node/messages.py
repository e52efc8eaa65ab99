"""What the processes of one machine say to each other, over Unix sockets in the private state directory.

Three conversations: QKD module to KME (reference point Kq-1), everybody to the hub (Ck and Mx), and the
receiver's worker to the glass, which stands for fibre and detectors.
"""

from __future__ import annotations

from typing import Any

import msgspec

from qanat.core.alarms import Command
from qanat.core.health import ReceiverHealth
from qanat.core.ids import BlockId, LinkId, SiteId
from qanat.core.provenance import Provenance
from qanat.core.records import KeyBlock
from qanat.core.report import BlockReport, LinkReport
from qanat.core.secret import SecretBits
from qanat.node.wire import Codec


class NewKeyBlock(msgspec.Struct, tag="key_block", frozen=True):
    """Worker to KME. Carries secret bits: only ever written to the site's own Kq-1 socket."""

    link: LinkId
    block: BlockId
    start_ns: int
    end_ns: int
    bits: bytes
    provenance: Provenance

    def __repr__(self) -> str:
        return f"<NewKeyBlock {self.block}>"


class KeyBlockStored(msgspec.Struct, tag="key_block_stored", frozen=True):
    """KME to worker: durable (or refused for good), stop sending it."""

    block: BlockId


class Hello(msgspec.Struct, tag="hello", frozen=True):
    """First frame to the hub: who is calling."""

    process: str
    pid: int
    sites: list[SiteId] = []


class Reported(msgspec.Struct, tag="link_report", frozen=True):
    report: LinkReport


class BlockEnded(msgspec.Struct, tag="block_report", frozen=True):
    report: BlockReport


class StoreStatus(msgspec.Struct, tag="store_report", frozen=True):
    """KME to hub, about once a second. `report` is km's StoreReport as built-in types."""

    site: SiteId
    report: dict[str, Any]


class Note(msgspec.Struct, tag="note", frozen=True):
    """Something for the journal."""

    kind: str
    text: str


class Commanded(msgspec.Struct, tag="command", frozen=True):
    """Hub to KME."""

    command: Command


class AttackOn(msgspec.Struct, tag="attack", frozen=True):
    """Hub to glass: what Eve does to this link from its next pulse block on; empty: nothing."""

    link: LinkId
    attacks: list[dict[str, Any]]


class AdminRequest(msgspec.Struct, tag="ask", frozen=True):
    """Command line to hub."""

    verb: str
    arguments: dict[str, Any] = {}


class AdminReply(msgspec.Struct, tag="answer", frozen=True):
    """`error` is a sentence for the person at the terminal, None when all is well; `exit_code` goes with it."""

    data: Any = None
    error: str | None = None
    exit_code: int = 1


HubMessage = Hello | Reported | BlockEnded | StoreStatus | Note | Commanded | AttackOn | AdminRequest | AdminReply
HUB: Codec[HubMessage] = Codec(HubMessage)
KQ1: Codec[NewKeyBlock | KeyBlockStored] = Codec(NewKeyBlock | KeyBlockStored)


class BlockWanted(msgspec.Struct, tag="want", frozen=True):
    """Receiver's worker to the glass: the next pulse block of this link, please."""

    link: LinkId


class Detections(msgspec.Struct, tag="detections", frozen=True):
    """Glass to the receiver's worker: columns of a DetectionBlock as raw little-endian bytes."""

    link: LinkId
    number: int
    start_ns: int
    n_pulses: int
    index: bytes
    basis: bytes
    bit: bytes
    double_click_count: int
    health: ReceiverHealth | None = None


GLASS: Codec[BlockWanted | Detections] = Codec(BlockWanted | Detections)


def message_from_key_block(block: KeyBlock) -> NewKeyBlock:
    """Reveals the bits: they go to the site's own KME over its private socket and nowhere else."""
    return NewKeyBlock(block.link, block.block, block.start_ns, block.end_ns, block.bits.reveal(), block.provenance)


def key_block_from_message(message: NewKeyBlock) -> KeyBlock:
    return KeyBlock(
        link=message.link,
        block=message.block,
        start_ns=message.start_ns,
        end_ns=message.end_ns,
        bits=SecretBits(message.bits),
        provenance=message.provenance,
    )
