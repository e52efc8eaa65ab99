"""A session that begins from signatures: whoever is not the other end, or says anything else, gets nothing."""

import os
from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.distill.pairing import Pair, SystemEntropy, digest

from qanat.core.errors import LocalProtocolError, QanatError, RemoteProtocolError
from qanat.core.provenance import Authentication
from qanat.core.records import Role
from qanat.crypto.signature import SignatureRefused, SigningKey
from qanat.distill.authenticate import PAIR_BYTES
from qanat.distill.signed_start import FRAME_BYTES_MAX, Answer, Confirm, Offer, SignedStart

ALICE, BOB, EVE = (SigningKey.drawn(SystemEntropy()) for _ in range(3))
TX, RX = Role.TRANSMITTER, Role.RECEIVER
FULL = 6


def start(role, **changes):
    values = {
        "role": role,
        "link": "north-south",
        "epoch": 7,
        "identity": ALICE if role is TX else BOB,
        "peer": (BOB if role is TX else ALICE).verifying_key,
        "binding": b"both greetings",
        "entropy": SystemEntropy(),
    }
    return SignedStart(**{**values, **changes})


@dataclass
class Run:
    """A whole conversation, frame by frame, as somebody on the wire heard it."""

    alice: SignedStart
    bob: SignedStart
    frames: list[bytes]


def conversation(change=lambda _at, frame: frame, **changes):
    """Both ends to the end; ``change`` sits on the wire. Errors travel."""
    alice, bob = start(TX, **changes), start(RX, **changes)
    (offer,) = alice.frames_to_send()
    bob.receive(change(0, offer))
    (answer,) = bob.frames_to_send()
    alice.receive(change(1, answer))
    (confirm,) = alice.frames_to_send()
    bob.receive(change(2, confirm))
    return Run(alice, bob, [offer, answer, confirm])


def parts(frame):
    return msgspec.msgpack.decode(frame)


def with_part(frame, at, value):
    """The same message with one of its parts replaced."""
    fields = parts(frame)
    fields[at] = value
    return msgspec.msgpack.encode(fields)


def test_both_ends_get_one_pair_of_tag_keys_labelled_as_what_it_is():
    run = conversation()
    ours, theirs = run.alice.pool(), run.bob.pool()
    for pool in (ours, theirs):
        assert pool.authentication is Authentication.ML_DSA
        assert pool.algorithms == ("ML-DSA-87", "ML-KEM-1024+X25519")
        assert pool.available_bits == 8 * PAIR_BYTES
    assert ours.take(PAIR_BYTES) == theirs.take(PAIR_BYTES)
    for end in (run.alice, run.bob):
        with pytest.raises(LocalProtocolError):
            end.pool()


def test_no_two_starts_share_anything():
    """Fresh nonces, fresh keys: the same ends for the same session number say and get other things."""
    first, second = conversation(), conversation()
    for ours, theirs in zip(first.frames, second.frames, strict=True):
        same = [a == b for a, b in zip(parts(ours)[1:], parts(theirs)[1:], strict=True)]
        assert not any(same)
    assert first.alice.pool().take(PAIR_BYTES) != second.alice.pool().take(PAIR_BYTES)


def test_there_is_no_secret_before_the_end():
    alice, bob = start(TX), start(RX)
    bob.receive(alice.frames_to_send()[0])
    for end in (alice, bob):
        assert not end.is_finished
        with pytest.raises(LocalProtocolError):
            end.pool()


@pytest.mark.parametrize(("at", "part"), [(0, 1), (0, 2), (1, 1), (1, 2), (1, 3), (2, 1)])
def test_one_changed_bit_in_any_part_of_any_message_is_refused(at, part):
    def change(which, frame):
        if which != at:
            return frame
        value = parts(frame)[part]
        return with_part(frame, part, value[:-1] + bytes([value[-1] ^ 1]))

    with pytest.raises(RemoteProtocolError):
        conversation(change)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_truncated_or_overlong_frame_is_refused(at):
    for cut in (0, 1, 5, 40, -1):
        with pytest.raises(RemoteProtocolError):
            conversation(lambda which, frame, cut=cut: frame[:cut] if which == at else frame)
    with pytest.raises(RemoteProtocolError):
        conversation(lambda which, frame: frame + b"x" if which == at else frame)
    with pytest.raises(RemoteProtocolError, match="at most"):
        conversation(lambda which, frame: bytes(FRAME_BYTES_MAX + 1) if which == at else frame)


