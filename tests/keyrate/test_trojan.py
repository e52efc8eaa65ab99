"""A Trojan-horse probe: the coin against states in Fock space, the phase error against a search, rates with it."""

import math

import numpy as np
import pytest

from qanat.keyrate import bb84, decoy_bb84
from qanat.keyrate.parameter import ParameterError
from qanat.keyrate.protocol import Values
from qanat.keyrate.trojan import coin_imbalance, phase_error


def coherent(alpha, photons=40):
    n = np.arange(photons)
    return np.exp(-(abs(alpha) ** 2) / 2) * alpha**n / np.sqrt([float(math.factorial(k)) for k in n])


@pytest.mark.parametrize("mu", [1e-4, 0.01, 0.3, 1.0])
def test_the_imbalance_is_the_overlap_of_the_two_bases(mu):
    """Purifications: an ancilla in the basis of the setting, the qubit, Eve's light with the setting's phase."""
    zero, one = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    plus, minus = (zero + one) / np.sqrt(2), (zero - one) / np.sqrt(2)

    def purified(states, phases):
        light = [coherent(np.sqrt(mu) * np.exp(1j * phase)) for phase in phases]
        return sum(np.kron(np.kron(s, s), e) for s, e in zip(states, light, strict=True)) / np.sqrt(2)

    overlap = np.vdot(purified((zero, one), (0, np.pi)), purified((plus, minus), (np.pi / 2, 3 * np.pi / 2)))
    assert float(coin_imbalance(np.float64(mu))) == pytest.approx((1 - overlap.real) / 2, rel=1e-9, abs=1e-15)


def test_the_phase_error_is_the_largest_that_the_overlap_allows():
    rng = np.random.default_rng(5)
    candidates = np.linspace(0, 0.5, 200_001)
    for _ in range(100):
        mu, error = np.array(10 ** rng.uniform(-6, -2)), np.array(rng.uniform(0, 0.1))
        yield_ = np.array(10 ** rng.uniform(-2, 0))
        found = float(phase_error(Values({"mu_trojan": mu}), error, yield_))
        printed = float(coin_imbalance(mu) / yield_)
        overlap = np.sqrt(error * candidates) + np.sqrt((1 - error) * (1 - candidates))
        allowed = candidates[overlap >= 1 - 2 * printed]
        assert min(found, 0.5) == pytest.approx(allowed.max(), abs=1e-5)
        if found < 0.5:
            e, d = float(error), printed
            expanded = e + 4 * d * (1 - d) * (1 - 2 * e) + 4 * (1 - 2 * d) * math.sqrt(d * (1 - d) * e * (1 - e))
            assert found == pytest.approx(expanded, rel=1e-9)


@pytest.mark.parametrize("protocol", [bb84, decoy_bb84], ids=lambda protocol: protocol.name)
def test_more_light_from_the_transmitter_gives_less_key_and_none_reaches_far(protocol):
    lengths = np.linspace(0, 150, 31)
    rates = protocol(
        distance_km=lengths, mu_trojan=np.array([0.0, 1e-9, 1e-7, 1e-5, 1e-3, 1.0])[:, None]
    ).rate_per_pulse
    assert (np.diff(rates, axis=0) <= 0).all()
    assert (rates[0] > 0).all()
    assert (rates[-1] == 0).all()
    reach = (rates > 0).sum(axis=1)
    assert reach[0] >= reach[3] > reach[4]
    assert rates[1] == pytest.approx(rates[0], rel=0.2)


def test_a_block_with_a_probe_is_refused():
    with pytest.raises(ParameterError, match="asymptotic"):
        decoy_bb84(n_x=1e7, mu_trojan=1e-6)
