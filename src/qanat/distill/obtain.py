"""The receiver's end of a key block: it follows, and corrects its key to the transmitter's."""

from __future__ import annotations

from qanat.core.errors import RemoteProtocolError
from qanat.core.records import Role
from qanat.distill.amplify import amplified
from qanat.distill.estimate import AbortReason
from qanat.distill.keyblock import KeyBlockEnd
from qanat.distill.messages import (
    Amplify,
    Check,
    GiveUp,
    KeyBlockMessage,
    Parities,
    Reconcile,
    Released,
    Tag,
)
from qanat.distill.release import divided
from qanat.distill.states import State
from qanat.distill.verify import checked, verdict


class ReceivedKeyBlock(KeyBlockEnd):
    """See ``keyblock.KeyBlockEnd``."""

    role = Role.RECEIVER

    def _handle(self, message: KeyBlockMessage, raw: bytes, now_ns: int) -> None:
        if not isinstance(message, Parities | Tag | Released):
            self._transcript.add(raw)
        match message:
            case Reconcile():
                self._take_proposal(message, now_ns)
            case Parities():
                self._take_parities(message, raw, now_ns)
            case Check():
                self._take_check(message, now_ns)
            case Amplify():
                self._take_seed(message)
            case Tag():
                self._transcript.bind(self._keys)
                self._transcript.verify(Role.TRANSMITTER, message.tag)
                self._send_tag()
                self.state = State.RELEASING
            case Released():
                self._key().check_token(message.token)
                self._release(self._key(), now_ns)
            case GiveUp():
                self._abort(_reason(message), now_ns)
            case _:
                raise RemoteProtocolError(f"{type(message).__name__} is not for a receiver")

    def _take_proposal(self, message: Reconcile, now_ns: int) -> None:
        if self.gathered.size_bits < 2:
            raise RemoteProtocolError(f"{self.gathered.size_bits} bits cannot be reconciled")
        self._begin_rounds(message, now_ns)

    def _after_reconciliation(self, now_ns: int) -> None:
        """The transmitter speaks next."""

    def _take_check(self, message: Check, now_ns: int) -> None:
        self._was_checked = True
        is_equal = verdict(message, self._own_bits(), self._frames, self._plan.epsilon_cor)
        self._say(checked(self.number, is_equal))
        if any(is_equal):
            self._discard(is_equal)
            self.state = State.AMPLIFYING
        else:
            self._abort(AbortReason.NOT_EQUAL, now_ns)

    def _take_seed(self, message: Amplify) -> None:
        # We trust our own counts: a transmitter who asks for more is refused, however its tag turns out.
        proven_bits = self._length().length_bits
        if message.out_bits != proven_bits or not proven_bits:
            raise RemoteProtocolError(f"the peer makes {message.out_bits} key bits where our proof gives {proven_bits}")
        self._seeds.admit(message.seed)
        self._new_key = divided(amplified(self._own_bits(), message))
        self.state = State.TAGGING


def _reason(message: GiveUp) -> AbortReason:
    if message.reason not in set(AbortReason):
        raise RemoteProtocolError(f"a key block given up for reason {message.reason}, which does not exist")
    return AbortReason(message.reason)
