"""Two ends, paired in memory: from clicks to equal keys, or to nothing."""

import gc
import types
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.distill.pairing import LINK, BadWire, Pair, SystemEntropy, a_plan, digest, drop, transfer

from qanat.core.errors import LocalProtocolError
from qanat.core.provenance import Authentication, Origin
from qanat.core.records import Role
from qanat.core.topology import Fibre, Link
from qanat.crypto.wegman_carter import AuthenticationPool
from qanat.distill.cascade.reconciler import Reconciler
from qanat.distill.open_blocks import WAITING_MAX
from qanat.distill.session import Session
from qanat.distill.sifting import IN_FLIGHT_MAX
from qanat.sim.module import SimulatedGlass, SimulatedTransmitter

FULL = 6  # pulse blocks that fill a key block of ``a_plan``


def same_reports(pair):
    """What both ends reported, when it is the same but for the clock."""
    ours, theirs = ([replace(report, made_at_ns=0) for report in pair.reports(end)] for end in (pair.alice, pair.bob))
    assert ours == theirs
    return ours


def test_light_becomes_equal_keys_at_both_ends():
    pair = Pair()
    pair.run(2 * FULL)
    alice, bob = pair.keys(pair.alice), pair.keys(pair.bob)
    assert len(alice) == len(bob) == 2
    for ours, theirs in zip(alice, bob, strict=True):
        assert digest(ours) == digest(theirs)
        assert (ours.block, ours.start_ns, ours.end_ns) == (theirs.block, theirs.start_ns, theirs.end_ns)
        assert ours.bits.size_bits % 8 == 0
        assert ours.provenance.simulated
        assert ours.provenance.origin is Origin.QKD
        assert ours.provenance.links == (pair.plan.link,)
        assert ours.provenance.authentication is Authentication.PRE_SHARED
        assert ours.provenance.algorithms == ()
    assert digest(alice[0]) != digest(alice[1])
    assert [key.block for key in alice] == ["north-south/1/0", "north-south/1/1"]


def test_reports_are_the_same_at_both_ends_and_their_ledger_adds_up():
    pair = Pair()
    pair.run(2 * FULL)
    for report, key in zip(same_reports(pair), pair.keys(pair.bob), strict=True):
        assert report.aborted is None
        assert report.secret_bits == key.bits.size_bits
        assert 0 < report.secret_bits < report.sifted_bits
        assert report.auth_bits == 8 * (64 + 16)
        assert report.tag_bits == 80  # 1e-12 for one frame of 30 000 bits: crypto.verification.collision_bound
        assert (report.method, report.frames, report.frames_failed) == ("cascade", 1, 0)
        assert 0.005 < report.qber_x < 0.015
        assert report.leak_bits > 0
        assert set(report.epsilon) == {"secrecy", "correctness", "authentication", "tag_keys"}
        assert key.provenance.epsilon_total == sum(report.epsilon.values())
        # What the proof credits: single photons only, less what was disclosed.
        assert report.secret_bits + report.auth_bits + report.leak_bits < report.single_photon_bound
    ours, theirs = pair.link_reports(pair.alice), pair.link_reports(pair.bob)
    assert len(ours) == 2 * FULL
    assert [replace(each, made_at_ns=0) for each in ours] == [replace(each, made_at_ns=0) for each in theirs]
    assert sum(each.sifted_count - each.test_count for each in ours) == sum(
        report.sifted_bits for report in pair.reports(pair.bob)
    )


def test_the_pools_stay_identical_and_full():
    pair = Pair()
    before = pair.pools[0].available_bits
    pair.run(2 * FULL)
    assert [pool.available_bits for pool in pair.pools] == [before, before]
    assert pair.pools[0].spent_bits == pair.pools[1].spent_bits == 2 * 512
    assert pair.pools[0].take(before // 8) == pair.pools[1].take(before // 8)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    p_loss=st.sampled_from([0.0, 0.05, 0.3]),
    p_double=st.sampled_from([0.0, 0.1, 0.5]),
    delay_ns_max=st.sampled_from([1, 1_000_000, 2_000_000_000]),
)
def test_loss_duplication_and_overtaking_change_nothing(seed, p_loss, p_double, delay_ns_max):
    pair = Pair(options={"give_up_ns": 10**15})
    BadWire(pair, seed=seed, p_loss=p_loss, p_double=p_double, delay_ns_max=delay_ns_max).run(2 * FULL)
    assert not pair.failures(pair.alice) + pair.failures(pair.bob)
    assert [digest(key) for key in pair.keys(pair.alice)] == [digest(key) for key in pair.keys(pair.bob)]
    assert len(same_reports(pair)) == 2
    assert len(pair.keys(pair.bob)) == 2