@pytest.mark.parametrize(("at", "kind"), [(0, Offer), (1, Answer), (2, Confirm)])
def test_yesterdays_frame_is_refused_today(at, kind):
    """A whole conversation was recorded; each of its frames is played into a new one."""
    old = conversation()
    if kind is Offer:  # replayed to the receiver, who answers: but nobody can confirm that answer with old words
        bob = start(RX)
        bob.receive(old.frames[0])
        bob.frames_to_send()
        with pytest.raises(SignatureRefused):
            bob.receive(old.frames[2])
        return
    with pytest.raises(SignatureRefused):
        conversation(lambda which, frame: old.frames[at] if which == at else frame)


def test_an_old_nonce_in_a_new_frame_is_refused():
    old = conversation()
    for at in (0, 1):
        with pytest.raises(SignatureRefused):
            conversation(
                lambda which, frame, at=at: with_part(frame, 1, parts(old.frames[at])[1]) if which == at else frame
            )


def test_our_own_words_do_not_pass_for_the_other_ends():
    alice = start(TX)
    (offer,) = alice.frames_to_send()
    with pytest.raises(RemoteProtocolError):
        alice.receive(offer)
    bob = start(RX)
    bob.receive(start(TX).frames_to_send()[0])
    (answer,) = bob.frames_to_send()
    with pytest.raises(RemoteProtocolError):
        bob.receive(answer)
    # Our own signature, dressed as the confirmation that is due.
    bob = start(RX)
    bob.receive(start(TX).frames_to_send()[0])
    with pytest.raises(SignatureRefused):
        bob.receive(msgspec.msgpack.encode([2, parts(bob.frames_to_send()[0])[3]]))


def test_roles_cannot_be_swapped():
    """Bob's own key signs in the transmitter's place, and the other way round: the context names the role."""
    bob = start(RX)
    impostor = start(TX, identity=BOB, peer=ALICE.verifying_key)
    bob.receive(impostor.frames_to_send()[0])
    with pytest.raises(SignatureRefused):
        impostor.receive(bob.frames_to_send()[0])
    signed_by_alice_as_receiver = start(RX, identity=ALICE, peer=BOB.verifying_key)
    alice = start(TX)
    signed_by_alice_as_receiver.receive(alice.frames_to_send()[0])
    with pytest.raises(SignatureRefused):
        alice.receive(signed_by_alice_as_receiver.frames_to_send()[0])
    # Both receivers, or both transmitters: nobody begins, or nobody answers.
    first, second = start(TX), start(TX, identity=BOB, peer=ALICE.verifying_key)
    with pytest.raises(RemoteProtocolError):
        first.receive(second.frames_to_send()[0])


def test_a_stranger_is_not_the_other_end():
    alice, eve = start(TX), start(RX, identity=EVE)
    eve.receive(alice.frames_to_send()[0])
    with pytest.raises(SignatureRefused):
        alice.receive(eve.frames_to_send()[0])
    bob, eve = start(RX), start(TX, identity=EVE)
    bob.receive(eve.frames_to_send()[0])
    # Eve takes part as well as she can, signing what Alice would.
    eve._peer = BOB.verifying_key
    with pytest.raises(QanatError):
        eve.receive(bob.frames_to_send()[0])
    with pytest.raises(RemoteProtocolError):
        bob.receive(msgspec.msgpack.encode([2, EVE.sign(bob._transcript(), b"qanat signed start 1 transmitter")]))


def test_a_man_in_the_middle_who_exchanges_keys_with_both_is_noticed_by_both():
    alice, to_bob = start(TX), start(TX, identity=EVE)
    to_alice, bob = start(RX, identity=EVE), start(RX)
    to_alice.receive(alice.frames_to_send()[0])
    bob.receive(to_bob.frames_to_send()[0])
    with pytest.raises(SignatureRefused):
        alice.receive(to_alice.frames_to_send()[0])
    honest_signature = parts(bob.frames_to_send()[0])[3]
    alice = start(TX)
    to_alice = start(RX, identity=EVE)
    to_alice.receive(alice.frames_to_send()[0])
    with pytest.raises(SignatureRefused):
        alice.receive(with_part(to_alice.frames_to_send()[0], 3, honest_signature))


