"""Secret sharing: any k of n shares give the secret, fewer give nothing at all.

Each byte of the secret is the value at 0 of a random polynomial of degree k - 1 over GF(256); share x is its
value at x. Fewer than k shares are independent of the secret, whatever the computer that looks at them.

Source: A. Shamir, Communications of the ACM 22, 612 (1979); the field is that of AES (FIPS 197, 4.2).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from qanat.core.errors import MisuseError
from qanat.core.ports import Entropy
from qanat.core.secret import SecretBits

SHARES_MAX = 255  # the field has 255 places that are not 0
SET_BYTES = 4
_CHECK_BYTES = 4
_MARK = "qanat-share"


class ShareRefused(MisuseError):
    """This is not a share that can be used here. Copy one whole line that `qanat kme init-seal` printed for this
    site, each share once."""


@dataclass(frozen=True, slots=True)
class Share:
    """One share.

    Attributes:
        set_name: Hexadecimal name of the splitting it belongs to, no secret.
        x: Its place, 1 to 255.
    """

    set_name: str
    x: int
    value: SecretBits

    def reveal(self) -> str:
        """The line that a share holder keeps. It is as secret as the share."""
        text = f"{_MARK}-{self.set_name}-{self.x:02x}-{self.value.reveal().hex()}"  # written down by its holder
        return f"{text}-{_check(text)}"

    @classmethod
    def from_text(cls, text: str) -> Share:
        """Raises: ShareRefused; the message repeats nothing of the text."""
        body, _, check = text.strip().lower().rpartition("-")
        if check != _check(body):
            raise ShareRefused("the share was mistyped or is not whole: its check digits do not fit")
        try:
            set_name, x, value = body.removeprefix(_MARK + "-").split("-")
            share = cls(set_name, int(x, 16), SecretBits(bytes.fromhex(value)))
        except ValueError:
            raise ShareRefused("this is no share of qanat") from None
        if not 1 <= share.x <= SHARES_MAX:
            raise ShareRefused("this is no share of qanat")
        return share


def split(secret: SecretBits, *, shares: int, threshold: int, entropy: Entropy) -> list[Share]:
    """Shares of a secret, of which any ``threshold`` give it back.

    Raises:
        MisuseError: not 2 <= threshold <= shares <= 255.
    """
    if not 2 <= threshold <= shares <= SHARES_MAX:
        raise MisuseError(
            f"{threshold} of {shares} shares cannot be made: take at least 2, at most as many as there are, of up "
            f"to {SHARES_MAX}."
        )
    set_name = entropy.random_bytes(SET_BYTES).hex()
    size = secret.size_bytes
    rows = [secret.reveal(), *(entropy.random_bytes(size) for _ in range(threshold - 1))]  # coefficients, from x**0
    return [Share(set_name, x, SecretBits(_evaluated(rows, x))) for x in range(1, shares + 1)]


def joined(shares: Sequence[Share]) -> SecretBits:
    """The secret of these shares, or other bytes when they are too few or do not belong together.

    Whoever calls it checks the result; a secret carries no mark by itself.
    """
    size = shares[0].value.size_bytes
    secret = bytearray(size)
    for share in shares:
        weight = _weight(share.x, [other.x for other in shares if other is not share])
        for index, byte in enumerate(share.value.reveal()):  # the sum over shares is the secret
            secret[index] ^= _product(weight, byte)
    result = SecretBits(secret)
    secret[:] = bytes(size)
    return result


def _evaluated(rows: Sequence[bytes], x: int) -> bytes:
    value = bytearray(len(rows[0]))
    for row in reversed(rows):  # Horner
        for index, byte in enumerate(row):
            value[index] = _product(value[index], x) ^ byte
    return bytes(value)


def _weight(x: int, others: Sequence[int]) -> int:
    """Lagrange's basis polynomial of place x, at 0."""
    top, bottom = 1, 1
    for other in others:
        top = _product(top, other)
        bottom = _product(bottom, x ^ other)
    return _product(top, _inverse(bottom))


def _product(a: int, b: int) -> int:
    """In GF(256) modulo x**8 + x**4 + x**3 + x + 1: eight equal steps, no table that a cache could tell of."""
    result = 0
    for _ in range(8):
        result ^= a * (b & 1)
        a = (a << 1) ^ (0x11B * (a >> 7))
        b >>= 1
    return result


def _inverse(a: int) -> int:
    """a**254: the group has 255 elements."""
    result = 1
    for _ in range(7):
        a = _product(a, a)
        result = _product(result, a)
    return result


def _check(text: str) -> str:
    return hashlib.sha256(text.encode()).digest()[:_CHECK_BYTES].hex()
