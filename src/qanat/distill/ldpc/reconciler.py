"""LDPC reconciliation as an algorithm that knows nothing of messages: ``next_query()`` and ``feed(answer)``.

Rounds come in pairs. First the reference end sends parities of every frame not yet decoded; then the receiver says
of each how many errors it found, or that it could not decode. Undecoded frames get more parities, by splitting rows
of the code, and after the last such step all that are left go to Cascade together.
"""

from __future__ import annotations

import enum
import zlib

import numpy as np
from numpy.typing import NDArray

from qanat.core.errors import LocalProtocolError, RemoteProtocolError
from qanat.distill.cascade.mixing import permutation
from qanat.distill.cascade.reconciler import Reconciler
from qanat.distill.cascade.schedule import schedule_from_qber
from qanat.distill.ldpc.codes import Code, code
from qanat.distill.ldpc.decoder import ITERATIONS_FIRST, ITERATIONS_MORE, Decoder, placed, syndrome
from qanat.distill.ldpc.parameters import plan_from_parameters

CHECK_BITS = 32  # CRC-32 of the frame: 32 further parities (plus a constant), by which wrong decoding shows
VERDICT_BITS = 32  # errors found in a frame, or NOT_DECODED
NOT_DECODED = 2**32 - 1


class Phase(enum.Enum):
    PARITIES = "the reference end discloses parities"
    VERDICT = "the receiver says which frames are decoded"
    CASCADE = "both ends do Cascade on the frames that are left"
    OVER = "nothing more is to be said"


