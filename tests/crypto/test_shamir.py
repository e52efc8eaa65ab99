"""Any k of n shares give the secret, k - 1 leave every secret possible, and a bad share is named."""

import itertools
import os
import random

import pytest

from qanat.core.errors import MisuseError
from qanat.core.secret import SecretBits
from qanat.crypto.shamir import Share, ShareRefused, _inverse, _product, joined, split


class System:
    def random_bytes(self, size_bytes: int) -> bytes:
        return os.urandom(size_bytes)


def test_the_field_is_that_of_aes():
    assert _product(0x57, 0x83) == 0xC1  # FIPS 197, 4.2
    assert _product(0x57, 0x13) == 0xFE  # FIPS 197, 4.2.1
    assert all(_product(a, _inverse(a)) == 1 for a in range(1, 256))


@pytest.mark.parametrize(("threshold", "shares"), [(2, 2), (2, 3), (3, 5), (5, 5), (4, 9)])
def test_any_k_shares_give_the_secret_and_fewer_do_not(threshold, shares):
    secret = SecretBits(os.urandom(32))
    made = split(secret, shares=shares, threshold=threshold, entropy=System())
    for chosen in itertools.combinations(made, threshold):
        assert joined(chosen) == secret
    for chosen in itertools.combinations(made, threshold - 1):
        assert joined(chosen) != secret  # by luck with probability 2**-256


def test_one_share_less_fits_every_secret_equally():
    """Of a one-byte secret with k = 2: over all coefficients, share 1 takes every value once, whatever the secret."""

    class Fixed:
        def __init__(self, value: int) -> None:
            self.value = value

        def random_bytes(self, size_bytes: int) -> bytes:
            return bytes([self.value]) * size_bytes

    for secret in (0, 1, 0x5A, 0xFF):
        made = [split(SecretBits(bytes([secret])), shares=2, threshold=2, entropy=Fixed(c))[0] for c in range(256)]
        assert sorted(share.value.reveal()[0] for share in made) == list(range(256))


def test_the_order_of_shares_and_the_largest_place_do_not_matter():
    secret = SecretBits(os.urandom(32))
    made = split(secret, shares=255, threshold=3, entropy=System())
    chosen = random.Random(3).sample(made, 3)
    assert joined(chosen) == joined(chosen[::-1]) == secret
    assert joined([made[254], made[0], made[127]]) == secret


def test_a_share_survives_paper():
    share = split(SecretBits(os.urandom(32)), shares=3, threshold=2, entropy=System())[1]
    back = Share.from_text(f"  {share.reveal().upper()}\n")
    assert (back.set_name, back.x, back.value) == (share.set_name, 2, share.value)
    assert share.value.reveal().hex() not in repr(share)


def test_a_mistyped_share_is_refused_without_repeating_it():
    text = split(SecretBits(os.urandom(32)), shares=2, threshold=2, entropy=System())[0].reveal()
    for place in range(0, len(text), 3):
        changed = text[:place] + ("0" if text[place] != "0" else "1") + text[place + 1 :]
        with pytest.raises(ShareRefused) as refusal:
            Share.from_text(changed)
        assert text[30:50] not in str(refusal.value)
    for nonsense in ("", "qanat-share", text[:-4], "-"):
        with pytest.raises(ShareRefused):
            Share.from_text(nonsense)


@pytest.mark.parametrize(("threshold", "shares"), [(1, 3), (0, 0), (4, 3), (2, 256)])
def test_thresholds_that_make_no_sense_are_refused(threshold, shares):
    with pytest.raises(MisuseError, match="cannot be made"):
        split(SecretBits(bytes(32)), shares=shares, threshold=threshold, entropy=System())