@pytest.mark.parametrize(
    "changes",
    [{"link": "north-east"}, {"epoch": 8}, {"binding": b"other greetings"}, {"peer": EVE.verifying_key}],
    ids=["link", "epoch", "binding", "peer"],
)
def test_ends_that_mean_different_things_do_not_begin(changes):
    alice, bob = start(TX), start(RX, **changes)
    bob.receive(alice.frames_to_send()[0])
    with pytest.raises(SignatureRefused):
        alice.receive(bob.frames_to_send()[0])


def test_a_refused_attempt_is_over_and_keeps_no_secret():
    bob = start(RX)
    bob.receive(start(TX).frames_to_send()[0])
    good = conversation()
    with pytest.raises(SignatureRefused):
        bob.receive(good.frames[2])
    assert bob._secret is None
    with pytest.raises(RemoteProtocolError, match="after the end"):
        bob.receive(good.frames[2])
    with pytest.raises(RemoteProtocolError, match="after the end"):
        good.bob.receive(good.frames[2])
    with pytest.raises(LocalProtocolError):
        good.bob.pool()  # whoever talks on after the end has ended it


def test_one_identity_at_both_ends_is_our_own_mistake():
    with pytest.raises(LocalProtocolError, match="same identity"):
        start(TX, peer=ALICE.verifying_key)


frames = st.binary(max_size=120) | st.builds(
    lambda tag, fields: msgspec.msgpack.encode([tag, *fields]),
    st.integers(-1, 3),
    st.lists(st.binary(max_size=64) | st.integers() .filter(lambda n: abs(n) < 2**63) | st.none(), max_size=4),
)  # fmt: skip


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(role=st.sampled_from([TX, RX]), has_offer=st.booleans(), hostile=st.lists(frames, min_size=1, max_size=4))
def test_whatever_comes_is_refused_in_every_state(role, has_offer, hostile):
    end = start(role)
    if has_offer and role is RX:
        end.receive(OFFER)
    refused = 0
    for frame in hostile:
        try:
            end.receive(frame)
        except RemoteProtocolError:
            refused += 1
    assert refused == len(hostile)
    assert not end.is_finished


OFFER = start(TX).frames_to_send()[0]


def test_key_from_a_signed_session_says_so_and_never_pretends_to_more():
    """Session, block report and provenance; and from the second key block on the tag keys come from light."""
    run = conversation()
    pair = Pair(pools=[run.alice.pool(), run.bob.pool()])
    pair.run(3 * FULL)
    assert not pair.failures(pair.alice) + pair.failures(pair.bob)
    assert [digest(key) for key in pair.keys(pair.alice)] == [digest(key) for key in pair.keys(pair.bob)]
    assert len(pair.keys(pair.bob)) == 3
    for end in (pair.alice, pair.bob):
        for key, report in zip(pair.keys(end), pair.reports(end), strict=True):
            assert key.provenance.authentication is Authentication.ML_DSA
            assert "ML-DSA-87" in key.provenance.algorithms
            assert "authentication ml-dsa" in key.provenance.sentence()
            assert "pre-shared" not in key.provenance.sentence()
            assert report.authentication is Authentication.ML_DSA
    assert pair.pools[0].spent_bits == 3 * 8 * PAIR_BYTES
    assert pair.pools[0].returned_bits == 3 * 8 * PAIR_BYTES


def test_ends_that_began_differently_release_nothing():
    """A pool with another secret, whatever its label: the first tag tells."""
    run = conversation()
    pair = Pair(secret=os.urandom(64), pools=None)
    signed = Pair(pools=[run.alice.pool(), pair.pools[1]])
    signed.run(FULL)
    assert not signed.keys(signed.alice) + signed.keys(signed.bob)
    assert "tag does not fit" in signed.failures(signed.bob)[0].reason
