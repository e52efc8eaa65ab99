"""The form of a ``.qlight`` file: magic, version, header, then frames with a checksum each.

    offset 0   8 bytes   magic: 89 51 4C 49 47 48 54 0A ("QLIGHT" between a byte that is no text and a newline)
           8   u16       version, 1
          10   u16       0
          12   u32       size of the header in bytes, at most 65 536
          16   header    JSON, UTF-8: see ``header.py``
           .   u32       CRC-32 of everything before it
    then, frame after frame:
           .   u32       size of the payload in bytes, at most 33 554 432
           .   payload   columns: see ``columns.py``
           .   u32       CRC-32 of size and payload
    and the end mark: a frame whose payload has 0 bytes. Nothing follows it.

All integers are little-endian. CRC-32 (the one of zlib) finds accidents. It finds no forgery: whoever can write the
file can write its checksums, so a recording is only as good as the place it was kept in.
"""

from __future__ import annotations

import struct
import zlib

from qanat.core.errors import QanatError

MAGIC = b"\x89QLIGHT\n"
VERSION = 1
PREAMBLE = struct.Struct("<8sHHI")
WORD = struct.Struct("<I")
HEADER_BYTES_MAX = 65_536
# A pulse block of 5e7 densely recorded settings takes 25 MB, one of 4 million detections 17 MB.
PAYLOAD_BYTES_MAX = 32 * 2**20
# A reader widens each entry to 8 bytes of index: 4 million make 34 MB.
ENTRIES_MAX = 2**22


class RecordingError(QanatError):
    """The recording cannot be read beyond the byte named. What came before it is whole; nothing after it is
    used. docs/reference/recorded-light.md has the form of the file."""


def checksum(*parts: bytes) -> int:
    value = 0
    for part in parts:
        value = zlib.crc32(part, value)
    return value


def framed(payload: bytes) -> bytes:
    """A payload as it stands in the file."""
    size = WORD.pack(len(payload))
    return size + payload + WORD.pack(checksum(size, payload))
