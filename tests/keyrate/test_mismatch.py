"""Unequal detectors: the bound against states of which everything is known, rates with it, and what it refuses."""

import numpy as np
import pytest
from scipy.linalg import block_diag, eigvalsh

from qanat.keyrate import bb84, decoy_bb84
from qanat.keyrate.fibre import binary_entropy
from qanat.keyrate.mismatch import in_a_block, unknown_share
from qanat.keyrate.parameter import ParameterError
from qanat.keyrate.protocol import Values

HADAMARD = np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2)
KEPT = np.eye(2)
PHOTONS = [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)]  # at Bob's two detectors, in the basis that he measures
TURNED = block_diag(
    [[1.0]], HADAMARD, [[0.5, 0.5**0.5, 0.5], [0.5**0.5, 0.0, -(0.5**0.5)], [0.5, -(0.5**0.5), 0.5]]
)  # from the key basis to the test basis: two modes at a balanced beam splitter
STATES = 2000


def entropy(matrix):
    """Of a state that is not normed: -tr m log2 m."""
    found = eigvalsh(matrix)
    found = found[found > 1e-15]
    return -float((found * np.log2(found)).sum())


def unknown_to_eve(state):
    """H(Z_A | E) times the weight of this unnormed state of Alice and Bob, Eve holding the rest: she is pure with
    them, so it is the entropy that forgetting Alice's phases adds."""
    forgotten = np.zeros_like(state)
    for bit in range(2):
        at = np.kron(np.diag(KEPT[bit]), np.eye(len(PHOTONS)))
        forgotten = forgotten + at @ state @ at
    return entropy(forgotten) - entropy(state)


def with_photons(first, second):
    """Of Alice's qubit and Bob's photons: |0> with one photon number, |1> with another, in superposition."""
    vector = np.zeros((2, len(PHOTONS)))
    vector[0, PHOTONS.index(first)] = vector[1, PHOTONS.index(second)] = np.sqrt(0.5)
    return vector.ravel()


PAIR = with_photons((1, 0), (0, 1))
TWINS = with_photons((2, 0), (0, 2))


def random_state(rng):
    """Of Alice's qubit and up to two photons at Bob: a good pair or its twin mostly, with something else mixed in."""
    size = 2 * len(PHOTONS)
    noise = rng.normal(size=(size, 2)) + 1j * rng.normal(size=(size, 2))
    noise = noise @ noise.conj().T
    share = 10 ** rng.uniform(-4, 0)
    vector = PAIR + rng.choice([0.0, 0.0, 0.1, 1.0]) * TWINS
    vector = vector + 10 ** rng.uniform(-3, 0.5) * rng.normal(size=(size, 2)) @ [1, 1j] * rng.integers(0, 2)
    vector = vector / np.linalg.norm(vector)
    return (1 - share) * np.outer(vector, vector.conj()) + share * noise / np.trace(noise).real


def clicks(state, efficiencies, is_test):
    """Weights of clicks and of errors when both ends measure in a basis, and the state behind a click, were it the key
    basis; a double click is given a random bit."""
    if is_test:
        turned = np.kron(HADAMARD, TURNED)
        state = turned @ state @ turned.T
    silent = (1 - np.asarray(efficiencies)) ** np.array(PHOTONS)
    zero, one = (1 - silent[:, 0]) * (1 + silent[:, 1]) / 2, (1 - silent[:, 1]) * (1 + silent[:, 0]) / 2
    law = state.diagonal().real.reshape(2, -1)
    behind = np.kron(KEPT, np.diag(np.sqrt(zero + one)))
    return (law @ (zero + one)).sum(), law[0] @ one + law[1] @ zero, behind @ state @ behind


def an_attack(rng, ratio):
    """What Eve gets away with when she sends one of several kinds of light, each with its own efficiencies."""
    known = seen = wrong = 0.0
    for weight in rng.dirichlet(np.ones(3)):
        state = random_state(rng)
        pair = rng.permutation([1.0, ratio if rng.integers(2) else rng.uniform(ratio, 1)]) * rng.uniform(0.1, 1)
        seen_key, _, behind = clicks(state, pair, is_test=False)
        _, wrong_test, _ = clicks(state, pair, is_test=True)
        known += weight * unknown_to_eve(behind)
        seen += weight * seen_key
        wrong += weight * wrong_test
    return known, seen, wrong


def bound(ratio, error):
    return 1 - unknown_share(Values({"efficiency_ratio": np.asarray(ratio)}), np.asarray(error))


