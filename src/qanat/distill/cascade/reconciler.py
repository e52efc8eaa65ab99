"""Cascade as an algorithm that knows nothing of messages: ``next_query()`` and ``feed(answer)``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qanat.core.errors import LocalProtocolError, RemoteProtocolError
from qanat.distill.cascade.learning import learn
from qanat.distill.cascade.packing import pack_first_pass, pack_later_passes, unpacked_frames
from qanat.distill.cascade.parities import next_parities
from qanat.distill.cascade.schedule import Schedule, tables_from_seed
from qanat.distill.cascade.state import empty_state
from qanat.distill.cascade.workspace import WORKSPACE

ROUNDS_MAX = 12_000  # measured: 70 to 500 on average, 400 to 2000 with low leak (bench/cascade.py)
SMALL_BITS = 1000  # tiny keys, as tests have them, may disclose more than they hold


class Reconciler:
    """One end of Cascade over all frames of one key block.

    Both ends run the same object. In each round both disclose their parities of the same blocks; which
    blocks these are follows from what both know, so no addresses travel, the two messages of a round may
    cross, and both ends count the same leak. The transmitter's key is the reference; the receiver's is
    corrected.

    What is disclosed: the reference parities, ``leak_bits`` of them, and their differences from the
    receiver's, which are parities of the error pattern. ``estimate.py`` says how each is paid for.

    Args:
        bits: This end's key, one bit per element, uint8, shape (schedule.size_bits,). Copied.
        is_reference: True at the transmitter.
        seed: Public, the same at both ends, drawn after both keys are fixed.
    """

    def __init__(self, bits: NDArray[np.uint8], *, is_reference: bool, schedule: Schedule, seed: bytes) -> None:
        if bits.shape != (schedule.size_bits,):
            raise LocalProtocolError(f"{bits.shape} bits for a schedule of {schedule.size_bits}")
        self.schedule = schedule
        self.leak_bits = 0
        self.error_count = 0
        self.round_count = 0
        self._is_reference = is_reference
        tables = tables_from_seed(schedule, seed)
        frames, padded = schedule.frame_count, schedule.padded_bits
        passes = len(schedule.log2_sizes)
        self._words = WORKSPACE.take(frames * passes * (padded // 64), "<u8", is_zeroed=True)
        self._shape = (passes, padded // 64)
        pack_first_pass(bits, frames, schedule.frame_bits, self._shape, self._words)
        self._is_packed = passes == 1
        self._state = (self._words, *empty_state(frames, passes, padded))
        sizes, self._subsets = np.array(schedule.log2_sizes, dtype=np.int64), tables.subsets.ravel()
        self._numbers = (schedule.frame_bits, padded)
        self._sizes, self._tables = sizes, tables
        # No round asks for more: a frame's disjoint nodes, or the blocks of a pass, or the subsets.
        room = frames * max(padded // 2 + 1, len(tables.subsets))
        self._own = WORKSPACE.take(room, "|u1")
        self._said = WORKSPACE.take((room + 7) // 8, "|u1")
        self._asked = -1

    @property
    def is_hopeless(self) -> bool:
        """Whether to stop: far more errors than the schedule was made for, or a peer that lies.

        In whole numbers, so that both ends stop in the same round on every platform.
        """
        return self.leak_bits * 8 > self.schedule.size_bits * 5 + SMALL_BITS or self.round_count >= ROUNDS_MAX

    @property
    def frames(self) -> list[NDArray[np.int64]]:
        """Which key bits each frame holds: bit j lies in frame j mod frame_count."""
        count, size = self.schedule.frame_count, self.schedule.size_bits
        return [np.arange(frame, size, count, dtype=np.int64) for frame in range(count)]

    def next_query(self) -> bytes | None:
        """This end's parities of the round, packed; None when nothing more is to be asked."""
        if self._asked >= 0:
            raise LocalProtocolError("the peer's parities of this round have not been fed yet")
        if (asked := self._choose()) < 0:
            # Only now: until here one correction was enough, where it would have been one per pass.
            schedule = self.schedule
            pack_later_passes(self._tables.order, schedule.frame_count, schedule.frame_bits, self._shape, self._words)
            self._is_packed = True
            asked = self._choose()
        if asked == 0:
            return None
        self._asked = asked
        self.leak_bits += asked
        self.round_count += 1
        return self._said[: (asked + 7) // 8].tobytes()

    def _choose(self) -> int:
        own = (self._own, self._said)
        return int(next_parities(*self._numbers, self._is_packed, self._sizes, self._subsets, *self._state, *own))

    def feed(self, answer: bytes) -> None:
        """The peer's parities of the same round.

        Raises:
            RemoteProtocolError: they are not as many as were asked for.
        """
        asked = self._asked
        if asked < 0:
            raise LocalProtocolError("no round is open")
        if len(answer) != (asked + 7) // 8:
            raise RemoteProtocolError(f"{len(answer)} bytes of parities for {asked} bits")
        self._asked = -1
        heard = np.frombuffer(answer, dtype=np.uint8)
        tables = (self._sizes, self._tables.order.ravel(), self._tables.place.ravel(), self._subsets)
        self.error_count += int(
            learn(
                *self._numbers,
                self._is_packed,
                self._is_reference,
                *tables,
                *self._state,
                self._own,
                heard,
            )
        )

    def corrected(self) -> NDArray[np.uint8]:
        """This end's key as it stands, one bit per element: at the reference end unchanged."""
        schedule = self.schedule
        return unpacked_frames(self._words, schedule.size_bits, schedule.frame_count, schedule.frame_bits, self._shape)

    def wipe(self) -> None:
        """Forget the key."""
        if self._state:
            for secret in (self._words, self._own, self._said):
                WORKSPACE.give(secret, is_secret=True)
            for public in self._state[1:]:
                WORKSPACE.give(public)
        self._state = ()
