"""Messages in order and once, over frames that may be lost, doubled or overtaken.

A frame is a header (epoch, sequence number, cumulative acknowledgement) and one message; sequence number 0
carries none, and the highest one says that the sender's session has ended. Over TCP nothing of this ever acts,
and it costs 20 bytes and some microseconds per message. It protects against a bad network, not against Eve: she may
write headers as she likes, and the tags over the messages tell.
"""

from __future__ import annotations

import struct
from collections import deque

from qanat.core.errors import LocalProtocolError, RemoteProtocolError
from qanat.distill.messages import MESSAGE_BYTES_MAX

HEADER = struct.Struct(">IQQ")
FRAME_BYTES_MAX = HEADER.size + MESSAGE_BYTES_MAX
WINDOW_BYTES = 4 * MESSAGE_BYTES_MAX  # in flight, and held out of order: bounds memory at both ends
RESEND_COUNT = 8  # oldest messages sent again per deadline; the others were likely only overtaken
UNANSWERED_MAX = 16  # messages heard, with nothing of our own to say, before they are acknowledged
ROUND_TRIPS_KEPT = 64  # newest samples; the least of them is the wire's, the others waited for something
BACKOFF_MAX = 16
_ENDED = 2**64 - 1


class PeerEnded(RemoteProtocolError):
    """The other end ended its session. Both start again with a new epoch."""


