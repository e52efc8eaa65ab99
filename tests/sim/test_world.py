"""Virtual time and the trace."""

import pytest

from qanat.core.errors import LocalProtocolError
from qanat.sim.trace import Trace
from qanat.sim.world import World


def test_actions_run_in_order_of_time_and_then_of_planning() -> None:
    world, seen = World(), []
    world.at(20, lambda: seen.append("c"))
    world.at(10, lambda: seen.append("a"))
    world.at(10, lambda: seen.append("b"))
    world.run(until_ns=15)
    assert (seen, world.now_ns, world.step) == (["a", "b"], 15, 2)
    world.run(until_ns=30)
    assert seen == ["a", "b", "c"]


def test_every_repeats_and_the_past_cannot_be_planned() -> None:
    world, seen = World(), []
    world.every(10, lambda: seen.append(world.now_ns))
    world.run(until_ns=35)
    assert seen == [10, 20, 30]
    with pytest.raises(LocalProtocolError):
        world.at(34, lambda: None)


def test_after_step_sees_every_step() -> None:
    world, steps = World(), []
    world.every(10, lambda: None)
    world.run(until_ns=30, after_step=lambda: steps.append(world.step))
    assert steps == [1, 2, 3]


def test_the_digest_is_of_every_line() -> None:
    def digest(*what: str) -> str:
        trace = Trace(World())
        for text in what:
            trace.add("kind", "who", text)
        return trace.digest

    assert digest("a", "b") == digest("a", "b")
    assert len({digest("a", "b"), digest("b", "a"), digest("a"), digest("a", "b", "b")}) == 4