def test_eve_never_leaves_less_unknown_than_the_bound_says():
    rng = np.random.default_rng(556)
    hopeful = near = 0
    for _ in range(STATES):
        ratio = rng.uniform(0.05, 1)
        known, seen, wrong = an_attack(rng, ratio)
        assert known >= seen * bound(ratio, wrong / seen) - 1e-9
        hopeful += known < seen * (1 - binary_entropy(np.asarray(min(wrong / seen, 0.5)))) - 1e-9
        near += bound(ratio, wrong / seen) > 0.1
    assert hopeful > STATES / 100  # equal detectors taken for granted: the search sees that
    assert near > STATES / 20


def test_the_time_shift_attack_leaves_what_is_known_of_it():
    """A good pair, one detector r times as efficient, Eve knows which: h(1 / (1 + r)) of each click, and no errors."""
    pair = np.outer(PAIR, PAIR)
    for ratio in (0.01, 0.3, 0.9, 1.0):
        seen, _, behind = clicks(pair, [1.0, ratio], is_test=False)
        assert clicks(pair, [1.0, ratio], is_test=True)[1] == pytest.approx(0, abs=1e-12)
        left = unknown_to_eve(behind) / seen
        assert left == pytest.approx(float(binary_entropy(np.array(1 / (1 + ratio)))), rel=1e-9)
        assert float(bound(ratio, 0.0)) == pytest.approx(ratio)
        assert ratio <= left + 1e-9


def test_outcomes_of_several_photons_obey_what_the_derivation_uses():
    """r C <= C_b <= C for each number of photons at the two detectors, with dark counts and without."""
    a, b = np.meshgrid(np.arange(8), np.arange(8))
    rng = np.random.default_rng(557)
    for _ in range(200):
        best, ratio, dark = rng.uniform(0.01, 1), rng.uniform(0.01, 1), rng.choice([0.0, 10 ** rng.uniform(-6, -1)])
        pair = rng.permutation([best, best * ratio])
        silent = (1 - dark) ** 2 * (1 - pair[0]) ** a * (1 - pair[1]) ** b
        equal = 1 - (1 - dark) ** 2 * (1 - best) ** (a + b)
        assert (1 - silent <= equal + 1e-12).all()
        assert (1 - silent >= ratio * equal - 1e-12).all()


@pytest.mark.parametrize("protocol", [bb84, decoy_bb84], ids=lambda protocol: protocol.name)
def test_more_unequal_detectors_give_less_key(protocol):
    ratios = np.array([1.0, 0.999, 0.97, 0.9, 0.6, 0.2, 0.01])[:, None]
    lengths = np.linspace(0, 150, 31)
    rates = protocol(distance_km=lengths, efficiency_ratio=ratios).rate_per_pulse
    assert (rates[0] == protocol(distance_km=lengths).rate_per_pulse).all()
    assert (rates[0] > 0).all()
    assert (np.diff(rates, axis=0)[rates[:-1] > 0] < 0).all()
    assert (rates[-1] == 0).all()
    without_errors = bb84(efficiency_ratio=0.5, misalignment=0.0, p_dark=0.0, detector_efficiency=0.2)
    assert float(without_errors.rate_per_pulse) == pytest.approx(0.2 * 0.5, rel=1e-12)


@pytest.mark.parametrize("protocol", [bb84, decoy_bb84], ids=lambda protocol: protocol.name)
def test_what_is_not_bounded_is_refused(protocol):
    with pytest.raises(ParameterError, match="mu_trojan"):
        protocol(efficiency_ratio=0.9, mu_trojan=1e-6)


# Blocks.

KINDS = 3  # of light that Eve sends


def a_block(rng, ratio, p_basis):
    """Good clicks of the key basis and their errors, clicks, and errors seen in the test, of many attacks at once.

    Pulses of each kind that pass the filter get labels; they click as Eve likes, but with the coin's probability at
    least, and in the test more rarely where they would be errors.
    """
    count = len(ratio)
    passed = (10 ** rng.uniform(2, 7, (KINDS, count))).astype(int)
    p = np.stack([p_basis**2, (1 - p_basis) ** 2, 2 * p_basis * (1 - p_basis)], axis=-1)
    in_key, in_test, _ = np.moveaxis(rng.multinomial(passed, p), -1, 0)
    good = rng.binomial(in_key, ratio)
    clicked = good + rng.binomial(in_key - good, rng.uniform(0, 1, (KINDS, count)) ** rng.integers(0, 2, count))
    error = rng.choice([0.0, 0.01, 0.1, 0.5], (KINDS, count))
    wrong = rng.binomial(good, error)
    seen = rng.binomial(rng.binomial(in_test, error), ratio + (1 - ratio) * rng.choice([0.0, 1.0], (KINDS, count)))
    return good.sum(axis=0), wrong.sum(axis=0), clicked.sum(axis=0).astype(float), seen.sum(axis=0).astype(float)


