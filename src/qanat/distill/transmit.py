"""The transmitter's end of a key block: it leads, and its key is the reference."""

from __future__ import annotations

from qanat.core.errors import RemoteProtocolError
from qanat.core.records import Role
from qanat.crypto.toeplitz import InexactError
from qanat.distill.amplify import amplification, amplified
from qanat.distill.estimate import AbortReason, reason_to_stop
from qanat.distill.keyblock import KeyBlockEnd
from qanat.distill.messages import Checked, GiveUp, KeyBlockMessage, Parities, Reconcile, Released, Tag
from qanat.distill.methods import SEED_BYTES, chosen
from qanat.distill.release import divided
from qanat.distill.states import State
from qanat.distill.verify import check, verdict_from


class TransmittedKeyBlock(KeyBlockEnd):
    """See ``keyblock.KeyBlockEnd``."""

    role = Role.TRANSMITTER

    def begin(self, now_ns: int) -> None:
        """The first word is ours: reconcile it or give it up."""
        reason = reason_to_stop(self.gathered, self._plan)
        if reason is not None:
            self._give_up(reason, now_ns)
            return
        method, parameters = chosen(self.gathered, self._plan, self.round_trip_ns)
        # Public, but drawn only now: nobody could place errors where these blocks do not see them.
        seed = self._entropy.random_bytes(SEED_BYTES)
        proposal = Reconcile(block=self.number, method=method, parameters=parameters, seed=seed)
        self._say(proposal)
        self._begin_rounds(proposal, now_ns)

    def _handle(self, message: KeyBlockMessage, raw: bytes, now_ns: int) -> None:
        match message:
            case Parities():
                self._take_parities(message, raw, now_ns)
            case Checked():
                self._transcript.add(raw)
                self._take_verdict(message, now_ns)
            case Tag():
                self._take_tag(message, now_ns)
            case _:
                raise RemoteProtocolError(f"{type(message).__name__} is not for a transmitter")

    def _after_reconciliation(self, now_ns: int) -> None:
        if self._rounds().is_hopeless:
            self._give_up(AbortReason.LEAK_EXCEEDED, now_ns)
        elif not self._length().length_bits:
            self._give_up(AbortReason.NOTHING_PROVEN, now_ns)
        else:
            self._say(check(self.number, self._own_bits(), self._frames, self._plan.epsilon_cor, self._entropy))
            self._was_checked = True

    def _take_verdict(self, message: Checked, now_ns: int) -> None:
        is_equal = verdict_from(message, self._frames)
        if not any(is_equal):
            self._abort(AbortReason.NOT_EQUAL, now_ns)
            return
        self._discard(is_equal)
        if not self._length().length_bits:
            self._give_up(AbortReason.NOTHING_PROVEN, now_ns)
            return
        bits = self._own_bits()
        seed = amplification(self.number, len(bits), self._length().length_bits, self._seeds)
        try:
            self._new_key = divided(amplified(bits, seed))
        except InexactError:
            self._give_up(AbortReason.INEXACT, now_ns)
            return
        self._say(seed)
        self.state = State.READY

    def show_tag(self) -> None:
        self._transcript.bind(self._keys)
        self._send_tag()
        self.state = State.TAGGING

    def _take_tag(self, message: Tag, now_ns: int) -> None:
        self._transcript.verify(Role.RECEIVER, message.tag)
        new_key = self._key()
        # The token is part of the key that is used for nothing else: showing it shows that we hold the key.
        self._send_message(Released(block=self.number, token=new_key.token.reveal()))
        self._release(new_key, now_ns)

    def _give_up(self, reason: AbortReason, now_ns: int) -> None:
        self._say(GiveUp(block=self.number, reason=reason))
        self._abort(reason, now_ns)
