"""What authentication costs, and how long its keys live."""

import pytest
from tests.distill.pairing import LINK, Pair, a_plan, digest

from qanat.core.netfile.document import LinkDocument
from qanat.core.topology import Fibre, Link
from qanat.crypto.wegman_carter import AUTH_KEY_BYTES, BATCH_BYTES_MAX, forgery_bound
from qanat.distill import authenticate
from qanat.distill.authenticate import PAIR_BYTES
from qanat.distill.messages import Tag, decoded
from qanat.distill.release import TOKEN_BYTES
from qanat.distill.reliable import HEADER
from qanat.distill.session import Session
from qanat.sim.module import SimulatedGlass, SimulatedTransmitter

FULL = 6
ONE_PAIR = bytes(range(PAIR_BYTES))


def at_default_size(length_km, receiver):
    """A pair of ends of a link as a network file describes it that leaves everything out that it may."""
    default = {name: field.default for name, field in LinkDocument.model_fields.items()}
    link = Link(
        id=LINK, transmitter_site="north", receiver_site="south", fibre="fibre", protocol="decoy-bb84",
        transmitter="decoy-1ghz", receiver=receiver, clock_hz=1e9, block_sifted_bits=default["block_sifted_bits"],
        pulse_block_ns=50_000_000, epsilon_sec=default["epsilon_sec"], epsilon_cor=default["epsilon_cor"],
    )  # fmt: skip
    fibre = Fibre(id="fibre", ends=("north", "south"), length_km=length_km, attenuation_db_per_km=0.2)
    glass = SimulatedGlass(link=link, fibre=fibre, key=b"a simulation key", stream_seed=b"another stream")
    transmitter = SimulatedTransmitter(link=link, key=b"a simulation key")
    plan = a_plan(
        intensities=transmitter.intensities, p_intensities=transmitter.p_intensities, p_x=transmitter.p_x,
        pulses_per_block=transmitter.pulses_per_block, pulse_block_ns=link.pulse_block_ns,
        block_sifted_bits=link.block_sifted_bits, epsilon_sec=link.epsilon_sec, epsilon_cor=link.epsilon_cor,
    )  # fmt: skip
    return Pair(plan=plan, transmitter=transmitter), glass


@pytest.mark.parametrize(("length_km", "receiver"), [(1, "ingaas-gated"), (50, "ingaas-gated"), (100, "snspd")])
def test_authentication_takes_no_more_than_a_hundredth_of_the_secret_key(length_km, receiver):
    """Both directions together, the release token too, at the default size of a key block."""
    pair, glass = at_default_size(length_km, receiver)
    assert pair.plan.block_sifted_bits == 200_000
    while not pair.keys(pair.bob):
        pair.until_quiet()
        pair.bob.add_detections(glass.next_block(), pair.now_ns)
        assert pair.now_ns < 10**9
        pair.until_quiet()
    for end, pool in zip((pair.alice, pair.bob), pair.pools, strict=True):
        (report,), (key,) = pair.reports(end), pair.keys(end)
        spent_bits = pool.spent_bits + 8 * TOKEN_BYTES
        assert report.auth_bits == spent_bits == 8 * (2 * AUTH_KEY_BYTES + TOKEN_BYTES)
        assert pool.returned_bits == pool.spent_bits
        # The ledger's own terms say the same, and the key that is handed on is what is left.
        taken = [term for term in report.terms if term.name.startswith(("authentication key", "release token"))]
        assert -sum(term.enters_bits for term in taken) == spent_bits
        assert key.bits.size_bits == report.secret_bits
        assert spent_bits <= 0.01 * report.secret_bits


def test_each_direction_shows_one_tag_per_key_block_and_no_tag_key_serves_twice(monkeypatch):
    shown, keys = [], []
    make = authenticate.BatchAuthenticator

    def noted(key):
        keys.append(key.reveal())
        return make(key)

    monkeypatch.setattr(authenticate, "BatchAuthenticator", noted)
    pair = Pair()
    for end in (pair.alice, pair.bob):
        honest = end.frames_to_send

        def watched(now_ns, honest=honest, end=end):
            frames = honest(now_ns)
            bodies = [frame[HEADER.size :] for frame in frames if len(frame) > HEADER.size]
            shown.extend((end.role, message.tag) for body in bodies if isinstance(message := decoded(body), Tag))
            return frames

        end.frames_to_send = watched
    pair.run(3 * FULL)
    assert len(shown) == len(set(shown)) == 2 * 3
    assert len(keys) == 4 * 3  # both ends keep both directions' hashes
    assert all(keys.count(key) == 2 for key in keys)  # each at both ends, once