class ReliableLayer:
    """One end of the message stream.

    Args:
        window_frames: Messages in flight at most; also how far ahead of order one is kept.
        resend_ns: Without an acknowledgement for this long, messages are sent again; doubled each time.
        give_up_ns: Without any acknowledgement for this long, the peer is taken for gone.
    """

    def __init__(self, *, epoch: int, window_frames: int, resend_ns: int, give_up_ns: int) -> None:
        self._epoch = epoch
        self._window_frames = window_frames
        self._resend_ns = resend_ns
        self._give_up_ns = give_up_ns
        self._waiting: deque[bytes] = deque()
        self._in_flight: deque[bytes] = deque()
        self._sent_at_ns: deque[int | None] = deque()  # per message in flight; None once sent again
        self._round_trips_ns: deque[int] = deque(maxlen=ROUND_TRIPS_KEPT)
        self._in_flight_bytes = 0
        self._acknowledged = 0  # by the peer: the first message in flight has the next number
        self._progress_ns = 0  # when the peer last acknowledged something, or something began to wait for it
        self._sent_ns = 0
        self._backoff = 1
        self._received = 0
        self._early: dict[int, bytes] = {}
        self._early_bytes = 0
        self._unanswered = 0
        self._acknowledge_at_ns: int | None = None
        self._out: list[bytes] = []

    @property
    def backlog_count(self) -> int:
        """Messages that the peer has not acknowledged."""
        return len(self._waiting) + len(self._in_flight)

    @property
    def round_trip_ns(self) -> int | None:
        """From a message to its acknowledgement, at best; None before the first.

        A message that was sent twice gives no sample: nobody knows which of both was acknowledged (Karn and
        Partridge, SIGCOMM 1987).
        """
        return min(self._round_trips_ns, default=None)

    def send(self, message: bytes) -> None:
        """Queue a message.

        Raises:
            LocalProtocolError: it is larger than a frame may be.
        """
        if len(message) > MESSAGE_BYTES_MAX:
            raise LocalProtocolError(f"a message of {len(message)} bytes; the limit is {MESSAGE_BYTES_MAX}")
        self._waiting.append(message)

    def receive(self, frame: bytes, now_ns: int) -> list[bytes]:
        """Messages that are due now, in order.

        Raises:
            RemoteProtocolError: the header contradicts the stream, or the frame is too large.
            PeerEnded: the peer says so.
        """
        if not HEADER.size <= len(frame) <= FRAME_BYTES_MAX:
            raise RemoteProtocolError(f"a frame of {len(frame)} bytes; allowed are {HEADER.size} to {FRAME_BYTES_MAX}")
        epoch, number, acknowledged = HEADER.unpack_from(frame)
        if epoch != self._epoch:
            return []  # a late frame of a session that is over
        if number == _ENDED:
            raise PeerEnded("the other end ended its session")
        self._take_acknowledgement(acknowledged, now_ns)
        if number == 0:
            return []
        return self._take_message(number, frame[HEADER.size :], now_ns)

    def frames_to_send(self, now_ns: int) -> list[bytes]:
        """New messages as far as the window allows, resent ones, acknowledgements."""
        while self._waiting and self._has_room(len(self._waiting[0])):
            if not self._in_flight:
                self._sent_ns = self._progress_ns = now_ns
            message = self._waiting.popleft()
            self._in_flight.append(message)
            self._sent_at_ns.append(now_ns)
            self._in_flight_bytes += len(message)
            self._out.append(self._frame(self._acknowledged + len(self._in_flight), message))
        if not self._out and self._unanswered and self._must_acknowledge(now_ns):
            self._out.append(self._frame(0, b""))
        if self._out:
            self._unanswered = 0
            self._acknowledge_at_ns = None
        out, self._out = self._out, []
        return out

    def deadline_ns(self) -> int | None:
        due = [self._sent_ns + self._backoff * self._resend_ns] if self._in_flight else []
        if self._acknowledge_at_ns is not None:
            due.append(self._acknowledge_at_ns)
        return min(due, default=None)

    def on_deadline(self, now_ns: int) -> None:
        """Send again what is overdue.

        Raises:
            RemoteProtocolError: the peer has been silent for too long.
        """
        if not self._in_flight or now_ns < self._sent_ns + self._backoff * self._resend_ns:
            return
        if now_ns - self._progress_ns > self._give_up_ns:
            raise RemoteProtocolError(f"no answer for {(now_ns - self._progress_ns) / 1e9:.0f} s")
        for which, message in enumerate(list(self._in_flight)[:RESEND_COUNT]):
            self._sent_at_ns[which] = None
            self._out.append(self._frame(self._acknowledged + 1 + which, message))
        self._sent_ns = now_ns
        self._backoff = min(BACKOFF_MAX, 2 * self._backoff)

    def end_frame(self) -> bytes:
        """Tells the peer that this session is over."""
        return self._frame(_ENDED, b"")

    def clear(self) -> None:
        """Forget everything: nothing of a failed session is sent any more."""
        self._waiting.clear()
        self._in_flight.clear()
        self._sent_at_ns.clear()
        self._early.clear()
        self._out.clear()
        self._acknowledge_at_ns = None

    def _frame(self, number: int, message: bytes) -> bytes:
        return HEADER.pack(self._epoch, number, self._received) + message

    def _has_room(self, size_bytes: int) -> bool:
        return len(self._in_flight) < self._window_frames and (
            not self._in_flight or self._in_flight_bytes + size_bytes <= WINDOW_BYTES
        )

    def _must_acknowledge(self, now_ns: int) -> bool:
        at_ns = self._acknowledge_at_ns
        limit = max(1, min(UNANSWERED_MAX, self._window_frames // 4))
        return self._unanswered >= limit or (at_ns is not None and now_ns >= at_ns)

    def _take_acknowledgement(self, acknowledged: int, now_ns: int) -> None:
        if acknowledged > self._acknowledged + len(self._in_flight):
            raise RemoteProtocolError(f"message {acknowledged} was acknowledged before it was sent")
        sent_at_ns = None
        while self._acknowledged < acknowledged:
            self._in_flight_bytes -= len(self._in_flight.popleft())
            sent_at_ns = self._sent_at_ns.popleft()
            self._acknowledged += 1
            self._sent_ns = self._progress_ns = now_ns
            self._backoff = 1
        if sent_at_ns is not None:  # of the newest message acknowledged: the others may have waited for it
            self._round_trips_ns.append(max(0, now_ns - sent_at_ns))

    def _take_message(self, number: int, message: bytes, now_ns: int) -> list[bytes]:
        if number > self._received + self._window_frames:
            raise RemoteProtocolError(f"message {number} is ahead of the window after {self._received}")
        self._unanswered += 1
        if self._acknowledge_at_ns is None:
            self._acknowledge_at_ns = now_ns + self._resend_ns // 4
        if number <= self._received:
            self._acknowledge_at_ns = now_ns  # it was sent again: our acknowledgement got lost
            return []
        if number > self._received + 1:
            if number not in self._early and self._early_bytes + len(message) <= WINDOW_BYTES:
                self._early[number] = message
                self._early_bytes += len(message)
            return []
        due = [message]
        self._received = number
        while (following := self._early.pop(self._received + 1, None)) is not None:
            self._received += 1
            self._early_bytes -= len(following)
            due.append(following)
        return due
