"""One end of one QKD link's distillation: the object that a host holds.

What drives it: detections (receiver only), frames from the peer, deadlines. What comes out: frames for the
peer, and events: a ``LinkReport`` per pulse block, a ``BlockReport`` per key block with the ``KeyBlock`` before
it when there is one, and ``SessionFailed`` when the protocol was broken.

    receiver                                  transmitter
    Detections (slots, bases)        ->
                                     <-       Sifted (kept, intensities, Z bits)
    TestBits (Z bits)                ->                                    ... until a key block is full
                                     <-       Reconcile, or GiveUp
    Parities                        <->       Parities                     ... round by round
                                     <-       Check (hashes), or GiveUp
    Checked (which are equal)        ->
                                     <-       Amplify (seed), Tag
    Tag                              ->
                                     <-       Released (token)

Several key blocks are open at once, so that a long round trip does not limit the rate: ``open_blocks.py``.
"""

from __future__ import annotations

from qanat.core.errors import LocalProtocolError, QanatError, RemoteProtocolError
from qanat.core.ports import Entropy, TransmitterModule
from qanat.core.records import DetectionBlock, Role
from qanat.crypto.toeplitz_seed import SeedBook
from qanat.crypto.wegman_carter import AuthenticationPool
from qanat.distill.authenticate import TagKeys
from qanat.distill.events import Event, SessionFailed
from qanat.distill.gather import GatheredBlock, Gathering, link_report
from qanat.distill.messages import AnyMessage, Detections, Hello, KeyBlockMessage, Sifted, TestBits, decoded, encoded
from qanat.distill.obtain import ReceivedKeyBlock
from qanat.distill.open_blocks import OpenBlocks
from qanat.distill.plan import SessionPlan
from qanat.distill.reliable import ReliableLayer
from qanat.distill.sift import PulseBlock
from qanat.distill.sifting import ReceiverSifting, TransmitterSifting
from qanat.distill.transmit import TransmittedKeyBlock

__all__ = ["Session", "SessionFailed"]


