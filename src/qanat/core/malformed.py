"""What decoding raises for bytes that are no message. Catch all of it wherever the bytes are somebody else's."""

from __future__ import annotations

import msgspec

# msgspec has words of its own for most of it; text that is no UTF-8, and a thousand levels, it leaves to Python.
MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
