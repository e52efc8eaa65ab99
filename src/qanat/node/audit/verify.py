"""Is this audit whole? Files, chain, signatures, and the head that the key store remembers."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

import msgspec

from qanat.crypto.signature import SignatureRefused, VerifyingKey
from qanat.node.audit.entry import NO_LINE, Entry, entry_of, hash_of
from qanat.node.audit.files import file_name, files_in
from qanat.node.audit.keys import CONTEXT, signed_words

Head = tuple[int, str]


class Verdict(msgspec.Struct, kw_only=True):
    """What was found.

    Attributes:
        unsigned_entries: After the last checkpoint: chained, and not signed yet.
        problems: Sentences; the audit is whole when there are none.
        notes: What happened in good order and should be known: entries that are void, a line that was torn.
    """

    kme: str
    entries: int = 0
    files: int = 0
    checkpoints: int = 0
    unsigned_entries: int = 0
    head: str = NO_LINE
    signed_by: str = ""
    problems: list[str] = []
    notes: list[str] = []

    @property
    def is_whole(self) -> bool:
        return not self.problems


def verify(folder: Path, kme_id: str, *, key: VerifyingKey, heads: list[Head]) -> Verdict:
    """Read everything.

    Args:
        heads: (number of lines, hash of the last of them) that must be in it: the store's, and any that somebody
            wrote down elsewhere. Read them before the files.
    """
    verdict = Verdict(kme=kme_id, signed_by=key.fingerprint.hex())
    wanted: dict[int, set[str]] = {}
    for count, head in heads:
        wanted.setdefault(count, set()).add(head)
    for index, path in enumerate(files_in(folder)):
        verdict.files += 1
        if path.name != file_name(index):
            verdict.problems.append(f"file {file_name(index)} is missing; {path.name} comes instead")
            break
        data = path.read_bytes()
        if not data.endswith(b"\n") and data:
            verdict.notes.append(f"the last line of {path.name} is not whole (being written, or a crash)")
        for line in data.split(b"\n")[:-1]:
            if not _take(verdict, line, path.name, kme_id, key):
                return verdict
            if wanted.get(verdict.entries, {verdict.head}) != {verdict.head}:
                verdict.problems.append(f"entry {verdict.entries - 1} is not the one remembered elsewhere")
    verdict.problems += [
        f"{count} entries are remembered elsewhere, {verdict.entries} are here: the end was cut off"
        for count in wanted
        if count > verdict.entries
    ]
    return verdict


def _take(verdict: Verdict, line: bytes, name: str, kme_id: str, key: VerifyingKey) -> bool:
    """Whether it makes sense to read on."""
    try:
        entry = entry_of(line)
    except msgspec.DecodeError as error:
        verdict.problems.append(f"{name}: line {verdict.entries} cannot be read: {error}")
        return False
    if entry.n != verdict.entries or entry.prev != verdict.head:
        verdict.problems.append(f"{name}: entry {verdict.entries} does not follow from the one before it")
        return False
    verdict.entries += 1
    verdict.unsigned_entries += 1
    verdict.head = hash_of(line)
    if entry.kind == "checkpoint":
        _check(verdict, entry, kme_id, key)
    elif entry.kind == "broken":
        verdict.problems.append(f"entry {entry.n}: at a start the file was shorter than the store remembered")
    elif entry.kind in ("void", "recovered", "restored"):
        told = ", ".join(f"{field} {value}" for field, value in entry.facts.items())
        verdict.notes.append(f"entry {entry.n}: {entry.kind}, {told}")
    return True


def _check(verdict: Verdict, entry: Entry, kme_id: str, key: VerifyingKey) -> None:
    try:
        signature = base64.b64decode(str(entry.facts.get("signature", "")), validate=True)
        key.verify(signature, signed_words(kme_id, entry.n, entry.at_ns, entry.prev), CONTEXT)
    except (SignatureRefused, binascii.Error, ValueError):
        verdict.problems.append(f"the signature of checkpoint {entry.n} is not by this KME's audit key")
        return
    verdict.checkpoints += 1
    verdict.unsigned_entries = 0