class Session:
    """See the module. One session has one epoch and one pool; a new one follows ``SessionFailed``.

    Args:
        role: Which end of the link.
        plan: The same at both ends.
        pool: The same secret at both ends, used by this session only.
        entropy: Draws what must be unpredictable.
        transmitter: Needed at the transmitter's end, and nowhere else.
        window_frames: Messages in flight at most.
        resend_ns: When an unacknowledged message is sent again.
        give_up_ns: How long the peer may be silent while something is in flight.
    """

    def __init__(
        self,
        *,
        role: Role,
        plan: SessionPlan,
        pool: AuthenticationPool,
        entropy: Entropy,
        transmitter: TransmitterModule | None = None,
        window_frames: int = 1024,
        resend_ns: int = 1_000_000_000,
        give_up_ns: int = 60_000_000_000,
    ) -> None:
        if (role is Role.TRANSMITTER) != (transmitter is not None):
            raise LocalProtocolError(f"link {plan.link}: a transmitter module belongs to the transmitter's end only")
        self.role = role
        self.plan = plan
        self.is_failed = False
        self._entropy = entropy
        self._seeds = SeedBook(entropy)
        self._keys = TagKeys(pool, epsilon_max=plan.epsilon_tag_keys_max)
        self._open = OpenBlocks(role, plan, self._keys, self._end_of)
        self._reliable = ReliableLayer(
            epoch=plan.epoch, window_frames=window_frames, resend_ns=resend_ns, give_up_ns=give_up_ns
        )
        self._transmitting = TransmitterSifting(plan, transmitter) if transmitter is not None else None
        self._receiving = None if transmitter is not None else ReceiverSifting(plan)
        self._gathering = Gathering(plan)
        self._has_peer = False
        self._events: list[Event] = []
        self._last_frames: list[bytes] = []
        self._reliable.send(encoded(Hello(plan_digest=plan.digest())))

    # The host's side.

    @property
    def round_trip_ns(self) -> int:
        """Of the classical channel: as the plan says, or as measured; 0 before that."""
        known_ns = self.plan.round_trip_ns
        return known_ns if known_ns is not None else self._reliable.round_trip_ns or 0

    def can_accept_block(self) -> bool:
        """Whether the receiver may hand in another pulse block now; if not, its light is to be lost."""
        if self.is_failed or self._receiving is None:
            return False
        return self._receiving.has_room and self._open.has_room(self.round_trip_ns)

    @property
    def is_idle(self) -> bool:
        """Nothing is under way: every pulse block handed in is sifted, no key block is being distilled."""
        is_sifted = self._receiving is None or self._receiving.is_empty
        return self.is_failed or (is_sifted and not self._open.active and not self._open.waiting)

    def add_detections(self, block: DetectionBlock, now_ns: int) -> None:
        """The next pulse block of the receiver's detectors. Ignored once the session has failed.

        Raises:
            LocalProtocolError: ``can_accept_block`` is false, or this is not a block of this link in order.
        """
        if self.is_failed:
            return
        if self._receiving is None or not self.can_accept_block():
            raise LocalProtocolError(f"link {self.plan.link}: no pulse block can be accepted now")
        self._reliable.send(self._receiving.announce(block))

    def receive(self, frame: bytes, now_ns: int) -> None:
        """A frame came from the peer. Never raises on what the peer sent."""
        if self.is_failed:
            return
        try:
            for raw in self._reliable.receive(frame, now_ns):
                self._hear(decoded(raw), raw, now_ns)
        except QanatError as problem:
            self._fail(problem)

    def frames_to_send(self, now_ns: int) -> list[bytes]:
        """Frames for the peer, drained, in order."""
        if self.is_failed:
            frames, self._last_frames = self._last_frames, []
            return frames
        return self._reliable.frames_to_send(now_ns)

    def deadline_ns(self) -> int | None:
        """When to call ``on_deadline``, or None."""
        return None if self.is_failed else self._reliable.deadline_ns()

    def on_deadline(self, now_ns: int) -> None:
        """It is that time; call ``frames_to_send`` next."""
        if self.is_failed:
            return
        try:
            self._reliable.on_deadline(now_ns)
        except QanatError as problem:
            self._fail(problem)

    def events(self) -> list[Event]:
        """What happened since the last call, drained."""
        events, self._events = self._events, []
        return events

    # The peer's side.

    def _hear(self, message: AnyMessage, raw: bytes, now_ns: int) -> None:
        if isinstance(message, Hello):
            self._greet(message)
        elif not self._has_peer:
            raise RemoteProtocolError("the peer speaks without a greeting")
        elif isinstance(message, Detections) and self._transmitting:
            self._reliable.send(self._transmitting.answer(message, raw))
        elif isinstance(message, TestBits) and self._transmitting:
            self._gather(self._transmitting.finish(message, raw), now_ns)
        elif isinstance(message, Sifted) and self._receiving:
            test_bits, block = self._receiving.finish(message, raw)
            self._reliable.send(test_bits)
            self._gather(block, now_ns)
        elif isinstance(message, KeyBlockMessage):
            self._open.find(message, now_ns).hear(message, raw, now_ns)
            self._advance(now_ns)
        else:
            raise RemoteProtocolError(f"{type(message).__name__} where nothing like it is due")

    def _greet(self, message: Hello) -> None:
        if self._has_peer or message.plan_digest != self.plan.digest():
            raise RemoteProtocolError(f"link {self.plan.link}: the two ends were given different plans")
        self._has_peer = True

    def _gather(self, block: PulseBlock, now_ns: int) -> None:
        self._events.append(link_report(block, self.plan, now_ns))
        gathered = self._gathering.add(block)
        if gathered is not None:
            self._open.add(gathered)
            self._advance(now_ns)

    def _advance(self, now_ns: int) -> None:
        """Begin what waits, hand out what ended."""
        self._events += self._open.advance(now_ns, self.round_trip_ns)

    def _end_of(self, gathered: GatheredBlock) -> ReceivedKeyBlock | TransmittedKeyBlock:
        kind = ReceivedKeyBlock if self.role is Role.RECEIVER else TransmittedKeyBlock
        block = kind(
            gathered,
            plan=self.plan,
            keys=self._keys,
            entropy=self._entropy,
            seeds=self._seeds,
            send=self._reliable.send,
        )
        block.round_trip_ns = self.round_trip_ns
        return block

    def _fail(self, problem: QanatError) -> None:
        """The session is over: wipe, tell the peer once, tell the host."""
        self.is_failed = True
        for part in (self._open, self._gathering, self._receiving, self._transmitting):
            if part is not None:
                part.wipe()
        self._reliable.clear()
        self._last_frames = [self._reliable.end_frame()]
        self._events.append(
            SessionFailed(link=self.plan.link, epoch=self.plan.epoch, reason=problem.detail or problem.summary)
        )
