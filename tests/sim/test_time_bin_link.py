"""Time-bin light end to end: datasheets, glass, the live session, equal keys at both ends."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

import numpy as np
import pytest

from qanat.core.ids import FibreId, LinkId, SiteId
from qanat.core.provenance import Authentication
from qanat.core.records import KeyBlock, Role
from qanat.core.report import BlockReport, LinkReport
from qanat.core.secret import SecretBits
from qanat.core.streams import Streams
from qanat.core.topology import Fibre, Link
from qanat.crypto.wegman_carter import AuthenticationPool
from qanat.distill.session import Session
from qanat.node.processes.link_end import session_plan
from qanat.physics.attack import InterceptResend
from qanat.physics.errors import DatasheetError
from qanat.sim.counted import StatisticalGlass
from qanat.sim.entropy import SimulatedEntropy
from qanat.sim.link import StatisticalLink
from qanat.sim.module import SimulatedGlass, SimulatedTransmitter

KEY, SEED = b"simulation key of a time-bin link", b"chance of a time-bin glass"
MS = 1_000_000
FIBRE = Fibre(id=FibreId("duct"), ends=(SiteId("north"), SiteId("south")), length_km=10.0, attenuation_db_per_km=0.2)
LINK = Link(
    id=LinkId("north-south"),
    transmitter_site=SiteId("north"),
    receiver_site=SiteId("south"),
    fibre=FibreId("duct"),
    protocol="decoy-bb84",
    transmitter="time-bin-3state",
    receiver="time-bin-snspd",
    clock_hz=2.5e9,
    block_sifted_bits=200_000,
    pulse_block_ns=20 * MS,
    epsilon_sec=1e-9,
    epsilon_cor=1e-15,
)


class SystemEntropy:
    def random_bytes(self, size_bytes):
        return os.urandom(size_bytes)


def ends_of(link, transmitter=None):
    """Both sessions, sharing a secret."""
    plan = session_plan(link, 1, is_simulated=True)
    secret = hashlib.sha256(b"time-bin").digest() * 32
    pools = [AuthenticationPool(SecretBits(secret), authentication=Authentication.PRE_SHARED) for _ in range(2)]
    common = {"plan": plan, "entropy": SystemEntropy()}
    source = transmitter or SimulatedTransmitter(link=link, key=KEY)
    return (
        Session(role=Role.TRANSMITTER, pool=pools[0], transmitter=source, **common),
        Session(role=Role.RECEIVER, pool=pools[1], **common),
    )


def exchange(alice, bob, told, now_ns):
    """Frames to and fro until both are silent; the time then."""
    while True:
        frames = [(bob, data) for data in alice.frames_to_send(now_ns)]
        frames += [(alice, data) for data in bob.frames_to_send(now_ns)]
        if not frames:
            break
        for end, data in frames:
            end.receive(data, now_ns)
        now_ns += MS
    for events, end in zip(told, (alice, bob), strict=True):
        events += end.events()
    return now_ns


def run(link, *, blocks, attacks=()):
    """What each end told after this many pulse blocks."""
    alice, bob = ends_of(link)
    glass = SimulatedGlass(link=link, fibre=FIBRE, key=KEY, stream_seed=SEED)
    glass.set_attacks(attacks)
    told, now_ns = ([], []), 0
    for _ in range(blocks):
        bob.add_detections(glass.next_block(), now_ns)
        now_ns = exchange(alice, bob, told, now_ns)
    return told


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize("transmitter", ["time-bin-3state", "time-bin-4state"])
def test_a_time_bin_link_makes_equal_keys_at_both_ends(transmitter) -> None:
    alice, bob = run(replace(LINK, transmitter=transmitter), blocks=22)
    keys = [of(KeyBlock, events) for events in (alice, bob)]
    reports = of(BlockReport, bob)
    assert reports
    assert reports[0].aborted is None
    assert len(keys[0]) == len(keys[1]) >= 1
    for one, other in zip(*keys, strict=True):
        assert one.bits.size_bytes == other.bits.size_bytes > 100
        assert one.bits == other.bits
        assert one.provenance.simulated
    assert [replace(report, made_at_ns=0) for report in reports] == [
        replace(report, made_at_ns=0) for report in of(BlockReport, alice)
    ]
    assert 8 * keys[0][0].bits.size_bytes == reports[0].secret_bits


def test_three_states_pay_for_the_missing_one() -> None:
    """Same light but for the settings: the bound on phase errors is above the true 1.25 %, and far below 1/2."""
    (report,) = of(BlockReport, run(LINK, blocks=22)[1])[:1]
    assert 0.02 < report.phase_error_bound < 0.4
    terms = {term.name: term.source for term in report.terms}
    assert "docs/decisions/0043" in terms["what their phase errors may tell"]


def test_intercept_resend_leaves_no_key_on_a_three_state_link() -> None:
    alice, bob = run(LINK, blocks=22, attacks=(InterceptResend(fraction=1.0),))
    assert not of(KeyBlock, alice)
    assert not of(KeyBlock, bob)
    assert of(BlockReport, bob)[0].aborted is not None
    reports = of(LinkReport, bob)
    errors = sum(sum(report.error_counts_z) for report in reports)
    tests = sum(z for report in reports for _, z in report.sifted_counts)
    assert errors / tests == pytest.approx(0.25, abs=0.02)


def test_modules_of_two_families_are_refused() -> None:
    for link, said in (
        (replace(LINK, receiver="snspd"), "sends time-bin light"),
        (replace(LINK, transmitter="decoy-1ghz", clock_hz=1e9), "sends polarisation light"),
    ):
        with pytest.raises(DatasheetError, match=said):
            SimulatedGlass(link=link, fibre=FIBRE, key=KEY, stream_seed=SEED)
        with pytest.raises(DatasheetError, match=said):
            StatisticalGlass(link=link, fibre=FIBRE, stream_seed=SEED)


def test_a_time_bin_receiver_tells_of_three_detectors() -> None:
    glass = SimulatedGlass(link=LINK, fibre=FIBRE, key=KEY, stream_seed=SEED)
    health = glass.next_block().health
    assert health is not None
    assert len(health.arrivals) == len(health.bias_current_na) == 3
    assert all(arrivals.count > 100 for arrivals in health.arrivals)


def test_the_statistical_link_makes_about_as_much_key_as_the_live_one() -> None:
    """Mean of its blocks against one live block: counts differ by chance and a model stands for the leak."""
    link = StatisticalLink(link=LINK, fibre=FIBRE, stream_seed=SEED * 2, entropy=SimulatedEntropy(Streams(seed=1), "a"))
    reports = [report for report in (link.next_window(100 * MS, 0)[1] for _ in range(40)) if report is not None]
    live = of(BlockReport, run(LINK, blocks=22)[1])[0]
    assert len(reports) > 5
    assert np.mean([report.phase_error_bound for report in reports]) == pytest.approx(live.phase_error_bound, abs=0.04)
    assert np.mean([report.secret_bits for report in reports]) == pytest.approx(live.secret_bits, rel=0.5)
