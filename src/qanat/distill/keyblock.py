"""One key block from sifted to released, at one end: what both roles share. See ``states.py``."""

from __future__ import annotations

from collections.abc import Callable

from qanat.core.errors import LocalProtocolError, RemoteProtocolError
from qanat.core.ledger_term import LengthTerm
from qanat.core.ports import Entropy
from qanat.core.records import KeyBlock, Role
from qanat.core.report import BlockReport
from qanat.crypto.toeplitz_seed import SeedBook
from qanat.crypto.verification import TAG_BITS
from qanat.distill.authenticate import TagKeys, Transcript
from qanat.distill.estimate import AbortReason, Estimate, discard_loss, estimate, sentence
from qanat.distill.gather import GatheredBlock
from qanat.distill.in_flight import held_bytes
from qanat.distill.ledger import block_report, key_block
from qanat.distill.length_terms import length_terms
from qanat.distill.messages import KeyBlockMessage, Parities, Reconcile, Released, Tag, encoded
from qanat.distill.methods import Method, rounds
from qanat.distill.plan import SessionPlan
from qanat.distill.release import NewKey
from qanat.distill.rounds import Rounds
from qanat.distill.sift import Bits
from qanat.distill.states import HEARABLE, State
from qanat.distill.verify import Frames, kept, sizes_of, tag_size_bytes


