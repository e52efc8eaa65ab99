"""A wire that does one hostile thing at one moment of a session, and says what must hold afterwards."""

from __future__ import annotations

import msgspec
import numpy as np
from tests.distill.pairing import MS, Pair, a_plan, collect, digest

from qanat.core.records import Role
from qanat.distill import messages
from qanat.distill.reliable import FRAME_BYTES_MAX, HEADER
from qanat.distill.states import State

SMALL = {"block_sifted_bits": 10_000, "p_x": 0.65, "pulses_per_block": 200_000, "epsilon_sec": 1e-4}
ONE_PAIR = bytes(range(64))


def cascade():
    return Pair(plan=a_plan(reconciliation="cascade")), 7


def ldpc():
    return Pair(plan=a_plan(reconciliation="ldpc", block_sifted_bits=80_000), p_flip=0.01), 18


def pipelined():
    """Several key blocks open, and a pool that holds one pair: key blocks wait with their tags."""
    plan = a_plan(reconciliation="cascade", round_trip_ns=20 * MS, **SMALL)
    return Pair(plan=plan, secret=ONE_PAIR, transmittance=1.0), 6


PLANS = {"cascade": cascade, "ldpc": ldpc, "pipelined": pipelined}
MOMENTS = {
    Role.TRANSMITTER: ["greeting", "sifting", State.RECONCILING, State.VERIFYING, State.TAGGING],
    Role.RECEIVER: [
        "greeting",
        "sifting",
        State.GATHERED,
        State.RECONCILING,
        State.VERIFYING,
        State.AMPLIFYING,
        State.TAGGING,
        State.RELEASING,
    ],
}


MANY = {State.RECONCILING: 1}  # frames after the first one that surely come at this moment


def moments(end):
    """Where an end stands: with its key blocks, all of them, or before there are any."""
    if not end._has_peer:
        return {"greeting"}
    states = {block.state for block in end._open.active.values()} | ({State.GATHERED} if end._open.waiting else set())
    return states or {"sifting"}


class Wire:
    """Delivers frame by frame. ``strike(frame, wire)`` gives what arrives in a frame's place at the moment chosen."""

    def __init__(self, pair, *, role, moment, nth, strike):
        self.pair, self.role, self.moment, self.left, self.strike = pair, role, moment, nth, strike
        self.is_struck = False
        self.heard = {pair.alice: [], pair.bob: []}  # frames that each end has received

    @property
    def victim(self):
        return self.pair.alice if self.role is Role.TRANSMITTER else self.pair.bob

    @property
    def other(self):
        return self.pair.bob if self.role is Role.TRANSMITTER else self.pair.alice

    def run(self, blocks):
        for _ in range(1000 * blocks):
            while blocks and self.pair.bob.can_accept_block():
                self.pair.shine()
                blocks -= 1
            if not self._moved() and not self._waited():
                return
        raise AssertionError("the ends never come to rest")

    def _moved(self):
        pair, moved = self.pair, False
        pair.now_ns += MS // 10
        for sender, receiver in ((pair.bob, pair.alice), (pair.alice, pair.bob)):
            for frame in sender.frames_to_send(pair.now_ns):
                moved = True
                for each in self._arriving(frame, receiver):
                    self.heard[receiver].append(each)
                    receiver.receive(each, pair.now_ns)
        collect(pair)
        return moved

    def _arriving(self, frame, receiver):
        if self.is_struck or receiver is not self.victim or self.moment not in moments(receiver):
            return [frame]
        if self.left:
            self.left -= 1
            return [frame]
        self.is_struck = True
        return self.strike(frame, self)

    def _waited(self):
        """Nothing moves: time passes to the next deadline; False when there is none."""
        due = [end.deadline_ns() for end in (self.pair.alice, self.pair.bob)]
        times = [at_ns for at_ns in due if at_ns is not None]
        if not times:
            return False
        self.pair.now_ns = max(self.pair.now_ns, min(times))
        for end, at_ns in zip((self.pair.alice, self.pair.bob), due, strict=True):
            if at_ns is not None and at_ns <= self.pair.now_ns:
                end.on_deadline(self.pair.now_ns)
        collect(self.pair)
        return True


# What a wire may do. Each takes the frame that is due, the wire and a stream, and gives what arrives instead.


def renumbered(like, body):
    """A body under the header of the frame that is due: what an attacker on the wire would write."""
    return like[: HEADER.size] + body


def duplicated(frame, wire, stream):
    return [frame] * int(stream.integers(2, 5))


def replayed(frame, wire, stream):
    """Frames of before, as they were; then the one that is due."""
    old = wire.heard[wire.victim]
    return [old[int(stream.integers(len(old)))] for _ in range(3) if old] + [frame]


def overtaken(frame, wire, stream):
    """It comes after others, which wait for it."""
    return [*wire.other.frames_to_send(wire.pair.now_ns), frame]


def of_another_epoch(frame, wire, stream):
    return [HEADER.pack(99, *HEADER.unpack_from(frame)[1:]) + frame[HEADER.size :], frame]


