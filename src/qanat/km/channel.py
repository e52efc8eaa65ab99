"""Messages to other KMEs that arrive once and in order, whatever is lost, doubled, reordered or restarted.

A message is numbered and stored in the transaction that decided it, sent again until the peer acknowledges
its number, and processed by the peer in the order of numbers only (go-back-n). So a grant or a pad is never
applied twice, and a replayed frame has no effect.

The numbers also tell an old copy of our own store: no peer can acknowledge what we never sent, or forget what
we never acknowledged, so a peer that did is the memory that our store lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from qanat.core.ids import SiteId
from qanat.core.malformed import MALFORMED
from qanat.core.ports import Entropy
from qanat.core.timebase import NS_PER_MS
from qanat.km.messages import Frame, Granted, Message, encoded, frame_from_bytes
from qanat.km.store import Snapshot, Store

VERSION = 1
RESEND_NS = 300 * NS_PER_MS  # above any round trip on Earth's fibres; doubled up to RESEND_NS_MAX
RESEND_NS_MAX = 5_000 * NS_PER_MS
ACK_PATIENCE_S, PATIENCE_S = 0.05, 0.003  # far below RESEND_NS
FRAME_BYTES_MAX = 48 * 1024
FRAME_MESSAGES_MAX = 512
WINDOW_MESSAGES = 2048  # unacknowledged at once; the rest waits in the store
GRANTS_MAX = 32  # in one message, when several calls of one group give keys to one peer's site
WAITING_MESSAGES_MAX = 65_536  # beyond this the peer counts as out of reach and no new key is given out for it


@dataclass(slots=True)
class _Line:
    """The two directions between this site and one peer."""

    waiting: dict[int, bytes] = field(default_factory=dict)  # by number, rising
    newest: int = 0
    sent_to: int = 0
    resend_ns: int | None = None
    backoff_ns: int = RESEND_NS
    in_stream: bytes = b""
    in_number: int = 0
    ack_due: bool = False
    growing: Granted | None = None  # the newest message, which has not left yet


class Channel:
    """All lines of one site."""

    def __init__(self, store: Store, entropy: Entropy, snapshot: Snapshot) -> None:
        self._store = store
        self._entropy = entropy
        self._stream = snapshot.facts.get(("channel", "stream"), b"")
        self._lines: dict[SiteId, _Line] = {}
        self.restored: str | None = None  # why this store must be an old copy, once a peer has shown it
        for (kind, name), value in snapshot.facts.items():
            if kind == "acked":
                line = self._line(SiteId(name))
                line.newest = line.sent_to = int.from_bytes(value)
        for peer, messages in snapshot.outbox.items():
            line = self._line(peer)
            line.waiting = dict(sorted(messages.items()))
            line.newest = max(line.newest, *messages)
            line.sent_to = min(messages) - 1
        for peer, (stream, number) in snapshot.inbox.items():
            self._line(peer).in_stream, self._line(peer).in_number = stream, number

    def _line(self, peer: SiteId) -> _Line:
        return self._lines.setdefault(peer, _Line())

    def post(self, peer: SiteId, message: Message) -> None:
        """Store a message; it leaves with the next frames. Grants join the newest message if that has grants too."""
        if not self._stream:
            self._stream = self._entropy.random_bytes(8)
            self._store.put_fact("channel", "stream", self._stream)
        line = self._line(peer)
        joined = _joined(line.growing, message)
        if joined is None:
            line.newest += 1
        line.growing = joined or (message if isinstance(message, Granted) else None)
        line.waiting[line.newest] = encoded(joined or message)
        self._store.put_message(peer, line.newest, line.waiting[line.newest])

    def waiting_count(self, peer: SiteId) -> int:
        return len(self._line(peer).waiting)

    def is_full(self, peer: SiteId) -> bool:
        return self.waiting_count(peer) >= WAITING_MESSAGES_MAX

    def receive(self, peer: SiteId, data: bytes) -> list[bytes]:
        """The messages in this frame that are next in order, still encoded.

        Raises:
            msgspec.DecodeError: not a frame.
        """
        frame = frame_from_bytes(data)
        if frame.version != VERSION:
            raise msgspec.DecodeError(f"frame of version {frame.version}, not {VERSION}")
        line = self._line(peer)
        self.restored = self.restored or self._lost_memory(peer, line, frame)
        if self.restored is not None:
            return []
        self._acknowledged(peer, line, frame)
        if not frame.messages:
            return []
        line.ack_due = True
        return self._next_in_order(peer, line, frame)

    def _lost_memory(self, peer: SiteId, line: _Line, frame: Frame) -> str | None:
        """What this frame remembers of us that our store does not. A frame leaves only after its commit, so
        no crash of either end makes this true."""
        if self._stream and frame.ack_stream == self._stream and frame.ack_number > line.newest:
            return f"{peer} has message {frame.ack_number} of this KME, whose store ends at {line.newest}"
        if line.in_stream and frame.stream == line.in_stream and frame.oldest > line.in_number + 1:
            return f"this KME acknowledged message {frame.oldest - 1} of {peer}, and its store ends at {line.in_number}"
        return None

    def _acknowledged(self, peer: SiteId, line: _Line, frame: Frame) -> None:
        if frame.ack_stream != self._stream or not line.waiting:
            return
        oldest = next(iter(line.waiting))
        if not oldest <= frame.ack_number <= line.newest:
            return
        for number in range(oldest, frame.ack_number + 1):
            line.waiting.pop(number, None)
        line.sent_to = max(line.sent_to, frame.ack_number)
        line.backoff_ns = RESEND_NS
        line.resend_ns = None
        self._store.delete_messages(peer, frame.ack_number)
        self._store.put_fact("acked", peer, frame.ack_number.to_bytes(8))

    def _next_in_order(self, peer: SiteId, line: _Line, frame: Frame) -> list[bytes]:
        known = line.in_number if frame.stream == line.in_stream else 0
        # The peer forgets only what we acknowledged, so what lies before its oldest was once processed here.
        expected = max(known + 1, frame.oldest)
        last = frame.number + len(frame.messages) - 1
        if frame.number > expected or last < expected:
            return []
        line.in_stream, line.in_number = frame.stream, last
        self._store.put_inbox(peer, frame.stream, last)
        return frame.messages[expected - frame.number :]

    def frames_to_send(self, now_ns: int) -> list[tuple[SiteId, bytes]]:
        frames = []
        for peer, line in self._lines.items():
            line.growing = None
            if line.resend_ns is not None and now_ns >= line.resend_ns:
                line.sent_to = next(iter(line.waiting), line.newest + 1) - 1
                line.backoff_ns = min(2 * line.backoff_ns, RESEND_NS_MAX)
                line.resend_ns = None
            frames += [(peer, frame) for frame in self._frames(line, now_ns)]
        return frames

    def _frames(self, line: _Line, now_ns: int) -> list[bytes]:
        oldest = next(iter(line.waiting), line.newest + 1)
        frames = []
        while line.sent_to < min(line.newest, oldest + WINDOW_MESSAGES - 1):
            first = line.sent_to + 1
            batch = self._batch(line, first)
            frames.append(self._frame(line, oldest, first, batch))
            line.sent_to += len(batch)
        if line.waiting and line.resend_ns is None:
            line.resend_ns = now_ns + line.backoff_ns
        if line.ack_due and not frames:
            frames.append(self._frame(line, oldest, line.newest + 1, []))
        line.ack_due = False
        return frames

    @staticmethod
    def _batch(line: _Line, first: int) -> list[bytes]:
        batch: list[bytes] = []
        size_bytes = 0
        for number in range(first, min(line.newest, first + FRAME_MESSAGES_MAX - 1) + 1):
            size_bytes += len(line.waiting[number])
            if batch and size_bytes > FRAME_BYTES_MAX:
                break
            batch.append(line.waiting[number])
        return batch

    def _frame(self, line: _Line, oldest: int, first: int, messages: list[bytes]) -> bytes:
        return encoded(
            Frame(
                version=VERSION,
                stream=self._stream,
                oldest=oldest,
                number=first,
                messages=messages,
                ack_stream=line.in_stream,
                ack_number=line.in_number,
            )
        )

    def line_is_new(self, peer: SiteId, now_ns: int) -> None:
        """There is a new connection to this peer: what it has not acknowledged may be lost, and goes out again now."""
        line = self._line(peer)
        line.backoff_ns = RESEND_NS
        if line.resend_ns is not None:
            line.resend_ns = now_ns

    def has_frames(self) -> bool:
        """Something would leave now, without waiting for a timer."""
        return any(
            line.ack_due
            or line.sent_to < min(line.newest, next(iter(line.waiting), line.newest + 1) + WINDOW_MESSAGES - 1)
            for line in self._lines.values()
        )

    def deadline_ns(self) -> int | None:
        return min((line.resend_ns for line in self._lines.values() if line.resend_ns is not None), default=None)


def _joined(growing: Granted | None, message: Message) -> Granted | None:
    if growing is None or not isinstance(message, Granted):
        return None
    grants = [*growing.grants, *message.grants]
    return Granted(grants) if len(grants) <= GRANTS_MAX else None


def patience_of(data: bytes) -> float:
    """Seconds that a frame may wait for others before it is received, so that they share one flush of the disk.

    A bare acknowledgement only lets this site forget messages. Anything else waits a little: what comes from a peer
    comes in runs.
    """
    try:
        return ACK_PATIENCE_S if not frame_from_bytes(data).messages else PATIENCE_S
    except MALFORMED:
        return 0.0