def broken(seed, share, share_phase, believed=1.0, count=10_000):
    """How often the good clicks and their errors are on the wrong side; ``believed`` is how much less unequal Eve is
    thought to make detectors."""
    rng = np.random.default_rng(seed)
    ratio, p_basis = rng.uniform(0.1, 0.99, count), rng.uniform(0.2, 0.9, count)
    good, wrong, clicked, seen = a_block(rng, ratio, p_basis)
    values = Values({"efficiency_ratio": ratio**believed, "p_basis": p_basis})
    kept, rate = in_a_block(values, clicked, np.zeros(count), seen, np.float64(share), np.float64(share_phase))
    return [(kept > good).sum(), ((kept > 0) & (rate * kept < wrong * (1 - 1e-12))).sum(), (kept > 0.8 * good).sum()]


def test_blocks_keep_what_is_promised_against_random_attacks():
    # 1e4 attacks with 1e-10 each: one broken bound has probability 2e-6.
    assert broken(561, 1e-10, 1e-10)[:2] == [0, 0]
    assert broken(561, 1e-10, 1e-10)[2] > 500  # and the bound is tight for some


def test_blocks_keep_loose_failure_probabilities_too_and_a_wrong_bound_is_seen():
    too_many, too_few, _ = broken(562, 0.01, 0.01)
    assert max(too_many, too_few) < 150  # 100 at worst; 150 has probability 1e-6
    assert min(broken(563, 0.999_999, 0.999_999)[:2]) > 100
    assert broken(564, 1e-10, 1e-10, believed=0.5)[0] > 500  # detectors more unequal than is believed


BLOCKS = [(bb84, {}), (decoy_bb84, {"decoys": "two", "omega": 2e-4, "nu": 0.1}), (decoy_bb84, {"decoys": "one"})]


@pytest.mark.parametrize(("protocol", "variant"), BLOCKS)
def test_blocks_give_less_than_no_end_of_pulses_and_in_the_end_as_much(protocol, variant):
    ratios, lengths = np.array([0.999, 0.9, 0.6, 0.3])[:, None, None], np.linspace(0, 100, 11)[:, None]
    held = {"distance_km": lengths, "n_x": np.logspace(4, 18, 29), "p_basis": 0.8, **variant}
    equal, finite = protocol(**held), protocol(efficiency_ratio=ratios, **held)
    assert (np.diff(finite.rate_per_pulse, axis=-1) >= -1e-15).all()
    assert (finite.rate_per_pulse[0] <= equal.rate_per_pulse).all()
    # In the end r [1 - h(e / r)] of a click is left.
    kept = finite.terms["single_photon_bits" if variant else "sifted_bits"]
    all_of_them = equal.terms["single_photon_bits" if variant else "sifted_bits"]
    assert kept[..., -1] == pytest.approx(np.broadcast_to(ratios * all_of_them, kept.shape)[..., -1], rel=1e-4)
    error, phase = equal.terms["phase_error_rate"], finite.terms["phase_error_rate"]
    least = np.minimum(np.broadcast_to(error / ratios, phase.shape)[..., -1], 0.5)
    assert phase[..., -1] == pytest.approx(least, rel=1e-3)
    if not variant:
        limit = 0.64 * protocol(distance_km=lengths, efficiency_ratio=ratios).rate_per_pulse
        assert (finite.rate_per_pulse <= limit).all()
        assert finite.rate_per_pulse[..., -1:] == pytest.approx(limit, rel=0.01)
        assert (limit > 0).sum() > 20


def test_unequal_detectors_cost_one_share_more_and_nothing_if_equal():
    usual = {"n_x": 1e8, "decoys": "two", "omega": 2e-4, "nu": 0.1, "distance_km": 20.0}
    equal, nearly = decoy_bb84(**usual), decoy_bb84(efficiency_ratio=1 - 1e-12, **usual)
    assert equal.rate_per_pulse == decoy_bb84(efficiency_ratio=1.0, **usual).rate_per_pulse
    assert nearly.terms["secrecy_bits"] == pytest.approx(-6 * np.log2(22 / 1e-9), rel=1e-12)
    assert equal.terms["secrecy_bits"] == pytest.approx(-6 * np.log2(21 / 1e-9), rel=1e-12)
    assert 0.99 * equal.rate_per_pulse < nearly.rate_per_pulse < equal.rate_per_pulse
