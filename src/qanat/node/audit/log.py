"""The audit log of one KME: lines that are written before the group that they tell of is committed.

Order of one group: its entries are written, the store takes them and the head of the chain into the same transaction
as the keys (``tail.py``), the transaction commits, and then the answers leave. So

- no line, no answer: whatever the file refuses (full, read-only, taken away) ends the group, and callers get 503;
- a line without its commit (a crash between the two) is found at the next start and named in a ``void`` entry;
- lines that the file lost with the power come back from the store, and a ``restored`` entry says so;
- a file that ends before the head that the store remembers, and lacks more than the store still has, was cut: a
  ``broken`` entry says so for ever.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from qanat.core.errors import EnvironmentProblem
from qanat.node.audit.entry import NO_LINE, Entry, Value, entry_of, hash_of, line_of
from qanat.node.audit.files import file_name, files_in, lines_of
from qanat.node.audit.keys import CONTEXT, AuditKeys, signed_words
from qanat.node.audit.kinds import Row
from qanat.node.privatefile import sync_folder

FILE_BYTES_MAX = 16 * 1024 * 1024
CHECKPOINT_ENTRIES = 1000
Lost = Callable[[int, str], list[bytes]]
CHECKPOINT_NS = 60 * 10**9  # at most one signature a minute when little happens, none when nothing does


class AuditLog:
    """Appends. One thread at a time.

    Args:
        head: (number of lines, hash of the last) that the store remembers; None for a store that never had one.
        lost: Given where the file ends (number of lines, hash of the last), the lines that the store has after it.
    """

    def __init__(
        self,
        folder: Path,
        keys: AuditKeys,
        *,
        kme_id: str,
        now_ns: int,
        head: tuple[int, str] | None,
        lost: Lost = lambda _count, _hash: [],
        file_bytes_max: int = FILE_BYTES_MAX,
    ) -> None:
        self._folder, self._keys, self._kme_id = folder, keys, kme_id
        self._file_bytes_max = file_bytes_max
        self.count, self.head = 0, NO_LINE
        self._since_checkpoint, self._checkpoint_ns = 0, now_ns
        self._fd = -1
        with _told(folder):
            rows = self._recover(head, lost)
            sync_folder(folder)
        if rows:
            self.append(rows, now_ns)
        self.flush()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    # --- opening

    def _recover(self, head: tuple[int, str] | None, lost: Lost) -> list[Row]:
        rows: list[Row] = []
        paths = files_in(self._folder)
        self._path = paths[-1] if paths else self._folder / file_name(0)
        self._fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        torn = self._cut_torn_line()
        if torn:
            rows.append(("recovered", {"torn_bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()}))
        self._size_bytes = os.fstat(self._fd).st_size
        hashes = {0: NO_LINE}  # of what stands before the line of that number, where the store may name it
        for line in lines_of(_newest(paths, head)):
            self._pass(line, hashes)
        if head is None:
            return rows
        begin = self.count
        if begin < head[0]:
            for line in lost(begin, self.head):
                self._write(line + b"\n")
                self._pass(line, hashes)
        if self.count > begin:
            rows.append(("restored", {"from_n": begin, "to_n": self.count - 1}))
        if hashes.get(head[0]) != head[1]:
            rows.append(("broken", {"store_n": head[0], "store_hash": head[1], "file_n": self.count}))
        elif self.count > head[0]:
            rows.append(("void", {"from_n": head[0], "to_n": self.count - 1}))
        return rows

    def _pass(self, line: bytes, hashes: dict[int, str]) -> None:
        self.count, self.head = _number_of(line, self.count) + 1, hash_of(line)
        hashes[self.count] = self.head

    def _cut_torn_line(self) -> bytes:
        """A line without its line feed was never answered for: its group was not committed."""
        size = os.fstat(self._fd).st_size
        data = os.pread(self._fd, size, 0)
        whole = data.rfind(b"\n") + 1
        if whole < size:
            os.ftruncate(self._fd, whole)
            os.fsync(self._fd)
        return data[whole:]

    # --- writing

    def append(self, rows: Sequence[Row], now_ns: int) -> bytes:
        """Write, without a flush to the disk: a crash of this process loses nothing of it, one of the machine may.

        Returns:
            The lines.

        Raises:
            EnvironmentProblem: it cannot be written. The log is then to be closed and opened again.
        """
        lines: list[bytes] = []
        for kind, facts in rows:
            self._add(lines, kind, facts, now_ns)
        is_due = now_ns - self._checkpoint_ns >= CHECKPOINT_NS or self._since_checkpoint >= CHECKPOINT_ENTRIES
        is_full = self._size_bytes + sum(map(len, lines)) >= self._file_bytes_max
        if is_due or is_full or rows[-1][0] == "stopped":
            self._add_checkpoint(lines, now_ns)
        data = b"".join([line + b"\n" for line in lines])
        with _told(self._path):
            self._write(data)
        if is_full:
            self.flush()
            with _told(self._path):
                self._rotate()
        return data

    def _add(self, lines: list[bytes], kind: str, facts: dict[str, Value], now_ns: int) -> None:
        line = line_of(Entry(n=self.count, at_ns=now_ns, kind=kind, facts=facts, prev=self.head))
        lines.append(line)
        self.count, self.head = self.count + 1, hash_of(line)
        self._since_checkpoint += 1

    def _add_checkpoint(self, lines: list[bytes], now_ns: int) -> None:
        words = signed_words(self._kme_id, self.count, now_ns, self.head)
        signature = base64.b64encode(self._keys.signing.sign(words, CONTEXT)).decode()
        self._add(lines, "checkpoint", {"kme": self._kme_id, "signature": signature}, now_ns)
        self._since_checkpoint, self._checkpoint_ns = 0, now_ns

    def _write(self, data: bytes) -> None:
        status = os.fstat(self._fd)
        if status.st_nlink == 0 or status.st_size != self._size_bytes:
            raise OSError(0, "it was removed or changed by somebody else")
        written = os.write(self._fd, data)
        if written != len(data):
            os.ftruncate(self._fd, self._size_bytes)
            raise OSError(28, "no space left for a whole entry")
        self._size_bytes += written

    def flush(self) -> None:
        """Bring all that was appended to the disk.

        Raises:
            EnvironmentProblem: it cannot be brought there.
        """
        with _told(self._path):
            os.fdatasync(self._fd)

    def _rotate(self) -> None:
        number = int(self._path.stem.rpartition("-")[2]) + 1
        path = self._folder / file_name(number)
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.close(self._fd)
        self._fd, self._path, self._size_bytes = fd, path, 0
        sync_folder(self._folder)


def _newest(paths: list[Path], head: tuple[int, str] | None) -> list[Path]:
    """The files from the one on that holds the head: a start need not read years."""
    for index in range(len(paths) - 1, -1, -1):
        first = next(lines_of(paths[index : index + 1]), None)
        if first is not None and (head is None or _number_of(first, 0) < head[0]):
            return paths[index:]
    return paths


def _number_of(line: bytes, otherwise: int) -> int:
    """A line that somebody spoilt keeps its place in the count; ``verify`` names it."""
    try:
        return entry_of(line).n
    except msgspec.DecodeError:
        return otherwise


class _told:  # noqa: N801 - reads as a verb where it is used
    """An OSError on the audit becomes one sentence that says what to do."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            raise EnvironmentProblem(
                f"the audit {self._path} cannot be written ({error.strerror}), so no key is handed out. Free some "
                "space, or give the file back with its rights; the KME goes on by itself."
            ) from None