def test_a_peer_that_stays_silent_is_given_up():
    pair = Pair()
    pair.shine()
    for _ in range(100):
        drop(pair.bob, pair.now_ns)
        if pair.bob.is_failed:
            break
        pair.now_ns = pair.bob.deadline_ns()
        pair.bob.on_deadline(pair.now_ns)
    pair.happened[pair.bob] += pair.bob.events()
    assert "no answer" in pair.failures(pair.bob)[0].reason
    assert pair.now_ns < 200 * 10**9


def test_a_full_intercept_resend_shows_25_percent_and_yields_no_key():
    pair = Pair(intercepted=1.0, p_flip=0.0)
    pair.run(2 * FULL)
    errors = sum(report.error_count for report in pair.link_reports(pair.bob))
    tests = sum(report.test_count for report in pair.link_reports(pair.bob))
    assert errors / tests == pytest.approx(0.25, abs=0.02)  # 2e4 test bits: six standard deviations
    assert not pair.keys(pair.alice) + pair.keys(pair.bob)
    reports = same_reports(pair)
    assert len(reports) >= 1
    for report in reports:
        assert "QBER too high" in report.aborted
        assert (report.secret_bits, report.leak_bits, report.auth_bits) == (0, 0, 0)
        assert report.phase_error_bound == 0.5


def test_an_aborted_block_spends_no_secret_and_the_link_goes_on():
    pair = Pair(intercepted=1.0)
    before = pair.pools[0].available_bits
    pair.run(FULL)
    assert len(pair.reports(pair.bob)) == 1
    pair.light.intercepted = 0.0
    try:
        for number in range(FULL, 3 * FULL):
            pair.light.block.cache_clear()
            pair.number = number
            pair.run(1)
    finally:
        pair.light.intercepted = 1.0
        pair.light.block.cache_clear()
    keys = pair.keys(pair.bob)
    assert keys
    assert [digest(key) for key in keys] == [digest(key) for key in pair.keys(pair.alice)]
    assert pair.pools[0].available_bits == before
    assert pair.pools[0].spent_bits == pair.pools[1].spent_bits


def test_too_many_errors_give_an_aborted_report_with_the_proofs_numbers():
    pair = Pair(p_flip=0.09)
    pair.run(FULL)
    (report,) = same_reports(pair)
    assert "the proof gives nothing: phase error bound" in report.aborted
    assert not pair.keys(pair.bob)
    assert not pair.failures(pair.bob)


def test_a_block_that_turns_out_worthless_after_reconciliation_aborts_at_both_ends():
    """Errors in X only, which the test bits do not show, cost leak; both ends see that it is too much."""
    pair = Pair()
    make = pair.light.block

    def noisy(number):
        block = make(number)
        flip = (block.basis == 0) & (block.index % 5 == 0)
        return replace(block, bit=block.bit ^ flip.astype("uint8"))

    for _ in range(FULL):
        pair.until_quiet()
        pair.bob.add_detections(noisy(pair.number), pair.now_ns)
        pair.number += 1
    pair.until_quiet()
    (report,) = same_reports(pair)
    assert report.aborted
    assert report.leak_bits > 0
    assert not pair.keys(pair.alice) + pair.keys(pair.bob)