def test_what_tag_keys_inherit_counts_in_the_key_block_that_they_authenticate():
    """One pair in the pool: each key block is tagged with key of the one before."""
    pair = Pair(secret=ONE_PAIR)
    pair.run(3 * FULL)
    before = 0.0
    for report, key in zip(pair.reports(pair.bob), pair.keys(pair.bob), strict=True):
        assert report.epsilon["tag_keys"] == before
        assert key.provenance.epsilon_total == pytest.approx(sum(report.epsilon.values()), rel=1e-12)
        before = key.provenance.epsilon_total
    assert before == pytest.approx(3 * (pair.plan.epsilon_sec + pair.plan.epsilon_cor), rel=1e-9)


def test_key_of_the_start_secret_inherits_nothing():
    pair = Pair(secret=bytes(range(128)) + bytes(range(64)))  # three pairs
    pair.run(4 * FULL)
    inherited = [report.epsilon["tag_keys"] for report in pair.reports(pair.alice)]
    assert inherited[:3] == [0.0, 0.0, 0.0]
    assert inherited[3] == pair.keys(pair.alice)[0].provenance.epsilon_total


@pytest.mark.parametrize("generations", [1, 2])
def test_worn_tag_keys_end_the_session_in_good_order_and_a_new_one_goes_on(generations):
    plan = a_plan(tag_key_generations_max=generations)
    pair = Pair(plan=plan, secret=ONE_PAIR)
    pair.run(FULL * (generations + 1))
    for end in (pair.alice, pair.bob):
        assert len(pair.keys(end)) == generations
        assert not any(report.aborted for report in pair.reports(end))
    assert "tag keys with epsilon" in pair.failures(pair.alice)[0].reason
    assert "ended its session" in pair.failures(pair.bob)[0].reason
    assert [digest(key) for key in pair.keys(pair.alice)] == [digest(key) for key in pair.keys(pair.bob)]
    assert not pair.bob.can_accept_block()
    fresh = Pair(plan=a_plan(tag_key_generations_max=generations, epoch=2), secret=bytes(range(1, 65)))
    fresh.run(FULL)
    assert len(fresh.keys(fresh.bob)) == 1


def test_more_pairs_in_the_pool_make_its_keys_live_longer():
    """The chain is as long as key blocks over pairs: key comes back to its turn later."""
    pair = Pair(plan=a_plan(tag_key_generations_max=1), secret=bytes(range(192)))  # three pairs
    pair.run(4 * FULL)
    assert len(pair.keys(pair.bob)) == 3
    assert "tag keys with epsilon" in pair.failures(pair.alice)[0].reason


def test_one_tag_vouches_for_no_more_than_its_bound_allows(monkeypatch):
    assert forgery_bound(BATCH_BYTES_MAX) <= 2.0**-77
    monkeypatch.setattr(authenticate, "BATCH_BYTES_MAX", 100_000)  # the sifting alone of ``a_plan`` says more
    pair = Pair()
    pair.run(FULL)
    assert not pair.keys(pair.alice) + pair.keys(pair.bob)
    reasons = [pair.failures(end)[0].reason for end in (pair.alice, pair.bob)]
    assert any("100000 bytes were said" in reason for reason in reasons)
    assert pair.pools[0].spent_bits == pair.pools[1].spent_bits == 0


def test_a_plan_whose_tag_keys_never_serve_is_refused():
    with pytest.raises(ValueError, match="at least once"):
        a_plan(tag_key_generations_max=0)


def test_sessions_with_different_lifetimes_of_tag_keys_part_at_once():
    pair, other = Pair(), Pair(plan=a_plan(tag_key_generations_max=3))
    assert isinstance(other.bob, Session)
    for frame in other.bob.frames_to_send(0):
        pair.alice.receive(frame, 0)
    (failure,) = pair.alice.events()
    assert "different plans" in failure.reason
