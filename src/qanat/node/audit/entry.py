"""One line of the audit: number, time, kind, facts, and the hash of the line before it."""

from __future__ import annotations

import hashlib

import msgspec

# The value of what a line may say. Secret bits fit in none of them: encoding one raises TypeError.
Value = str | int | bool | list[str]

NO_LINE = "0" * 64  # stands before the first line


class Entry(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One entry.

    Attributes:
        n: Counts all lines of this KME from 0, over all files.
        prev: SHA-256 of the line before, in hexadecimal, without its line feed. So each line's hash covers all
            lines before it.
    """

    n: int
    at_ns: int
    kind: str
    facts: dict[str, Value]
    prev: str


_decoder = msgspec.json.Decoder(Entry)


def line_of(entry: Entry) -> bytes:
    """Without the line feed. Raises: TypeError: a fact that is no name, number or list of names."""
    return msgspec.json.encode(entry)


def entry_of(line: bytes) -> Entry:
    """Raises: msgspec.DecodeError."""
    return _decoder.decode(line)


def hash_of(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
