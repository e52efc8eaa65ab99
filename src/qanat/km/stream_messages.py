"""What KMEs say to each other about key streams. The chunks themselves go as grants, like keys of ETSI 014."""

from __future__ import annotations

from typing import Annotated

import msgspec

from qanat.core.ids import KeyId, SaeId
from qanat.km.stream_types import UINT32_MAX, StreamQos

Index = Annotated[int, msgspec.Meta(ge=0, le=UINT32_MAX)]


class StreamOpen(msgspec.Struct, tag="stream_open", array_like=True, frozen=True):
    """The application at my site has opened this stream towards the one at yours."""

    stream: KeyId
    source: SaeId
    destination: SaeId
    qos: StreamQos


class StreamWanted(msgspec.Struct, tag="stream_wanted", array_like=True, frozen=True):
    """The application at my site waits for this index; the owner of the stream sits at yours."""

    stream: KeyId
    index: Index


class StreamClosed(msgspec.Struct, tag="stream_closed", array_like=True, frozen=True):
    """The application at my site has closed it: nothing more is given out at either end."""

    stream: KeyId
