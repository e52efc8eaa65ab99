from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from tests.sim.a_link import LINK

from qanat.core.errors import MisuseError
from qanat.core.ids import FibreId, SiteId
from qanat.core.topology import Fibre
from qanat.physics.attack import Attack, Cut, InterceptResend, Jamming, Tap, TrojanHorse
from qanat.physics.clicks import Truth
from qanat.physics.datasheet import load_receiver
from qanat.physics.errors import DatasheetError
from qanat.sim.counted import StatisticalGlass
from qanat.sim.module import SimulatedGlass, SimulatedTransmitter, warm_up

KEY, SEED = b"K of this rehearsal", b"luck of this rehearsal"
FIBRE = Fibre(
    id=FibreId("duct"), ends=(SiteId("a"), SiteId("b")), length_km=40.0, attenuation_db_per_km=0.2, extra_loss_db=2.0
)


def glass(**changes: object) -> SimulatedGlass:
    return SimulatedGlass(link=replace(LINK, **changes), fibre=FIBRE, key=KEY, stream_seed=SEED)  # type: ignore[arg-type]


def sifted(one: SimulatedGlass, blocks: int) -> tuple[int, int, int]:
    """Detections, matching-basis detections, errors among them, over the next blocks, as both ends would find."""
    transmitter = SimulatedTransmitter(link=one.link, key=KEY)
    detections = matched_count = errors = 0
    for _ in range(blocks):
        block = one.next_block()
        sent = transmitter.settings_at(block.number, block.index)
        matched = sent.basis == block.basis
        detections += block.index.size
        matched_count += int(matched.sum())
        errors += int((sent.bit != block.bit)[matched].sum())
    return detections, matched_count, errors


def test_blocks_come_in_order_and_hold_what_the_noun_promises() -> None:
    one = glass()
    assert one.pulses_per_block == 20_000_000
    assert one.is_simulated
    for number in range(3):
        block = one.next_block()
        assert (block.number, block.start_ns, block.n_pulses) == (number, number * 20_000_000, 20_000_000)
        assert (block.index.dtype, block.basis.dtype, block.bit.dtype) == (np.int64, np.uint8, np.uint8)
        assert np.all(np.diff(block.index) > 0)
        assert 0 <= block.index[0] <= block.index[-1] < block.n_pulses
        assert block.index.size > 5000
        assert max(block.basis.max(), block.bit.max()) == 1


def test_both_ends_meet_with_few_errors_without_eve() -> None:
    detections, matched, errors = sifted(glass(), 10)
    assert detections > 100_000
    assert 0.6 < matched / detections < 0.8  # 0.83^2 + 0.17^2 = 0.72
    assert 0.008 < errors / matched < 0.02


def test_a_transmitter_with_another_key_finds_only_noise() -> None:
    block = glass().next_block()
    sent = SimulatedTransmitter(link=LINK, key=b"another simulation key").settings_at(0, block.index)
    assert abs(float((sent.bit != block.bit).mean()) - 0.5) < 3 / np.sqrt(block.index.size)  # six sigma


@pytest.mark.parametrize("receiver", ["ingaas-gated", "snspd"])
def test_full_intercept_resend_gives_a_quarter_of_errors_plus_misalignment(receiver: str) -> None:
    one = glass(receiver=receiver)
    one.set_attacks((InterceptResend(1.0),))
    _, matched, errors = sifted(one, 10)
    # 0.25 + 0.5 * 0.01 from misalignment; darks, afterpulses and squashed doubles add up to half a percent.
    sigma = np.sqrt(0.19 / matched)
    assert -6 * sigma < errors / matched - 0.255 < 0.006 + 6 * sigma


def test_half_of_the_pulses_intercepted_make_half_of_the_errors() -> None:
    one = glass()
    one.set_attacks((InterceptResend(0.5),))
    _, matched, errors = sifted(one, 10)
    assert 0.128 < errors / matched < 0.14


def test_attacks_begin_and_end_with_a_block() -> None:
    one = glass()
    before = sifted(one, 2)
    one.set_attacks((InterceptResend(1.0),))
    assert one.attacks == (InterceptResend(1.0),)
    during = sifted(one, 2)
    one.set_attacks(())
    after = sifted(one, 2)
    rates = [errors / matched for _, matched, errors in (before, during, after)]
    assert rates[0] < 0.03 < 0.2 < rates[1]
    assert rates[2] < 0.03


def test_a_cut_leaves_dark_counts_with_half_of_them_wrong() -> None:
    one = glass(pulse_block_ns=500_000_000)
    one.set_attacks((Cut(),))
    detections, matched, errors = sifted(one, 10)
    p_dark = sum(load_receiver("ingaas-gated").p_dark(1e9))
    expected = 5e9 * p_dark / (1 + 1000 * p_dark)
    assert expected * 0.98 < detections < expected * 1.04  # six sigma is 4 %; afterpulses add about 1 %
    assert abs(errors / matched - 0.5) < 3 / np.sqrt(matched)