class LdpcReconciler:
    """One end of LDPC reconciliation over all frames of one key block; see ``rounds.Rounds``.

    What is disclosed: ``leak_bits`` counts the reference end's parities, check bits included, and the bits of the
    receiver's verdicts, which are no parities but told about the errors; Cascade's leak is added.

    Args:
        bits: This end's key, one bit per element, uint8. Copied.
        is_reference: True at the transmitter.
        parameters: As ``ldpc_parameters`` made them, at either end.
        seed: Public, the same at both ends, drawn after both keys are fixed.

    Raises:
        RemoteProtocolError: the parameters make no plan for a key of this size.
    """

    def __init__(self, bits: NDArray[np.uint8], *, is_reference: bool, parameters: bytes, seed: bytes) -> None:
        self.plan = plan_from_parameters(parameters, len(bits))
        self.leak_bits = self.error_count = self.round_count = 0
        self._is_reference, self._seed = is_reference, seed
        self._order = permutation(len(bits), seed, "ldpc frames")
        self._bits = bits[self._order]
        count = self.plan.frame_count(len(bits))
        self._bounds = [len(bits) * frame // count for frame in range(count + 1)]
        self._code = code(self.plan.code, self.plan.size, self.plan.rows_added)
        self._left = list(range(count))  # frames not decoded
        self._decoded: set[int] = set()
        self._step = 0
        self._known: dict[int, NDArray[np.uint8]] = {}  # receiver: difference of syndromes, by frame
        self._found: list[int] = []  # receiver: this round's verdict, by frame left
        self._checks: dict[int, int] = {}
        self._decoder: Decoder | None = None
        self._iteration_count = 0
        self._tried = -1  # the frame that the decoder holds
        self._cascade: Reconciler | None = None
        self._phase, self._is_open = Phase.PARITIES, False

    @property
    def frames(self) -> list[NDArray[np.int64]]:
        """Which key bits each frame holds: for verification frame by frame."""
        return [self._order[self._slice(frame)].astype(np.int64) for frame in range(len(self._bounds) - 1)]

    @property
    def frames_decoded(self) -> frozenset[int]:
        """Frames that needed no Cascade."""
        return frozenset(self._decoded)

    @property
    def iteration_count(self) -> int:
        """Decoding iterations so far, at the receiver."""
        return self._decoder.iteration_count if self._decoder else self._iteration_count

    @property
    def is_hopeless(self) -> bool:
        """Whether to give up: Cascade does. LDPC itself ends after ``plan.step_count`` steps."""
        return self._cascade is not None and self._cascade.is_hopeless

    def next_query(self) -> bytes | None:
        """This end's part of the round, b"" when the other end alone speaks, None when all is said."""
        if self._is_open:
            raise LocalProtocolError("the peer's part of this round has not been fed yet")
        if self._phase is Phase.OVER:
            return None
        if self._phase is Phase.CASCADE:
            return self._cascade_query()
        self._is_open = True
        self.round_count += 1
        if self._phase is Phase.VERDICT:
            self.leak_bits += VERDICT_BITS * len(self._left)
            return b"" if self._is_reference else np.array(self._found, dtype=">u4").tobytes()
        self.leak_bits += 8 * self._answer_bytes()
        return b"".join(self._parities(frame) for frame in self._left) if self._is_reference else b""

    def feed(self, answer: bytes) -> None:
        """The peer's part of the same round.

        Raises:
            RemoteProtocolError: it has another size or tells what cannot be.
        """
        if not self._is_open:
            raise LocalProtocolError("no round is open")
        if self._phase is Phase.CASCADE:
            self._cascade_feed(answer)
            return
        is_ours = self._is_reference == (self._phase is Phase.PARITIES)
        expected = 0 if is_ours else self._answer_bytes()
        if len(answer) != expected:
            raise RemoteProtocolError(f"{len(answer)} bytes in a round of LDPC that has {expected}")
        self._is_open = False
        if self._phase is Phase.PARITIES:
            if not self._is_reference:
                self._decode(answer)
            self._phase = Phase.VERDICT
        else:
            self._judge(np.frombuffer(answer, dtype=">u4").tolist() if self._is_reference else self._found)

    def corrected(self) -> NDArray[np.uint8]:
        """This end's key as it stands, one bit per element; at the reference end unchanged."""
        bits = np.empty_like(self._bits)
        bits[self._order] = self._bits
        return bits

    def wipe(self) -> None:
        """Forget the key."""
        self._bits[:] = 0
        for each in self._known.values():
            each[:] = 0
        self._drop_decoder()
        if self._cascade:
            self._cascade.wipe()

    def _slice(self, frame: int) -> slice:
        return slice(self._bounds[frame], self._bounds[frame + 1])

    def _disclosed_now(self) -> Code:
        """The rows whose parities this step discloses."""
        if self._step == 0:
            return self._code
        return self._code.first_halves(self.plan.splits_after(self._step - 1), self.plan.splits_after(self._step))

    def _answer_bytes(self) -> int:
        """Of the end that speaks in this round."""
        if self._phase is Phase.VERDICT:
            return len(self._left) * VERDICT_BITS // 8
        bits = self._disclosed_now().rows * self._code.lanes + (0 if self._step else CHECK_BITS - self.plan.hidden)
        return len(self._left) * bits // 8

    def _parities(self, frame: int) -> bytes:
        bits = self._bits[self._slice(frame)]
        parities = syndrome(self._disclosed_now(), placed(bits, self._code.lanes))
        if self._step:
            return np.packbits(parities).tobytes()
        return np.packbits(parities[: self.plan.parities]).tobytes() + _check(bits).to_bytes(CHECK_BITS // 8)

    def _decode(self, answer: bytes) -> None:
        """Take in the reference end's parities and try every frame left."""
        size = len(answer) // len(self._left)
        self._found = []
        for place, frame in enumerate(self._left):
            part = answer[place * size : (place + 1) * size]
            self._learn(frame, part)
            self._found.append(self._try(frame))

    def _learn(self, frame: int, part: bytes) -> None:
        bits = placed(self._bits[self._slice(frame)], self._code.lanes)
        rows = self._disclosed_now()
        if self._step == 0:
            self._checks[frame] = int.from_bytes(part[-(CHECK_BITS // 8) :])
            part = part[: -(CHECK_BITS // 8)]
        new = syndrome(rows, bits)
        told = np.unpackbits(np.frombuffer(part, dtype=np.uint8))
        new[: len(told)] ^= told
        new[len(told) :] = 0
        if self._step == 0:
            self._known[frame] = new
        else:
            split = self.plan.splits_after(self._step - 1)
            self._known[frame] = _with_halves(self._known[frame], new, split, rows.rows, self._code.lanes)

    def _try(self, frame: int) -> int:
        """Decode; correct the frame when its check bits agree. How many errors there were, or NOT_DECODED."""
        self._decoder = self._decoder or Decoder(self._code)
        bits = self._bits[self._slice(frame)]  # a view
        is_new = frame != self._tried
        if is_new:
            self._decoder.begin(len(bits), self.plan.qber)
        self._tried = frame
        code_now = self._code.split(self.plan.splits_after(self._step))
        iterations = ITERATIONS_FIRST if is_new else ITERATIONS_MORE
        errors = self._decoder.errors(code_now, self._known[frame], iterations, self.plan.hidden)
        if errors is None or _check(bits ^ errors) != self._checks[frame]:
            return NOT_DECODED
        bits ^= errors
        return int(errors.sum())

    def _judge(self, found: list[int]) -> None:
        """Both ends draw the same conclusions from the receiver's verdict."""
        for frame, count in zip(self._left, found, strict=True):
            if count == NOT_DECODED:
                continue
            if count > self._bounds[frame + 1] - self._bounds[frame]:
                raise RemoteProtocolError(f"{count} errors in an LDPC frame that has fewer bits")
            self.error_count += count
            self._decoded.add(frame)
        self._left = [frame for frame in self._left if frame not in self._decoded]
        self._step += 1
        if not self._left:
            self._phase = Phase.OVER
            self._drop_decoder()
        elif self._step <= self.plan.step_count and self._disclosed_now().rows:
            self._phase = Phase.PARITIES
        else:
            self._begin_cascade()

    def _drop_decoder(self) -> None:
        """Many key blocks may be open; only one that is still decoding needs a decoder's room."""
        if self._decoder:
            self._iteration_count = self._decoder.iteration_count
            self._decoder.wipe()
        self._decoder = None

    def _begin_cascade(self) -> None:
        self._phase = Phase.CASCADE
        self._drop_decoder()
        bits = np.concatenate([self._bits[self._slice(frame)] for frame in self._left])
        schedule = schedule_from_qber(len(bits), self.plan.qber)
        self._cascade = Reconciler(
            bits, is_reference=self._is_reference, schedule=schedule, seed=self._seed + b"/cascade"
        )
        bits[:] = 0

    def _cascade_query(self) -> bytes | None:
        assert self._cascade is not None
        before = self._cascade.leak_bits
        query = self._cascade.next_query()
        self.leak_bits += self._cascade.leak_bits - before
        self._is_open = query is not None
        self.round_count += self._is_open
        if query is None:
            self._phase = Phase.OVER
            bits = self._cascade.corrected()
            for frame in self._left:
                size = self._bounds[frame + 1] - self._bounds[frame]
                self._bits[self._slice(frame)], bits = bits[:size], bits[size:]
        return query

    def _cascade_feed(self, answer: bytes) -> None:
        assert self._cascade is not None
        before = self._cascade.error_count
        self._cascade.feed(answer)
        self.error_count += self._cascade.error_count - before
        self._is_open = False


def _check(bits: NDArray[np.uint8]) -> int:
    return zlib.crc32(np.packbits(bits).tobytes())


def _with_halves(
    known: NDArray[np.uint8], halves: NDArray[np.uint8], split: int, count: int, lanes: int
) -> NDArray[np.uint8]:
    """The syndrome after ``count`` further rows are split: the second half of a row is the whole less the first."""
    rows = known.reshape(-1, lanes)
    first = halves.reshape(count, lanes)
    second = rows[2 * split : 2 * split + count] ^ first
    both = np.stack([first, second], axis=1).reshape(2 * count, lanes)
    return np.concatenate([rows[: 2 * split], both, rows[2 * split + count :]]).reshape(-1)
