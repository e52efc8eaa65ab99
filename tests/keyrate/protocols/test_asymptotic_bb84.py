"""BB84, six-state, decoy BB84 and the bounds against the values in authorities/decoy_bb84.toml."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

from qanat.keyrate import bb84, decoy_bb84, plob, six_state
from qanat.keyrate.fibre import binary_entropy
from qanat.keyrate.search import optimised

AUTHORITY = tomllib.loads((Path(__file__).parents[3] / "authorities" / "decoy_bb84.toml").read_text())
GYS = AUTHORITY["gys"]


def test_single_photon_points():
    point = AUTHORITY["single_photon"]
    rate = bb84(distance_km=point["distance_km"], **point["parameters"])
    assert rate.rate_per_pulse == pytest.approx(point["rate"], rel=1e-6)


@pytest.mark.parametrize(("protocol", "threshold"), [(bb84, 0.110027864), (six_state, 0.126193)])
def test_no_key_from_the_threshold_on(protocol, threshold):
    """A channel without loss or darks whose error is the misalignment."""
    ideal = {"detector_efficiency": 1.0, "p_dark": 0.0, "f_ec": 1.0}
    assert protocol(misalignment=threshold - 1e-5, **ideal).rate_per_pulse > 0
    assert protocol(misalignment=threshold + 1e-5, **ideal).rate_per_pulse == 0


@pytest.mark.parametrize("point", AUTHORITY["fixed"], ids=lambda point: point["decoys"])
def test_decoy_points(point):
    rate = decoy_bb84(distance_km=point["distance_km"], decoys=point["decoys"], mu=0.48, nu=0.05, **GYS)
    assert rate.rate_per_pulse == pytest.approx(point["rate"], rel=1e-6)


def test_best_signal_intensity_and_reach_of_the_gys_experiment():
    for f_ec, mu in AUTHORITY["best_mu"]:
        best = optimised(decoy_bb84, distance_km=50, decoys="infinite", **{**GYS, "f_ec": f_ec})
        assert float(best.params["mu"]) == pytest.approx(mu, abs=1e-3)
    lengths = np.arange(138.0, 144.0, 0.01)
    for case in AUTHORITY["reach"]:
        rate = optimised(decoy_bb84, distance_km=lengths, **case["parameters"], **GYS)
        assert lengths[rate.rate_per_pulse > 0].max() == pytest.approx(case["distance_km"], abs=0.02)


def test_bounds_at_printed_lengths():
    for row in AUTHORITY["bounds"]:
        found = plob(distance_km=row["distance_km"])
        assert found.terms[row["term"]] == pytest.approx(row["rate"], rel=1e-6)


def test_entropy_at_its_ends_and_in_the_middle():
    assert binary_entropy(np.array([0.0, 1e-300, 0.5, 1.0])).tolist()[::2] == [0.0, 1.0]
