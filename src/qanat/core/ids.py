"""Names of things. All are strings in a network file; the types keep them apart."""

from __future__ import annotations

import uuid
from typing import NewType

SiteId = NewType("SiteId", str)
FibreId = NewType("FibreId", str)
LinkId = NewType("LinkId", str)
SaeId = NewType("SaeId", str)
BlockId = NewType("BlockId", str)  # "<link>/<epoch>/<number>" for QKD, "relay/<uuid>" for relayed
KeyId = uuid.UUID


def block_id(link: LinkId, epoch: int, number: int) -> BlockId:
    """The name of one key block; both ends of the link derive the same one."""
    return BlockId(f"{link}/{epoch}/{number}")
