"""Where every secret bit comes from: light, the start secret, and ``Entropy``. No generator of models takes part."""

import os
import random
import secrets

import numpy as np
import pytest
from tests.distill.pairing import Pair, SystemEntropy, a_plan

from qanat.core.records import Role
from qanat.core.streams import Streams
from qanat.crypto.signature import SigningKey
from qanat.crypto.toeplitz import seed_bits, toeplitz_hash_plain
from qanat.crypto.verification import HASH_KEY_BYTES
from qanat.distill import authenticate, messages
from qanat.distill.authenticate import PAIR_BYTES
from qanat.distill.messages import Amplify, Check, Detections, Reconcile, Released, Sifted
from qanat.distill.methods import SEED_BYTES
from qanat.distill.release import TOKEN_BYTES
from qanat.distill.reliable import HEADER
from qanat.distill.sift import slots_from_gaps
from qanat.distill.signed_start import NONCE_BYTES, SignedStart
from qanat.distill.warm_up import warm_up

FULL = 6


class Recording:
    """Entropy that remembers every byte it gave."""

    def __init__(self):
        self.given = []

    def random_bytes(self, size_bytes):
        self.given.append(os_urandom(size_bytes))
        return self.given[-1]


os_urandom = os.urandom
BANNED = {
    np.random: ["default_rng", "Generator", "PCG64", "Philox", "SFC64", "MT19937", "RandomState", "random", "bytes"],
    random: ["random", "randbytes", "getrandbits", "randint", "Random", "SystemRandom"],
    secrets: ["token_bytes", "token_hex", "randbits"],
    Streams: ["get", "seed_bytes", "child"],
    os: ["urandom", "getrandom"],
}


@pytest.fixture(scope="module")
def compiled():
    """Numba names its cache files by chance: kernels are compiled before that is banned."""
    warm_up(lambda _: None)


@pytest.fixture
def no_other_chance(compiled, monkeypatch):
    """Called: from then on every other source of chance raises."""

    def refuse(*_args, **_kwargs):
        raise AssertionError("something draws from a source that is no Entropy")

    def ban():
        for module, names in BANNED.items():
            for name in names:
                monkeypatch.setattr(module, name, refuse)

    return ban


def test_the_ban_bites(no_other_chance):
    no_other_chance()
    for draw in (np.random.default_rng, random.random, secrets.token_bytes, Streams(seed=1).get, os.urandom):
        with pytest.raises(AssertionError):
            draw()


def sifted_key(said, light):
    """The transmitter's raw key, from what it prepared and from what was said in public: no engine is asked."""
    bits = []
    for seen, answer in zip(said[Detections], said[Sifted], strict=True):
        slots = slots_from_gaps(seen.slots)
        kept = slots[np.unpackbits(np.frombuffer(answer.kept, np.uint8), count=len(slots)).astype(bool)]
        prepared = light.prepared(seen.number)
        bits.append(prepared.bit[kept][prepared.basis[kept] == 0])
    return np.concatenate(bits)


@pytest.mark.parametrize("method", ["cascade", "ldpc"])
def test_every_bit_of_seeds_tags_and_keys_is_accounted_for(monkeypatch, no_other_chance, method):
    tag_keys, make = [], authenticate.BatchAuthenticator

    def noted(key):
        tag_keys.append(key.reveal())
        return make(key)

    monkeypatch.setattr(authenticate, "BatchAuthenticator", noted)
    plan = a_plan(reconciliation=method, block_sifted_bits=80_000 if method == "ldpc" else 30_000)
    blocks = 18 if method == "ldpc" else FULL
    start_secret = os_urandom(PAIR_BYTES)
    pair = Pair(plan=plan, secret=start_secret)
    ours, theirs = Recording(), Recording()
    for end, entropy in ((pair.alice, ours), (pair.bob, theirs)):
        end._entropy, end._seeds._entropy = entropy, entropy
    for number in range(2 * blocks):
        pair.light.block(number)  # the light is drawn before: it is the model
        pair.light.prepared(number)
    said = {kind: [] for kind in vars(messages).values() if isinstance(kind, type)}
    for end in (pair.alice, pair.bob):
        monkeypatch.setattr(end, "receive", listening(end.receive, said))
    no_other_chance()
    pair.run(2 * blocks)
    keys = pair.keys(pair.alice)
    assert len(keys) == 2

    # Seeds: what the transmitter drew is what it said, draw by draw; the receiver drew nothing.
    assert theirs.given == []
    spoken = []
    for proposal, check, amplify in zip(said[Reconcile], said[Check], said[Amplify], strict=True):
        spoken += [proposal.seed, check.hash_key, amplify.seed]
    assert ours.given == spoken
    assert {len(seed) for seed in ours.given[0::3]} == {SEED_BYTES}
    assert {len(key) for key in ours.given[1::3]} == {HASH_KEY_BYTES}

    # Keys: the light's bits under the announced seed, by the slow product; nothing else went in.
    made, at = [], 0
    for key, report, amplify in zip(keys, pair.reports(pair.alice), said[Amplify], strict=True):
        raw = sifted_key_of(said, pair.light, report)
        assert len(amplify.seed) == (seed_bits(len(raw), amplify.out_bits) + 7) // 8
        whole = toeplitz_hash_plain(
            np.packbits(raw), size_bits=len(raw), seed=np.frombuffer(amplify.seed, np.uint8), out_bits=amplify.out_bits
        ).tobytes()
        assert key.bits.reveal() == whole[PAIR_BYTES + TOKEN_BYTES :]
        assert said[Released][at].token == whole[PAIR_BYTES : PAIR_BYTES + TOKEN_BYTES]
        made, at = [*made, whole[:PAIR_BYTES]], at + 1

    # Tag keys: the start secret, then what the first key block gave back; both ends, both directions.
    source = start_secret + made[0]
    pieces = [source[start : start + 32] for start in range(0, 2 * PAIR_BYTES, 32)]
    assert sorted(tag_keys) == sorted(pieces * 2)


def sifted_key_of(said, light, report):
    numbers = range(report.first_number, report.last_number + 1)
    part = {kind: [message for message in said[kind] if message.number in numbers] for kind in (Detections, Sifted)}
    return sifted_key(part, light)


def listening(receive, said):
    def heard(frame, now_ns):
        if len(frame) > HEADER.size:
            message = messages.decoded(frame[HEADER.size :])
            said[type(message)].append(message)
        receive(frame, now_ns)

    return heard


def test_a_signed_start_draws_its_keys_from_entropy(no_other_chance):
    """All but the randomness inside ML-KEM's encapsulation and ML-DSA's hedging, which the library draws itself."""
    alice, bob = SigningKey.drawn(SystemEntropy()), SigningKey.drawn(SystemEntropy())
    drawn = {Role.TRANSMITTER: Recording(), Role.RECEIVER: Recording()}
    no_other_chance()
    common = {"link": "a-b", "epoch": 1, "binding": b""}
    ours, theirs = (
        SignedStart(role=role, identity=own, peer=peer.verifying_key, entropy=drawn[role], **common)
        for role, own, peer in ((Role.TRANSMITTER, alice, bob), (Role.RECEIVER, bob, alice))
    )
    theirs.receive(ours.frames_to_send()[0])
    ours.receive(theirs.frames_to_send()[0])
    assert [len(each) for each in drawn[Role.TRANSMITTER].given] == [NONCE_BYTES, 64, 32]
    assert [len(each) for each in drawn[Role.RECEIVER].given] == [NONCE_BYTES, 32]
