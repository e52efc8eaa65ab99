"""One finite key per pass."""

import numpy as np
import pytest

from qanat.keyrate import bb84, bbm92, decoy_bb84, e91, six_state
from qanat.keyrate.parameter import ParameterError
from qanat.keyrate.satellite import pass_protocol, pass_rate
from qanat.keyrate.search import optimised

HARDWARE = {"detector_efficiency": 0.5, "p_dark": 1e-7, "clock_hz": 2e8}
OVERHEAD = 10 ** (-2.5 - 1.5 * np.linspace(-1, 1, 41) ** 2)  # 25 dB at the top, 40 dB at the horizon


@pytest.mark.parametrize("protocol", [bb84, decoy_bb84, bbm92, e91], ids=lambda protocol: protocol.name)
def test_a_pass_of_equal_parts_is_one_block_of_that_loss(protocol):
    over = pass_rate(protocol, [1e-3] * 4, 30.0, **HARDWARE)
    block = protocol(loss_db=30, n_sent=2e8 * 120, **HARDWARE)
    assert float(over.terms["signed_rate_per_pulse"]) == pytest.approx(
        float(block.terms["signed_rate_per_pulse"]), rel=1e-9
    )
    assert over.rate_bps * 120 == pytest.approx(np.maximum(over.terms["signed_length_bits"], 0), rel=1e-9)


def test_one_proof_over_the_pass_beats_proofs_of_its_parts_and_stays_below_the_limit():
    whole = optimised(pass_protocol(decoy_bb84, OVERHEAD, 5.0), **HARDWARE)
    settings = {name: whole.params[name] for name in ("mu", "nu", "p_mu", "p_nu", "p_basis")}
    parts = sum(
        float(np.maximum(pass_rate(decoy_bb84, [eta], 5.0, **settings, **HARDWARE).terms["signed_length_bits"], 0))
        for eta in OVERHEAD
    )
    assert float(whole.terms["signed_length_bits"]) > parts
    limit = decoy_bb84(loss_db=-10 * np.log10(OVERHEAD), mu=0.5, decoys="infinite", vacuum="credited", **HARDWARE)
    assert float(whole.rate_bps) < limit.rate_bps.mean()


def test_parts_in_groups_add_up_to_the_same(monkeypatch):
    for protocol in (decoy_bb84, bbm92):
        whole = pass_rate(protocol, OVERHEAD, 5.0, misalignment=[0.01, 0.02], **HARDWARE)
        monkeypatch.setattr("qanat.keyrate.satellite.ELEMENTS_AT_ONCE", 14)
        grouped = pass_rate(protocol, OVERHEAD, 5.0, misalignment=[0.01, 0.02], **HARDWARE)
        monkeypatch.undo()
        for name, value in whole.terms.items():
            assert grouped.terms[name] == pytest.approx(value, rel=1e-9), name


def test_parts_without_sight_add_nothing_but_their_darks():
    seen = pass_rate(decoy_bb84, [1e-3, 1e-3], [60.0, 60.0], decoys="one", nu=0.15, **HARDWARE)
    blind = pass_rate(decoy_bb84, [1e-3, 0.0, 1e-3], [60.0, 1.0, 60.0], decoys="one", nu=0.15, **HARDWARE)
    assert 0 < blind.terms["signed_length_bits"] < seen.terms["signed_length_bits"]
    assert float(blind.terms["duration_s"]) == 121


def test_several_settings_at_once_and_more_noise_gives_less():
    rate = pass_rate(
        bbm92, OVERHEAD, 5.0, source_share=0.0, mean_pairs=[[0.05], [0.1]], p_noise=[0.0, 1e-6], **HARDWARE
    )
    assert rate.rate_bps.shape == (2, 2)
    assert (np.diff(rate.terms["signed_length_bits"], axis=1) < 0).all()


@pytest.mark.parametrize(
    ("protocol", "arguments", "message"),
    [
        (decoy_bb84, {"transmittances": [1.5]}, "lie in"),
        (decoy_bb84, {"transmittances": [np.nan]}, "lie in"),
        (decoy_bb84, {"transmittances": []}, "at least one"),
        (decoy_bb84, {"transmittances": 0.1}, "at least one"),
        (decoy_bb84, {"transmittances": ["high"]}, "numbers"),
        (decoy_bb84, {"durations_s": [1.0, 2.0]}, "numbers, one duration"),
        (decoy_bb84, {"durations_s": -1.0}, "at least 0"),
        (decoy_bb84, {"durations_s": 0.0}, "not all 0"),
        (decoy_bb84, {"decoys": "infinite"}, "infinitely many"),
        (decoy_bb84, {"n_x": 1e6}, "no parameter n_x"),
        (bb84, {"sifting": 0.5}, "p_basis"),
        (six_state, {}, "no finite key"),
    ],
)
def test_what_is_no_pass_is_refused_in_words(protocol, arguments, message):
    with pytest.raises(ParameterError, match=message):
        pass_rate(protocol, **{"transmittances": [1e-3] * 3, "durations_s": 10.0, **arguments})