def test_a_tap_lowers_the_rate_and_jamming_raises_the_errors() -> None:
    free = sifted(glass(), 3)
    tapped, jammed = glass(), glass()
    tapped.set_attacks((Tap(0.3),))
    jammed.set_attacks((Jamming(5e7),))
    weak, noisy = sifted(tapped, 3), sifted(jammed, 3)
    assert weak[0] < 0.75 * free[0]
    assert weak[2] / weak[1] < 0.03
    assert noisy[2] / noisy[1] > 0.15


def test_the_same_seeds_give_the_same_blocks_and_the_stream_is_not_the_key() -> None:
    assert np.array_equal(glass().next_block().index, glass().next_block().index)
    with pytest.raises(MisuseError, match="must not be the simulation key"):
        SimulatedGlass(link=LINK, fibre=FIBRE, key=KEY, stream_seed=KEY)


def test_the_transmitter_shows_its_law_exactly_and_refuses_slots_outside() -> None:
    transmitter = SimulatedTransmitter(link=LINK, key=KEY)
    assert transmitter.is_simulated
    assert len(transmitter.intensities) == 3
    assert sum(transmitter.p_intensities) == 1.0
    assert transmitter.settings_at(0, np.empty(0, dtype=np.int64)).bit.size == 0
    for index in ([-1], [transmitter.pulses_per_block]):
        with pytest.raises(MisuseError, match="outside"):
            transmitter.settings_at(0, np.array(index))
    with pytest.raises(MisuseError, match="outside"):
        transmitter.settings_at(-1, np.array([0]))


def test_a_link_that_cannot_run_is_refused_by_name() -> None:
    with pytest.raises(MisuseError, match=r"link a-b.*runs up to 1e\+09"):
        glass(clock_hz=5e9)
    with pytest.raises(MisuseError, match="shorter than one clock slot"):
        glass(clock_hz=10.0)
    with pytest.raises(DatasheetError, match="did you mean 'snspd'"):
        glass(receiver="snsdp")
    with pytest.raises(MisuseError, match="runs over fibre"):
        glass(fibre=FibreId("other"))


@pytest.mark.parametrize("attacks", [(), (InterceptResend(1.0),), (Tap(0.5),)])
def test_the_statistical_glass_tells_what_the_clicks_tell(attacks: tuple[Attack, ...]) -> None:
    exact = glass()
    exact.set_attacks(attacks)
    detections, matched, errors = sifted(exact, 10)
    fast = StatisticalGlass(link=LINK, fibre=FIBRE, stream_seed=SEED)
    fast.set_attacks(attacks)
    windows = [fast.next_counts(200_000_000) for _ in range(3)]
    assert [w.start_ns for w in windows] == [0, 200_000_000, 400_000_000]
    for window in windows:
        total = sum(map(sum, window.sifted_counts))
        wrong = sum(window.error_counts_x) + sum(window.error_counts_z)
        assert window.detection_count == pytest.approx(detections, rel=0.01)
        assert total == pytest.approx(matched, rel=0.015)
        assert wrong / total == pytest.approx(errors / matched, rel=0.15)


def test_warm_up_says_what_it_does() -> None:
    said: list[str] = []
    warm_up(said.append)
    assert len(said) >= 3


def test_importing_the_module_does_not_load_numba() -> None:
    code = "import sys, qanat.sim.module; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_both_modules_tell_their_health_and_nobody_is_told_the_truth() -> None:
    one, transmitter = glass(), SimulatedTransmitter(link=LINK, key=KEY)
    one.set_attacks((InterceptResend(0.5),))
    block = one.next_block()
    assert block.health is not None
    assert sum(arrivals.count for arrivals in block.health.arrivals) >= block.index.size
    assert one.truth is not None
    assert one.truth.label.size == block.index.size
    assert 0.4 < float((one.truth.label == one.truth.names.index("intercept-resend")).mean()) < 0.6
    assert not any(isinstance(getattr(block, name), Truth) for name in type(block).__dataclass_fields__)
    assert "intercept-resend" not in repr(block)
    calm = transmitter.health_of(0)
    transmitter.set_attacks((TrojanHorse(),))
    assert transmitter.health_of(1).in_port_power_nw > calm.in_port_power_nw


def test_no_link_makes_more_than_it_was_given() -> None:
    """secret <= sifted <= clicks <= pulses; the secret end of it is tested in tests/sim/test_link.py."""
    one = glass()
    detections, matched, errors = sifted(one, 3)
    assert 0 < errors < matched < detections < 3 * one.pulses_per_block
    mean = 0.12 * 0.36 + 0.55 * 0.12 + 0.33 * 2e-4
    seen = mean * 10 ** (-FIBRE.loss_db / 10) * 10**-0.15 * 0.2
    assert detections <= 3 * one.pulses_per_block * seen * 1.02  # no more than photons that reach a detector
