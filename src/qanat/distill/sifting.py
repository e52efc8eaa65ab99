"""Pulse blocks under way between the two ends: what was announced, answered, and not finished yet."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from qanat.core.errors import LocalProtocolError, RemoteProtocolError
from qanat.core.ports import TransmitterModule
from qanat.core.records import DetectionBlock
from qanat.distill.messages import MESSAGE_BYTES_MAX, Detections, Sifted, TestBits, encoded
from qanat.distill.plan import SessionPlan
from qanat.distill.sift import (
    PulseBlock,
    announcement,
    answer,
    count_errors,
    packed,
    take_answer,
    take_test_bits,
)

# Announced and not answered; the receiver waits then. 32 pulse blocks of 10 ms hide 300 ms of round trip.
IN_FLIGHT_MAX = 32
IN_FLIGHT_BYTES_MAX = 2 * MESSAGE_BYTES_MAX  # of announcements; two of the largest
IN_FLIGHT_LIMIT = 64  # what an honest receiver never exceeds at the transmitter's end
IN_FLIGHT_BYTES_LIMIT = 8 * MESSAGE_BYTES_MAX


FOUR_STATES, THREE_STATES = (0.5, 0.5), (0.5, 1.0)  # probability of bit 0 in X and in Z


class ReceiverSifting:
    """Announces detections, takes answers in the same order."""

    def __init__(self, plan: SessionPlan) -> None:
        self._plan = plan
        self._last_number = -1
        self._announced: OrderedDict[int, tuple[DetectionBlock, bytes]] = OrderedDict()
        self._announced_bytes = 0

    @property
    def has_room(self) -> bool:
        return len(self._announced) < IN_FLIGHT_MAX and self._announced_bytes < IN_FLIGHT_BYTES_MAX

    @property
    def is_empty(self) -> bool:
        return not self._announced

    def announce(self, block: DetectionBlock) -> bytes:
        """The message that announces it.

        Raises:
            LocalProtocolError: another link's block, another size, or a number that was announced before;
                more detections than a message holds.
        """
        plan = self._plan
        if block.link != plan.link or block.n_pulses != plan.pulses_per_block or block.number <= self._last_number:
            raise LocalProtocolError(
                f"link {plan.link}: block {block.number} of link {block.link} with {block.n_pulses} pulses "
                f"does not follow block {self._last_number} with {plan.pulses_per_block}"
            )
        raw = encoded(announcement(block))
        if len(raw) > MESSAGE_BYTES_MAX:
            raise LocalProtocolError(f"link {plan.link}: {len(block.index)} detections; use shorter pulse blocks")
        self._last_number = block.number
        self._announced[block.number] = (block, raw)
        self._announced_bytes += len(raw)
        return raw

    def finish(self, message: Sifted, raw: bytes) -> tuple[bytes, PulseBlock]:
        """The transmitter's answer came: our test bits, and the finished pulse block.

        Raises:
            RemoteProtocolError: it answers nothing that we announced, or not in order.
        """
        if not self._announced or next(iter(self._announced)) != message.number:
            raise RemoteProtocolError(f"an answer to pulse block {message.number}, which is not the next")
        seen, announced = self._announced.pop(message.number)
        self._announced_bytes -= len(announced)
        block, peer_z_bits = take_answer(seen, message, is_three_state=self._plan.is_three_state)
        count_errors(block, peer_z_bits)
        test_bits = encoded(TestBits(number=block.number, z_bits=packed(block.test_bits)))
        block.said = [announced, raw, test_bits]
        return test_bits, block

    def wipe(self) -> None:
        self._announced.clear()


class TransmitterSifting:
    """Answers announcements, takes test bits in the same order."""

    def __init__(self, plan: SessionPlan, transmitter: TransmitterModule) -> None:
        if (tuple(transmitter.intensities), tuple(transmitter.p_intensities), transmitter.p_x) != (
            tuple(plan.intensities),
            tuple(plan.p_intensities),
            plan.p_x,
        ):
            raise LocalProtocolError(f"link {plan.link}: the plan does not name what the transmitter prepares")
        wanted = THREE_STATES if plan.is_three_state else FOUR_STATES
        if tuple(getattr(transmitter, "p_zero", FOUR_STATES)) != wanted:
            raise LocalProtocolError(
                f"link {plan.link}: the plan is for other test states than the transmitter prepares"
            )
        self._plan = plan
        self._transmitter = transmitter
        self._last_number = -1
        self._answered: OrderedDict[int, PulseBlock] = OrderedDict()
        self._answered_bytes = 0

    def answer(self, message: Detections, raw: bytes) -> bytes:
        """The answer to an announcement. Each pulse block is answered once, so nobody can ask again in another way.

        Raises:
            RemoteProtocolError: the announcement cannot be honest.
        """
        is_full = len(self._answered) >= IN_FLIGHT_LIMIT or self._answered_bytes >= IN_FLIGHT_BYTES_LIMIT
        if message.number <= self._last_number or is_full:
            raise RemoteProtocolError(f"pulse block {message.number} was announced before, or too many are open")
        said, block = answer(message, self._plan, self._transmitter)
        self._last_number = message.number
        answered = encoded(said)
        block.said = [raw, answered]
        self._answered_bytes += len(raw)
        self._answered[message.number] = block
        return answered

    def finish(self, message: TestBits, raw: bytes) -> PulseBlock:
        """The receiver's test bits came.

        Raises:
            RemoteProtocolError: not for the pulse block that is next, or not as many as there are.
        """
        if not self._answered or next(iter(self._answered)) != message.number:
            raise RemoteProtocolError(f"test bits of pulse block {message.number}, which is not the next")
        block = self._answered.pop(message.number)
        self._answered_bytes -= len(block.said[0])
        take_test_bits(block, message.z_bits)
        block.said.append(raw)
        return block

    def wipe(self) -> None:
        for block in self._answered.values():
            block.x_bits[:] = np.uint8(0)
        self._answered.clear()
