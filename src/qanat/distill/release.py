"""Release: a new key is divided, and neither end gives out what the other can never have.

The receiver's tag tells the transmitter that both hold the key; only then it releases, and shows a token
taken from the key itself, which nobody else can know. The receiver releases on seeing it. So the receiver never
holds a key that the transmitter does not. The other way round two generals cannot agree: when the session
dies between, the transmitter may hold a key block that the receiver dropped. It is secret, but nobody's to use:
key management finds no such block at the peer.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from qanat.core.errors import AuthenticationFailed
from qanat.core.secret import SecretBits
from qanat.distill.authenticate import RETURNED_BYTES

TOKEN_BYTES = 16  # guessed with probability 2**-128


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key block's secret, divided: first what authentication gets back, then the token, then the key."""

    returned: SecretBits
    token: SecretBits
    bits: SecretBits

    def check_token(self, token: bytes) -> None:
        """Returns when the peer showed this key's token.

        Raises:
            AuthenticationFailed: it did not.
        """
        if not hmac.compare_digest(self.token.reveal(), token):  # about to be public anyway
            raise AuthenticationFailed("the token that releases a key block is not part of its key")

    def wipe(self) -> None:
        for part in (self.returned, self.token, self.bits):
            part.wipe()


def divided(secret: SecretBits) -> NewKey:
    """The new key's parts; the whole is wiped."""
    used_bytes = RETURNED_BYTES + TOKEN_BYTES
    parts = NewKey(
        returned=secret.take(0, RETURNED_BYTES),
        token=secret.take(RETURNED_BYTES, TOKEN_BYTES),
        bits=secret.take(used_bytes, secret.size_bytes - used_bytes),
    )
    secret.wipe()
    return parts