class KeyBlockEnd:
    """One end of one key block's distillation. Several are open at a time, see ``open_blocks.py``.

    Attributes:
        round_trip_ns: Of the channel when the key block was begun.
        outcome: What to tell the host, once ``state`` is ENDED.
    """

    role: Role

    def __init__(
        self,
        gathered: GatheredBlock,
        *,
        plan: SessionPlan,
        keys: TagKeys,
        entropy: Entropy,
        seeds: SeedBook,
        send: Callable[[bytes], None],
    ) -> None:
        self.gathered = gathered
        self.state = State.GATHERED
        self.round_trip_ns = 0
        self.outcome: list[KeyBlock | BlockReport] = []
        self._plan = plan
        self._keys = keys
        self._entropy = entropy
        self._seeds = seeds
        self._send = send
        self._reconciler: Rounds | None = None
        self._method = ""
        self._frames: Frames = ()
        self._frames_failed = 0
        self._discarded_bits = 0
        self._round: bytes | None = None  # our parities of the open round, as they travelled
        self._bits: Bits | None = None
        self._new_key: NewKey | None = None
        self._estimate: Estimate | None = None
        self._was_checked = False
        self._transcript = Transcript(plan.digest() + gathered.number.to_bytes(8))
        for said in gathered.said:
            self._transcript.add(said)
        gathered.said.clear()

    @property
    def number(self) -> int:
        return self.gathered.number

    @property
    def held_bytes(self) -> int:
        """Memory it takes, on the safe side."""
        is_ended = self.state is State.ENDED
        return 0 if is_ended else held_bytes(self.gathered.size_bits, self._transcript.size_bytes)

    @property
    def leak_bits(self) -> int:
        return self._reconciler.leak_bits if self._reconciler else 0

    def begin(self, now_ns: int) -> None:
        """Its turn has come. The transmitter speaks first."""

    def hear(self, message: KeyBlockMessage, raw: bytes, now_ns: int) -> None:
        """The peer said this about the key block.

        Raises:
            RemoteProtocolError: it may not say that now.
            AuthenticationFailed: a tag or token does not fit.
        """
        if message.block != self.number or not isinstance(message, HEARABLE.get((self.role, self.state), ())):
            raise RemoteProtocolError(
                f"{type(message).__name__} for key block {message.block} while {self.number} is {self.state}"
            )
        self._handle(message, raw, now_ns)

    def show_tag(self) -> None:
        """Its tag's turn has come.

        Raises:
            SecretExhausted: the pool cannot pay for it.
        """
        raise LocalProtocolError(f"the {self.role.name.lower()} shows its tag in answer to the peer's")

    def wipe(self) -> None:
        """Forget every secret of this key block."""
        self.gathered.wipe()
        self._transcript.forget()
        if self._bits is not None:
            self._bits[:] = 0
        if self._reconciler is not None:
            self._reconciler.wipe()
        if self._new_key is not None:
            self._new_key.wipe()

    def _handle(self, message: KeyBlockMessage, raw: bytes, now_ns: int) -> None:
        raise NotImplementedError

    def _after_reconciliation(self, now_ns: int) -> None:
        raise NotImplementedError

    def _say(self, message: KeyBlockMessage) -> None:
        """Send, and let the transcript know."""
        raw = encoded(message)
        self._transcript.add(raw)
        self._send(raw)

    def _send_message(self, message: Tag | Released) -> None:
        """Send what the transcript does not cover: what comes after its last word."""
        self._send(encoded(message))

    def _send_tag(self) -> None:
        self._send_message(Tag(block=self.number, tag=self._transcript.tag(self.role)))

    def _own_bits(self) -> Bits:
        if self._bits is None:
            raise LocalProtocolError("the key is not reconciled yet")
        return self._bits

    def _key(self) -> NewKey:
        if self._new_key is None:
            raise LocalProtocolError("there is no new key yet")
        return self._new_key

    def _begin_rounds(self, proposal: Reconcile, now_ns: int) -> None:
        self.state = State.RECONCILING
        self._reconciler = rounds(
            proposal.method,
            proposal.parameters,
            proposal.seed,
            bits=self.gathered.x_bits,
            is_reference=self.role is Role.TRANSMITTER,
            plan=self._plan,
        )
        self._method = Method(proposal.method).name.lower()
        self._frames = self._reconciler.frames
        self.gathered.forget_key()
        self._ask(now_ns)

    def _ask(self, now_ns: int) -> None:
        """The next round, or what follows the last. Both ends see alike when it is over."""
        reconciler = self._rounds()
        own = None if reconciler.is_hopeless else reconciler.next_query()
        if own is None:
            self._bits = reconciler.corrected()
            self.state = State.VERIFYING
            self._after_reconciliation(now_ns)
            return
        self._round = encoded(Parities(block=self.number, bits=own))
        self._send(self._round)

    def _take_parities(self, message: Parities, raw: bytes, now_ns: int) -> None:
        if self._round is None:
            raise RemoteProtocolError("parities without a round")
        # The two messages of a round may cross on the way: the transcript has the transmitter's first.
        ours_first = self.role is Role.TRANSMITTER
        for said in (self._round, raw) if ours_first else (raw, self._round):
            self._transcript.add(said)
        self._round = None
        self._rounds().feed(message.bits)
        self._ask(now_ns)

    @property
    def _tag_bits(self) -> int:
        return 8 * len(self._frames) * tag_size_bytes(sizes_of(self._frames), self._plan.epsilon_cor)

    def _discard(self, is_equal: list[bool]) -> None:
        """Keep only the frames that are equal; the length is estimated anew."""
        bits = self._own_bits()
        self._bits = kept(bits, self._frames, is_equal)
        self._frames_failed = is_equal.count(False)
        if self._frames_failed:
            self._discarded_bits = len(bits) - len(self._bits)
            self._estimate = None
            bits[:] = 0

    def _rounds(self) -> Rounds:
        if self._reconciler is None:
            raise RemoteProtocolError("reconciliation has not begun")
        return self._reconciler

    def _length(self) -> Estimate:
        if self._estimate is None:
            tag_bits = self._tag_bits if self._frames else TAG_BITS
            self._estimate = estimate(
                self.gathered, self._plan, self.leak_bits, tag_bits=tag_bits, discarded_bits=self._discarded_bits
            )
        return self._estimate

    def _abort(self, reason: AbortReason, now_ns: int) -> None:
        if self.gathered.counts.total_z:
            self._length()  # the report shows how far from key the block was
        text = sentence(reason, self.gathered, self._plan, self.leak_bits)
        self.outcome = [self._report(now_ns, aborted=text)]
        self.state = State.ENDED
        self.wipe()

    def _release(self, new_key: NewKey, now_ns: int) -> None:
        report = self._report(now_ns, aborted=None, secret_bits=new_key.bits.size_bits)
        made = key_block(self.gathered, self._plan, self._keys, new_key.bits, report.epsilon)
        self._keys.put_back(new_key.returned, epsilon=made.provenance.epsilon_total)
        self.outcome = [made, report]
        self._new_key = None
        self.state = State.ENDED
        new_key.returned.wipe()
        new_key.token.wipe()
        self.wipe()

    def _terms(self, *, is_made: bool) -> list[LengthTerm]:
        if self._estimate is None:
            return []
        loss = discard_loss(self._estimate.proof, self._discarded_bits)
        return length_terms(self.gathered, self._estimate, discard_loss=loss, is_made=is_made)

    def _report(self, now_ns: int, *, aborted: str | None, secret_bits: int = 0) -> BlockReport:
        reconciler = self._reconciler
        return block_report(
            self.gathered,
            self._plan,
            aborted=aborted,
            error_count=reconciler.error_count if reconciler and self._bits is not None else None,
            leak_bits=self.leak_bits,
            tag_bits=self._tag_bits if self._was_checked else 0,
            secret_bits=secret_bits,
            proof=self._estimate.proof if self._estimate else None,
            authentication=self._keys.authentication,
            epsilon_authentication=self._transcript.epsilon(),
            epsilon_tag_keys=self._transcript.epsilon_keys,
            round_trips=reconciler.round_count if reconciler else 0,
            method=self._method,
            frames=len(self._frames),
            frames_failed=self._frames_failed,
            terms=self._terms(is_made=aborted is None),
            now_ns=now_ns,
        )
