"""ML-DSA-87 as identities, and the hybrid key exchange that they sign."""

import os
import pickle

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, mldsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from qanat.core.errors import LocalProtocolError, RemoteProtocolError
from qanat.crypto.key_exchange import CURVE_BYTES, LATTICE_BYTES, PUBLIC_BYTES, Offer, answered
from qanat.crypto.signature import SIGNATURE_BYTES, IdentityUnreadable, SignatureRefused, SigningKey, VerifyingKey


class SystemEntropy:
    def random_bytes(self, size_bytes):
        return os.urandom(size_bytes)


class CountingEntropy:
    """Remembers how much was drawn."""

    def __init__(self):
        self.drawn = []

    def random_bytes(self, size_bytes):
        self.drawn.append(size_bytes)
        return os.urandom(size_bytes)


ALICE, BOB = (SigningKey.drawn(SystemEntropy()) for _ in range(2))
SIGNED = ALICE.sign(b"message", b"context")


def test_a_signature_fits_its_key_message_and_context_only():
    assert len(SIGNED) == SIGNATURE_BYTES
    ALICE.verifying_key.verify(SIGNED, b"message", b"context")
    for key, message, context in (
        (BOB, b"message", b"context"),
        (ALICE, b"massage", b"context"),
        (ALICE, b"message", b"contest"),
        (ALICE, b"message", b""),
    ):
        with pytest.raises(SignatureRefused):
            key.verifying_key.verify(SIGNED, message, context)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=100) | st.integers(0, SIGNATURE_BYTES - 1))
def test_no_other_bytes_pass_for_a_signature(other):
    wrong = other if isinstance(other, bytes) else SIGNED[:other] + bytes([SIGNED[other] ^ 1]) + SIGNED[other + 1 :]
    with pytest.raises(SignatureRefused):
        ALICE.verifying_key.verify(wrong, b"message", b"context")


def test_files_of_an_identity_survive_the_way_and_other_files_are_refused():
    assert SigningKey.from_pem(ALICE.pem()).verifying_key == ALICE.verifying_key
    public = VerifyingKey.from_pem(ALICE.verifying_key.pem())
    assert public == ALICE.verifying_key != BOB.verifying_key
    assert public.fingerprint == ALICE.verifying_key.fingerprint != BOB.verifying_key.fingerprint
    raw = load_pem_private_key(ALICE.pem(), None)
    other_kinds = [mldsa.MLDSA65PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())]
    pems = [key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) for key in other_kinds]
    locked = raw.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password"))
    for data in (b"", b"nonsense", ALICE.verifying_key.pem(), locked, ALICE.pem()[:-40], *pems):
        with pytest.raises(IdentityUnreadable):
            SigningKey.from_pem(data)
    for data in (b"", b"nonsense", ALICE.pem(), ALICE.verifying_key.pem()[:-40]):
        with pytest.raises(IdentityUnreadable):
            VerifyingKey.from_pem(data)


def test_a_signing_key_does_not_show_itself():
    secret = ALICE.pem().split(b"\n")[1]
    assert secret.decode() not in repr(ALICE)
    with pytest.raises(TypeError):
        pickle.dumps(ALICE)


def test_an_identity_is_drawn_from_entropy_alone():
    entropy = CountingEntropy()
    SigningKey.drawn(entropy)
    assert entropy.drawn == [32]


def test_both_ends_derive_one_secret_bound_to_what_was_said_and_its_purpose():
    secrets = []
    for transcript, label in ((b"all", b"tags"), (b"all", b"tags"), (b"ail", b"tags"), (b"all", b"togs")):
        offer = Offer(SystemEntropy())
        answer, theirs = answered(offer.public, SystemEntropy())
        ours, theirs = offer.accept(answer).derived(transcript, label, 64), theirs.derived(b"all", b"tags", 64)
        assert (ours == theirs) == ((transcript, label) == (b"all", b"tags"))
        secrets += [ours.reveal(), theirs.reveal()]
    assert len(set(secrets)) == 6  # every exchange another one


@pytest.mark.parametrize("part", [0, LATTICE_BYTES])
def test_either_half_alone_changes_the_secret(part):
    """A changed ciphertext gives another lattice secret (implicit rejection), a changed point another curve secret."""
    offer = Offer(SystemEntropy())
    answer, theirs = answered(offer.public, SystemEntropy())
    changed = answer[:part] + bytes([answer[part] ^ 1]) + answer[part + 1 :]
    assert offer.accept(changed).derived(b"", b"", 64) != theirs.derived(b"", b"", 64)


def test_offers_and_answers_that_cannot_be_are_refused():
    good = Offer(SystemEntropy()).public
    zero_point = good[:LATTICE_BYTES] + bytes(CURVE_BYTES)
    for public in (b"", good[:-1], good + b"x", b"\xff" * PUBLIC_BYTES, zero_point):
        with pytest.raises(RemoteProtocolError):
            answered(public, SystemEntropy())
        if public != b"\xff" * PUBLIC_BYTES:  # any bytes are a ciphertext
            with pytest.raises(RemoteProtocolError):
                Offer(SystemEntropy()).accept(public)


def test_an_offer_serves_one_answer_and_a_secret_one_purpose():
    offer = Offer(SystemEntropy())
    answer, shared = answered(offer.public, SystemEntropy())
    offer.accept(answer)
    with pytest.raises(LocalProtocolError):
        offer.accept(answer)
    shared.derived(b"", b"", 64)
    with pytest.raises(LocalProtocolError):
        shared.derived(b"", b"", 64)