def corrupted(frame, wire, stream):
    changed = bytearray(frame)
    for _ in range(int(stream.integers(1, 4))):
        changed[int(stream.integers(HEADER.size, len(frame) + 1)) - 1] ^= int(stream.integers(1, 256))
    return [bytes(changed)]


def truncated(frame, wire, stream):
    return [frame[: int(stream.integers(len(frame)))]]


def an_old_message_again(frame, wire, stream):
    old = [each for each in wire.heard[wire.victim] if len(each) > HEADER.size] or [frame]
    return [renumbered(frame, old[int(stream.integers(len(old)))][HEADER.size :])]


def reflected(frame, wire, stream):
    """The victim's own words."""
    own = [each for each in wire.heard[wire.other] if len(each) > HEADER.size] or [frame]
    return [renumbered(frame, own[int(stream.integers(len(own)))][HEADER.size :])]


def garbage(frame, wire, stream):
    return [renumbered(frame, stream.bytes(int(stream.integers(1, 2000))))]


def nested(frame, wire, stream):
    return [renumbered(frame, b"\x91" * int(stream.integers(1000, 100_000)))]


def oversized(frame, wire, stream):
    size_bytes = FRAME_BYTES_MAX - HEADER.size + int(stream.integers(-1, 2))
    return [renumbered(frame, stream.bytes(size_bytes))]


def hostile_header(frame, wire, stream):
    _, number, heard = HEADER.unpack_from(frame)
    odd = [0, 1, number + 1, number + 10**6, 2**63, 2**64 - 2, 2**64 - 1]
    choice = odd[int(stream.integers(len(odd)))]
    header = (1, choice, heard) if stream.integers(2) else (1, number, choice)
    return [HEADER.pack(*header) + frame[HEADER.size :]]


KINDS = [
    kind for kind in vars(messages).values()
    if isinstance(kind, type) and issubclass(kind, messages.Message) and kind is not messages.Message
]  # fmt: skip


def of_any_kind(frame, wire, stream):
    """A message whose parts have the right types and about the right key block, and are wrong otherwise."""
    kind = KINDS[int(stream.integers(len(KINDS)))]
    open_blocks = list(wire.victim._open.active) or [0]
    fields = [_value(field, open_blocks, stream) for field in msgspec.structs.fields(kind)]
    return [renumbered(frame, msgspec.msgpack.encode([kind.__struct_config__.tag, *fields]))]


def _value(field, open_blocks, stream):
    if field.name in {"block", "number"} and stream.random() < 0.8:
        return open_blocks[int(stream.integers(len(open_blocks)))]
    if field.type is int:
        return [0, 1, 2, -1, 2**31, 2**62, 2**63 - 1, -(2**63)][int(stream.integers(8))]
    if field.type is bytes:
        return stream.bytes([0, 1, 16, 32, 5000][int(stream.integers(5))])
    return [None, {}, {"gap_histogram": [2**62] * 30}, {"temperature_c": float("nan")}, []][int(stream.integers(5))]


def one_part_changed(frame, wire, stream):
    """The message that is due, with one part that an honest end would not say."""
    body = frame[HEADER.size :]
    if not body:
        return [frame]
    fields = msgspec.msgpack.decode(body)
    at = int(stream.integers(1, len(fields)))
    value = fields[at]
    if isinstance(value, int):
        fields[at] = value + [-1, 1, 8, 2**40, -(2**40)][int(stream.integers(5))]
    elif isinstance(value, bytes):
        fields[at] = [b"", value + b"\0", value[:-1], bytes(len(value)), stream.bytes(len(value))][
            int(stream.integers(5))
        ]
    else:
        fields[at] = [None, {"control_effort": float("inf")}, {"arrivals": [{"count": -1}]}][int(stream.integers(3))]
    return [renumbered(frame, msgspec.msgpack.encode(fields))]


HARMLESS = [duplicated, replayed, overtaken, of_another_epoch]
HOSTILE = [
    corrupted,
    truncated,
    an_old_message_again,
    reflected,
    garbage,
    nested,
    oversized,
    hostile_header,
    of_any_kind,
    one_part_changed,
]


def struck(plan, role, moment, attack, seed):
    """One run with one strike. Whatever is raised travels: nothing may be."""
    stream = np.random.default_rng([seed, len(plan), list(Role).index(role)])
    pair, blocks = PLANS[plan]()
    wire = Wire(
        pair,
        role=role,
        moment=moment,
        nth=int(stream.integers(1 + MANY.get(moment, 0))),
        strike=lambda frame, w: attack(frame, w, stream),
    )
    wire.run(blocks)
    return wire


def assert_nothing_was_lost_to_it(wire, what):
    """An end that fails says so once and keeps nothing; the receiver holds no key that the transmitter does not."""
    pair = wire.pair
    for end in (pair.alice, pair.bob):
        assert len(pair.failures(end)) == int(end.is_failed), what
        if end.is_failed:
            assert not end._open.active, what
            assert not end._open.waiting, what
            assert pair.failures(end)[0].reason, what
            assert end.deadline_ns() is None, what
    alice, bob = ({key.block: digest(key) for key in pair.keys(end)} for end in (pair.alice, pair.bob))
    assert bob.items() <= alice.items(), what
    assert len(alice) - len(bob) <= 1, what  # the two generals, see release.py
