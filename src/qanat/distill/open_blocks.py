"""Key blocks between gathered and ended at one end, in the order of their numbers.

The transmitter begins as many as ``in_flight.blocks_wanted`` says; the receiver follows, block by block. They may
end in any order, but tags are shown, and outcomes told, in the order of numbers (see ``authenticate.py``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from qanat.core.errors import RemoteProtocolError
from qanat.core.records import KeyBlock, Role
from qanat.core.report import BlockReport
from qanat.distill.authenticate import TagKeys
from qanat.distill.gather import GatheredBlock
from qanat.distill.in_flight import BLOCKS_LIMIT, SLACK_BYTES, blocks_wanted, held_bytes
from qanat.distill.keyblock import KeyBlockEnd
from qanat.distill.messages import GiveUp, KeyBlockMessage, Reconcile, Tag
from qanat.distill.plan import SessionPlan
from qanat.distill.states import State

WAITING_MAX = 2  # full key blocks that wait for one to end; then the receiver takes no more light


class OpenBlocks:
    """See the module.

    Attributes:
        waiting: Gathered, not begun.
        active: Begun, by number; those that ended before an earlier one stay until that has ended.
    """

    def __init__(
        self, role: Role, plan: SessionPlan, keys: TagKeys, end_of: Callable[[GatheredBlock], KeyBlockEnd]
    ) -> None:
        self._role = role
        self._plan = plan
        self._keys = keys
        self._end_of = end_of
        self.waiting: deque[GatheredBlock] = deque()
        self.active: dict[int, KeyBlockEnd] = {}

    @property
    def held_bytes(self) -> int:
        """Memory that open key blocks take, on the safe side."""
        waiting = sum(held_bytes(block.size_bits, block.said_bytes) for block in self.waiting)
        return waiting + sum(block.held_bytes for block in self.active.values())

    def has_room(self, round_trip_ns: int) -> bool:
        """Whether the receiver may take more light. What it began lags a round trip behind the transmitter."""
        wanted = blocks_wanted(self._plan, round_trip_ns)
        is_short = len(self.waiting) < WAITING_MAX + wanted
        return is_short and (not self.waiting or self.held_bytes < self._plan.in_flight_bytes_max)

    def add(self, gathered: GatheredBlock) -> None:
        """One more.

        Raises:
            RemoteProtocolError: an honest peer would have stopped before.
        """
        self.waiting.append(gathered)
        count = len(self.waiting) + len(self.active)
        # Twice: what our own rule allows, and a peer that counts with a delay; plus blocks that are never too many.
        largest = held_bytes(gathered.size_bits, gathered.said_bytes)
        is_over = self.held_bytes > 2 * self._plan.in_flight_bytes_max + (WAITING_MAX + 2) * largest + SLACK_BYTES
        if count > BLOCKS_LIMIT or is_over:
            raise RemoteProtocolError(f"{count} key blocks are open: the peer ignores flow control")

    def find(self, message: KeyBlockMessage, now_ns: int) -> KeyBlockEnd:
        """The key block that a message is about; the receiver begins it with the transmitter's first word.

        Raises:
            RemoteProtocolError: no such block is open, or it is not its turn.
        """
        is_first_word = self._role is Role.RECEIVER and isinstance(message, Reconcile | GiveUp)
        if is_first_word and self.waiting and self.waiting[0].number == message.block:
            self._begin(now_ns)
        block = self.active.get(message.block)
        if block is None:
            raise RemoteProtocolError(f"{type(message).__name__} for key block {message.block}, which is not open")
        if self._role is Role.RECEIVER and isinstance(message, Tag):
            self._check_turn(block)
        return block

    def advance(self, now_ns: int, round_trip_ns: int) -> list[KeyBlock | BlockReport]:
        """Show tags whose turn has come, begin what waits; what ended, in order."""
        outcomes: list[KeyBlock | BlockReport] = []
        wanted = blocks_wanted(self._plan, round_trip_ns) if self._role is Role.TRANSMITTER else 0
        while True:
            self._show_tags()
            while self.active and (first := next(iter(self.active.values()))).state is State.ENDED:
                outcomes += first.outcome
                del self.active[first.number]
            if not self.waiting or len(self.active) >= wanted:
                return outcomes
            self._begin(now_ns)

    def wipe(self) -> None:
        for block in self.active.values():
            block.wipe()
        for gathered in self.waiting:
            gathered.wipe()
        self.active.clear()
        self.waiting.clear()

    def _begin(self, now_ns: int) -> None:
        block = self._end_of(self.waiting.popleft())
        self.active[block.number] = block
        block.begin(now_ns)

    def _show_tags(self) -> None:
        """In the order of numbers. A pool that cannot pay waits for what tagged blocks will put back."""
        is_expecting = False
        for block in self.active.values():
            if block.state is State.READY and (self._keys.can_pay or not is_expecting):
                block.show_tag()
            if block.state not in {State.TAGGING, State.ENDED}:
                return
            is_expecting = is_expecting or block.state is State.TAGGING

    def _check_turn(self, block: KeyBlockEnd) -> None:
        for earlier in self.active.values():
            if earlier is block:
                return
            if earlier.state not in {State.RELEASING, State.ENDED}:
                raise RemoteProtocolError(f"a tag of key block {block.number} before that of {earlier.number}")
