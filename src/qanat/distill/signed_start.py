"""A session's first pair of tag keys without a pre-shared secret: two signatures over one fresh key exchange.

    transmitter                              receiver
    Offer (nonce, public keys)      ->
                                    <-       Answer (nonce, key exchange, signature)
    Confirm (signature)             ->

Each end signs, in a context that names its role, the hash of everything: the link and its epoch, what the host binds
(both greetings), the fingerprints of both identities, both nonces and both halves of the exchange. It is the signed
key exchange of Canetti and Krawczyk (EUROCRYPT 2001) with a key encapsulation in the place of
Diffie-Hellman. The secret is one pair of tag keys and no more: it tags the first key block, whose own key
tags the next. What must hold, and until when: docs/decisions/0045.

One object is one attempt, and whatever the peer says wrong ends it.
"""

from __future__ import annotations

import hashlib

import msgspec

from qanat.core.errors import LocalProtocolError, QanatError, RemoteProtocolError
from qanat.core.ids import LinkId
from qanat.core.malformed import MALFORMED
from qanat.core.ports import Entropy
from qanat.core.provenance import Authentication
from qanat.core.records import Role
from qanat.crypto import key_exchange, signature
from qanat.crypto.key_exchange import SharedSecret
from qanat.crypto.signature import SigningKey, VerifyingKey
from qanat.crypto.wegman_carter import AuthenticationPool
from qanat.distill.authenticate import PAIR_BYTES

NONCE_BYTES = 32
FRAME_BYTES_MAX = 8192  # an answer has 6269
ALGORITHMS = (signature.ALGORITHM, key_exchange.ALGORITHM)
_LABEL = b"qanat signed start 1"
_CONTEXTS = {Role.TRANSMITTER: _LABEL + b" transmitter", Role.RECEIVER: _LABEL + b" receiver"}


class Offer(msgspec.Struct, frozen=True, array_like=True, tag=0, forbid_unknown_fields=True):
    """Transmitter: let us exchange keys."""

    nonce: bytes
    public: bytes


class Answer(msgspec.Struct, frozen=True, array_like=True, tag=1, forbid_unknown_fields=True):
    """Receiver: here is mine, and it is me."""

    nonce: bytes
    exchange: bytes
    signature: bytes


class Confirm(msgspec.Struct, frozen=True, array_like=True, tag=2, forbid_unknown_fields=True):
    """Transmitter: and it is me."""

    signature: bytes


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Offer | Answer | Confirm] = msgspec.msgpack.Decoder(Offer | Answer | Confirm)


