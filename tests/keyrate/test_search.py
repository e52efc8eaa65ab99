"""The optimiser against dense grids, and what it is allowed to touch."""

import numpy as np
import pytest

from qanat.keyrate import bb84, decoy_bb84
from qanat.keyrate.library import FILES, protocol_named
from qanat.keyrate.parameter import ParameterError, Value
from qanat.keyrate.protocol import Protocol
from qanat.keyrate.search import Task, optimised

CHANNELS = 200
GRID = {1: 400, 2: 60}  # points per dimension
TUNED = [name for name in FILES if 1 <= len(protocol_named(name).tunable) <= 2]
RANGES = {
    "distance_km": (0.0, 150.0),
    "p_dark": (1e-9, 1e-5),
    "misalignment": (0.0, 0.06),
    "detector_efficiency": (0.1, 0.9),
    "xi": (0.0, 0.02),
}


def channels(protocol: Protocol, seed: int) -> dict[str, np.ndarray]:
    stream = np.random.default_rng(seed)
    names = [each.name for each in protocol.parameters if each.name in RANGES]
    return {name: stream.uniform(*RANGES[name], CHANNELS) for name in names}


def grid_best(protocol: Protocol, values: dict[str, np.ndarray]) -> np.ndarray:
    """The highest rate on a dense grid over all that is tunable, for each channel."""
    task = Task(protocol, protocol.tunable)
    side = np.linspace(0.0, 1.0, GRID[len(protocol.tunable)])
    cube = np.stack(np.meshgrid(*[side] * len(protocol.tunable)), axis=-1).reshape(-1, len(protocol.tunable))
    rows: dict[str, Value] = {each.name: _as_row(each.default) for each in protocol.parameters}
    rows |= {name: value[:, None] for name, value in values.items()}
    worth = task.worth(rows, np.broadcast_to(cube, (CHANNELS, *cube.shape)))
    return np.maximum(worth.max(axis=1), 0.0)


def _as_row(default: Value) -> Value:
    return np.asarray(default, dtype=float) if isinstance(default, float | int) else default


@pytest.mark.parametrize("name", TUNED)
def test_never_below_a_dense_grid_on_random_channels(name: str) -> None:
    protocol = protocol_named(name)
    values = channels(protocol, 5)
    best = optimised(protocol, **values).rate_per_pulse
    grid = grid_best(protocol, values)
    assert (best >= grid * (1 - 1e-6)).all(), (best / grid).min()
    assert (best > 0).sum() > CHANNELS / 10


def test_never_below_random_settings_with_a_finite_block() -> None:
    """Six dimensions: too many for a grid, so twenty thousand random settings for each of ten links."""
    stream = np.random.default_rng(3)
    lengths = np.linspace(0.0, 120.0, 10)
    best = optimised(decoy_bb84, distance_km=lengths, decoys="two", n_x=1e7).rate_per_pulse
    settings = {
        each.name: stream.uniform(*each.search, 20_000)
        for each in decoy_bb84.tunable
        if each.search is not None and each.name not in {"p_mu", "p_nu", "nu", "omega"}
    }
    mu = settings["mu"]
    settings["nu"] = mu * stream.uniform(0.05, 0.9, len(mu))
    settings["omega"] = np.full(len(mu), 2e-4)
    parts = stream.dirichlet([2.0, 2.0, 1.0], len(mu))
    settings["p_mu"], settings["p_nu"] = parts[:, 0], parts[:, 1]
    sound = settings["nu"] + settings["omega"] < mu * 0.999
    drawn = decoy_bb84(
        distance_km=lengths[:, None], decoys="two", n_x=1e7, **{name: each[sound] for name, each in settings.items()}
    )
    assert (best >= drawn.rate_per_pulse.max(axis=1)).all()
    assert (best > 0).all()


def test_what_is_given_stays_and_what_is_named_is_chosen() -> None:
    held = optimised(decoy_bb84, distance_km=[10, 60], mu=0.3)
    assert held.params["mu"] == pytest.approx(0.3)
    chosen = optimised(decoy_bb84, over=["mu"], distance_km=[10, 60], decoys="infinite")
    assert np.shape(chosen.params["mu"]) == (2,)
    assert optimised(bb84, distance_km=20).rate_per_pulse == bb84(distance_km=20).rate_per_pulse
    with pytest.raises(ParameterError, match="misalignment cannot be optimised"):
        optimised(decoy_bb84, over=["misalignment"])


def test_shapes_are_kept_and_nothing_is_asked_of_nothing() -> None:
    lengths = np.linspace(0, 90, 12).reshape(3, 4)
    assert optimised(decoy_bb84, distance_km=lengths, decoys="infinite").rate_per_pulse.shape == (3, 4)
    assert optimised(decoy_bb84, distance_km=[], decoys="infinite").rate_per_pulse.shape == (0,)
