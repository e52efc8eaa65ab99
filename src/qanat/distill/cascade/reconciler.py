"""Cascade as an algorithm that knows nothing of messages: ``next_query()`` and ``feed(answer)``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qanat.core.errors import LocalProtocolError, RemoteProtocolError
from qanat.distill.cascade import kernels
from qanat.distill.cascade.schedule import Schedule, tables_from_seed

ROUNDS_MAX = 3000  # measured with these schedules: 70 to 500 on average (bench/cascade.py)
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
        self._tables = tables_from_seed(schedule, seed)
        self._sizes = np.array(schedule.log2_sizes, dtype=np.int64)
        self._words = _packed_frames(bits, schedule, self._tables.order)
        shape = (schedule.frame_count, len(schedule.log2_sizes), schedule.padded_bits)
        self._state = kernels.empty_state(*shape)
        # No round asks for more: a frame's disjoint nodes, or the blocks of a pass, or the subsets.
        room = schedule.frame_count * max(schedule.padded_bits // 2 + 1, len(self._tables.subsets))
        self._own = np.empty(room, dtype=np.uint8)
        self._asked = -1

    @property
    def is_hopeless(self) -> bool:
        """Whether to stop: far more errors than the schedule was made for, or a peer that lies.

        In whole numbers, so that both ends stop in the same round on every platform.
        """
        return self.leak_bits * 8 > self.schedule.size_bits * 5 + SMALL_BITS or self.round_count >= ROUNDS_MAX

    def next_query(self) -> bytes | None:
        """This end's parities of the round, packed; None when nothing more is to be asked."""
        if self._asked >= 0:
            raise LocalProtocolError("the peer's parities of this round have not been fed yet")
        asked = int(
            kernels.next_parities(
                self.schedule.frame_bits,
                self._sizes,
                self._tables.subsets,
                self._words,
                *(self._state[name] for name in _STATE),
                self._own,
            )
        )
        if asked == 0:
            return None
        self._asked = asked
        self.leak_bits += asked
        self.round_count += 1
        return np.packbits(self._own[:asked]).tobytes()

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
        peer = np.unpackbits(np.frombuffer(answer, dtype=np.uint8), count=asked)
        self.error_count += int(
            kernels.learn(
                self.schedule.frame_bits,
                self._is_reference,
                self._sizes,
                self._tables.order,
                self._tables.place,
                self._tables.subsets,
                self._words,
                *(self._state[name] for name in _STATE),
                self._own,
                peer,
            )
        )

    def corrected(self) -> NDArray[np.uint8]:
        """This end's key as it stands, one bit per element: at the reference end unchanged."""
        m, frames = self.schedule.frame_bits, self.schedule.frame_count
        first_pass = np.ascontiguousarray(self._words[:, 0, :]).view(np.uint8).reshape(frames, -1)
        bits = np.unpackbits(first_pass, axis=1, bitorder="little", count=m)
        return np.ascontiguousarray(bits.T).reshape(-1)[: self.schedule.size_bits]

    def wipe(self) -> None:
        """Forget the key."""
        self._words[:] = 0
        self._own[:] = 0


# The kernels' state, in the order of their arguments.
_STATE = ("nodes", "stack", "depth", "stage", "odd", "low", "high", "mode", "which", "count")


def _packed_frames(bits: NDArray[np.uint8], schedule: Schedule, order: NDArray[np.int32]) -> NDArray[np.uint64]:
    """Every frame in every pass's order, uint64, shape (frame_count, pass_count, padded_bits / 64)."""
    frames, m = schedule.frame_count, schedule.frame_bits
    dealt = np.zeros(frames * m, dtype=np.uint8)
    dealt[: len(bits)] = bits
    dealt = np.ascontiguousarray(dealt.reshape(m, frames).T)
    packed = np.zeros((frames, len(order), schedule.padded_bits // 8), dtype=np.uint8)
    for which, places in enumerate(order):
        columns = np.packbits(dealt[:, places] if which else dealt, axis=1, bitorder="little")
        packed[:, which, : columns.shape[1]] = columns
    return packed.view("<u8").astype(np.uint64, copy=False)
