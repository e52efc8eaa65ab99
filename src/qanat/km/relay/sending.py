"""How a payload leaves for the next node: padded, tagged, the pads spent, in one transaction."""

from __future__ import annotations

from qanat.core.ids import SiteId
from qanat.core.secret import SecretBits
from qanat.crypto.one_time_pad import seal_hop
from qanat.km import pads as pads_
from qanat.km.context import Context
from qanat.km.messages import Hop, HopHeader, encoded


def emit(context: Context, node: SiteId, header: HopHeader, pads: pads_.Pads, payload: SecretBits) -> None:
    """Seal it for the node and post it."""
    secrets = pads_.read(context.books, pads)
    data = encoded(header)
    sealed = seal_hop(payload, secrets.pad, secrets.tag_key, data)
    secrets.wipe()
    pads_.spend(context.books, pads)
    context.channel.post(node, Hop(data, sealed))