class SignedStart:
    """One end of one attempt. See the module.

    Args:
        identity: Ours.
        peer: The other end's, as a trusted person brought it here.
        binding: What else both ends must have heard alike; the host's greetings.

    Attributes:
        is_finished: Both ends know each other; ``pool`` may be called.

    Raises:
        LocalProtocolError: both identities are the same: then nobody could tell the ends apart.
    """

    def __init__(
        self,
        *,
        role: Role,
        link: LinkId,
        epoch: int,
        identity: SigningKey,
        peer: VerifyingKey,
        binding: bytes,
        entropy: Entropy,
    ) -> None:
        if identity.verifying_key == peer:
            raise LocalProtocolError("both ends have the same identity; each needs its own")
        self.is_finished = False
        self._role = role
        self._identity, self._peer = identity, peer
        self._entropy = entropy
        self._nonce = entropy.random_bytes(NONCE_BYTES)
        self._is_over = False
        self._secret: SharedSecret | None = None
        self._out: list[bytes] = []
        prints = [identity.verifying_key.fingerprint, peer.fingerprint]
        self._said = [_LABEL, link.encode(), epoch.to_bytes(8), binding]
        self._said += prints if role is Role.TRANSMITTER else prints[::-1]
        self._offer = key_exchange.Offer(entropy) if role is Role.TRANSMITTER else None
        if self._offer is not None:
            self._send(Offer(self._nonce, self._offer.public))

    def frames_to_send(self) -> list[bytes]:
        """Frames for the peer, drained, in order."""
        out, self._out = self._out, []
        return out

    def receive(self, frame: bytes) -> None:
        """The peer's next frame.

        Raises:
            SignatureRefused: it is not whom we expect, or somebody changed what was said.
            RemoteProtocolError: it is not what is due now, or the attempt is over.
        """
        try:
            if self._is_over or self.is_finished:
                raise RemoteProtocolError("one more frame after the end of a signed start")
            self._hear(_decoded(frame))
        except QanatError:
            self.wipe()
            raise

    def pool(self) -> AuthenticationPool:
        """The pool of the session that begins now; once.

        Raises:
            LocalProtocolError: not finished, or called before.
        """
        if not self.is_finished or self._secret is None:
            raise LocalProtocolError("a signed start that is not finished, or has given its secret, has none to give")
        secret = self._secret.derived(self._transcript(), _LABEL + b" tag keys", PAIR_BYTES)
        self._secret = None
        pool = AuthenticationPool(secret, authentication=Authentication.ML_DSA, algorithms=ALGORITHMS)
        secret.wipe()
        return pool

    def wipe(self) -> None:
        """The attempt is given up."""
        self._is_over, self.is_finished, self._offer = True, False, None
        if self._secret is not None:
            self._secret.wipe()
        self._secret = None

    def _hear(self, message: Offer | Answer | Confirm) -> None:
        if isinstance(message, Offer) and self._role is Role.RECEIVER and self._secret is None:
            self._answer(message)
        elif isinstance(message, Answer) and self._offer is not None:
            self._confirm(message, self._offer)
        elif isinstance(message, Confirm) and self._role is Role.RECEIVER and self._secret is not None:
            self._verify(message.signature)
            self.is_finished = True
        else:
            raise RemoteProtocolError(f"{type(message).__name__} where nothing like it is due in a signed start")

    def _answer(self, message: Offer) -> None:
        _check_nonce(message.nonce)
        exchange, self._secret = key_exchange.answered(message.public, self._entropy)
        self._said += [message.nonce, message.public, self._nonce, exchange]
        self._send(Answer(self._nonce, exchange, self._signature()))

    def _confirm(self, message: Answer, offer: key_exchange.Offer) -> None:
        _check_nonce(message.nonce)
        self._said += [self._nonce, offer.public, message.nonce, message.exchange]
        self._verify(message.signature)  # before a private key touches what it signs
        self._secret = offer.accept(message.exchange)
        self._send(Confirm(self._signature()))
        self.is_finished = True

    def _transcript(self) -> bytes:
        """Hash of all that was said; each part counts with its length."""
        return hashlib.sha512(b"".join(len(part).to_bytes(8) + part for part in self._said)).digest()

    def _signature(self) -> bytes:
        return self._identity.sign(self._transcript(), _CONTEXTS[self._role])

    def _verify(self, signed: bytes) -> None:
        peer = Role.RECEIVER if self._role is Role.TRANSMITTER else Role.TRANSMITTER
        self._peer.verify(signed, self._transcript(), _CONTEXTS[peer])

    def _send(self, message: Offer | Answer | Confirm) -> None:
        self._out.append(_encoder.encode(message))


def _check_nonce(nonce: bytes) -> None:
    if len(nonce) != NONCE_BYTES:
        raise RemoteProtocolError(f"a nonce of {len(nonce)} bytes; it has {NONCE_BYTES}")


def _decoded(frame: bytes) -> Offer | Answer | Confirm:
    if len(frame) > FRAME_BYTES_MAX:
        raise RemoteProtocolError(f"a frame of {len(frame)} bytes in a signed start; at most {FRAME_BYTES_MAX}")
    try:
        return _decoder.decode(frame)
    except MALFORMED as problem:
        raise RemoteProtocolError(f"a frame that makes no sense: {type(problem).__name__}") from None