def test_a_bit_that_differs_after_reconciliation_aborts_the_block_and_the_next_one_is_made(monkeypatch):
    pair = Pair()
    honest, flipped = Reconciler.corrected, []

    def corrected(self):
        bits = honest(self)
        if not self._is_reference and not flipped:
            flipped.append(1)
            bits[len(bits) // 2] ^= 1
        return bits

    monkeypatch.setattr(Reconciler, "corrected", corrected)
    pair.run(2 * FULL)
    first, second = same_reports(pair)
    assert "verification" in first.aborted
    assert (first.tag_bits, first.secret_bits, first.frames_failed) == (80, 0, 0)
    assert second.aborted is None
    assert digest(pair.keys(pair.alice)[0]) == digest(pair.keys(pair.bob)[0])
    assert len(pair.keys(pair.bob)) == 1


def test_ends_with_different_secrets_release_nothing():
    pair = Pair(peer_secret=bytes(range(256)) * 4)
    pair.run(FULL)
    assert not pair.keys(pair.alice) + pair.keys(pair.bob)
    assert "tag does not fit" in pair.failures(pair.bob)[0].reason
    assert pair.failures(pair.alice)


def test_an_empty_pool_ends_the_session_with_a_reason():
    pair = Pair(secret=bytes(range(63)))
    pair.run(FULL)
    assert "authentication needs" in pair.failures(pair.alice)[0].reason
    assert "ended its session" in pair.failures(pair.bob)[0].reason
    assert not pair.keys(pair.alice) + pair.keys(pair.bob)


def test_one_tag_pair_of_secret_is_enough_for_ever():
    pair = Pair(secret=bytes(range(64)))
    pair.run(3 * FULL)
    assert len(pair.keys(pair.bob)) == len(pair.keys(pair.alice)) == 3


def test_when_the_last_message_is_lost_the_receiver_has_nothing_and_the_transmitter_a_block_of_its_own():
    pair = Pair()
    pair.shine(FULL)
    while not pair.keys(pair.alice):
        transfer(pair, pair.bob, pair.alice)
        if not pair.keys(pair.alice):
            transfer(pair, pair.alice, pair.bob)
    assert drop(pair.alice, pair.now_ns)
    assert not pair.keys(pair.bob)
    assert not pair.failures(pair.bob)


def test_ends_with_different_plans_part_at_once():
    pair = Pair()
    other_plan = replace(pair.plan, block_sifted_bits=40_000)
    stranger = Session(role=Role.RECEIVER, plan=other_plan, pool=pair.pools[1], entropy=SystemEntropy())
    for frame in stranger.frames_to_send(0):
        pair.alice.receive(frame, 0)
    (failure,) = pair.alice.events()
    assert "different plans" in failure.reason


def test_frames_of_another_epoch_are_not_heard():
    pair, later = Pair(), Pair(plan=a_plan(epoch=2))
    for frame in later.bob.frames_to_send(0):
        pair.alice.receive(frame, 0)
    assert not pair.alice.is_failed
    pair.run(FULL)
    assert len(pair.keys(pair.bob)) == 1


def test_a_failed_end_tells_its_peer_once_and_is_silent_then():
    pair = Pair()
    pair.alice.receive(b"nonsense", 0)
    assert len(pair.alice.frames_to_send(0)) == 1
    assert pair.alice.frames_to_send(0) == []
    assert pair.alice.deadline_ns() is None
    pair.alice.on_deadline(10**12)
    pair.alice.receive(b"more", 0)
    assert len(pair.alice.events()) == 1
    other = Pair()
    other.alice.receive(b"nonsense", 0)
    transfer(other, other.alice, other.bob)
    assert "ended its session" in other.failures(other.bob)[0].reason
    assert not other.bob.can_accept_block()


def test_the_receiver_takes_no_more_light_than_it_can_hold():
    pair = Pair()
    taken = 0
    while pair.bob.can_accept_block():
        pair.shine()
        taken += 1
    assert taken == IN_FLIGHT_MAX
    with pytest.raises(LocalProtocolError):
        pair.bob.add_detections(pair.light.block(pair.number), 0)
    pair.until_quiet()
    assert pair.bob.can_accept_block()


def test_a_slow_transmitter_stops_the_light_before_key_blocks_pile_up():
    """Sifting goes on, distillation does not: the transmitter's words about key blocks are held back."""
    pair = Pair(plan=a_plan(block_sifted_bits=5000))
    pair.alice._reliable.send, honest = (
        lambda raw: None if raw[1] in (4, 5, 6) else honest(raw),
        pair.alice._reliable.send,
    )
    for _ in range(20):
        pair.until_quiet()
        if not pair.bob.can_accept_block():
            break
        pair.shine()
    assert not pair.bob.can_accept_block()
    assert len(pair.bob._open.waiting) == WAITING_MAX + 1


@pytest.mark.parametrize("change", [{"number": 0}, {"n_pulses": 7}, {"link": "other"}])
def test_blocks_out_of_order_or_of_another_link_are_our_own_mistake(change):
    pair = Pair()
    pair.shine(2)
    with pytest.raises(LocalProtocolError):
        pair.bob.add_detections(replace(pair.light.block(2), **change), 0)


def test_a_session_may_begin_in_the_middle_of_the_links_life():
    pair = Pair()
    pair.number = 12_345
    pair.run(FULL)
    assert pair.reports(pair.bob)[0].first_number == 12_345
    assert digest(pair.keys(pair.bob)[0]) == digest(pair.keys(pair.alice)[0])


def test_a_transmitter_module_belongs_to_the_transmitters_end():
    pair = Pair()
    pool = AuthenticationPool(pair.pools[0].take(64), authentication=Authentication.PRE_SHARED)
    for role, module in ((Role.RECEIVER, pair.light), (Role.TRANSMITTER, None)):
        with pytest.raises(LocalProtocolError):
            Session(role=role, plan=pair.plan, pool=pool, entropy=SystemEntropy(), transmitter=module)


def reachable(root):
    """Everything that can be reached from an object's data; code and modules do not count."""
    seen, todo = {}, [root]
    while todo:
        each = todo.pop()
        if id(each) in seen or isinstance(each, type | types.ModuleType | types.FunctionType | types.FrameType):
            continue
        seen[id(each)] = each
        todo += gc.get_referents(each)
    return seen


def test_the_receivers_memory_holds_nothing_of_the_transmitter():
    pair = Pair()
    pair.shine(FULL)
    for _ in range(40):  # in the middle of reconciliation
        transfer(pair, pair.bob, pair.alice)
        transfer(pair, pair.alice, pair.bob)
    (ours,), (theirs,) = pair.alice._open.active.values(), pair.bob._open.active.values()
    held = reachable(pair.bob)
    for foreign in (pair.alice, pair.light, pair.pools[0], ours, ours._reconciler, ours._reconciler._words):
        assert id(foreign) not in held
    assert id(theirs._reconciler._words) in held  # the search does find what is there


def test_nothing_that_is_reported_shows_a_secret():
    pair = Pair()
    pair.run(FULL)
    (key,) = pair.keys(pair.bob)
    shown = repr(pair.happened[pair.bob]) + repr(pair.pools) + repr(pair.bob.__dict__)
    secret = key.bits.reveal()
    assert secret.hex()[:24] not in shown
    assert repr(secret[:8])[2:-1] not in shown


def test_the_real_datasheets_light_becomes_key():
    """The photon room's own glass and transmitter in place of this room's emulator."""
    ids = {"id": LINK, "transmitter_site": "north", "receiver_site": "south", "fibre": "fibre"}
    link = Link(
        **ids, protocol="decoy-bb84", transmitter="decoy-1ghz", receiver="ingaas-gated", clock_hz=1e9,
        block_sifted_bits=100_000, pulse_block_ns=50_000_000, epsilon_sec=1e-9, epsilon_cor=1e-12,
    )  # fmt: skip
    fibre = Fibre(id="fibre", ends=("north", "south"), length_km=10.0, attenuation_db_per_km=0.2)
    glass = SimulatedGlass(link=link, fibre=fibre, key=b"a simulation key", stream_seed=b"another stream")
    transmitter = SimulatedTransmitter(link=link, key=b"a simulation key")
    pair = Pair(
        plan=a_plan(
            intensities=transmitter.intensities, p_intensities=transmitter.p_intensities, p_x=transmitter.p_x,
            pulses_per_block=transmitter.pulses_per_block, pulse_block_ns=link.pulse_block_ns,
            block_sifted_bits=link.block_sifted_bits, epsilon_sec=link.epsilon_sec,
        ),
        transmitter=transmitter,
    )  # fmt: skip
    for _ in range(4):
        pair.bob.add_detections(glass.next_block(), pair.now_ns)
        pair.until_quiet()
    assert digest(pair.keys(pair.bob)[0]) == digest(pair.keys(pair.alice)[0])
    assert same_reports(pair)[0].secret_bits > 1000
