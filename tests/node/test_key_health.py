"""A link end tells the hub when a key block looks broken, and stores it all the same."""

from __future__ import annotations

import os
from typing import Any

from qanat.core.ids import BlockId, LinkId
from qanat.core.provenance import Authentication, Origin, Provenance
from qanat.core.records import KeyBlock, Role
from qanat.core.secret import SecretBits
from qanat.node.messages import Note
from qanat.node.processes.link_end import LinkEnd


class Box:
    """Keeps what it is given, as hub and as outlet."""

    id = LinkId("a-b")

    def __init__(self) -> None:
        self.held: list[Any] = []
        self.send = self.put = self.held.append


def block(data: bytes) -> KeyBlock:
    made = Provenance(
        origin=Origin.QKD,
        links=(LinkId("a-b"),),
        authentication=Authentication.PRE_SHARED,
        epsilon_total=1e-10,
        simulated=True,
    )
    return KeyBlock(
        link=LinkId("a-b"), block=BlockId("a-b/1/7"), start_ns=0, end_ns=1, bits=SecretBits(data), provenance=made
    )


def test_a_broken_block_is_told_without_its_bits_and_a_sound_one_is_not() -> None:
    hub, outlet, link = Box(), Box(), Box()
    end: Any = LinkEnd(link=link, role=Role.RECEIVER, reserve=Box(), outlet=outlet, hub=hub)  # type: ignore[arg-type]
    end._handle(block(os.urandom(1000)))
    assert hub.held == []
    end._handle(block(b"\x5b" * 1000))
    (note,) = hub.held
    assert isinstance(note, Note)
    assert note.text.startswith("link a-b: key block a-b/1/7 looks broken: ")
    assert "5b" not in note.text
    assert len(outlet.held) == 2
