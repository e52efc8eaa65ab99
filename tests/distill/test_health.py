"""What modules tell about themselves reaches both ends, and nonsense in it ends the session."""

from dataclasses import replace

import msgspec
import pytest
from tests.distill.pairing import Pair

from qanat.core.errors import RemoteProtocolError
from qanat.core.health import DETECTOR_COUNT_MAX, GAP_BIN_COUNT, Arrivals
from qanat.distill.health import checked_receiver_health, checked_transmitter_health
from qanat.distill.messages import Detections, Sifted, decoded, encoded
from qanat.distill.reliable import HEADER


@pytest.fixture(scope="module")
def pair():
    pair = Pair()
    pair.run(2)
    return pair


def test_both_ends_report_the_health_of_both_modules(pair):
    ours, theirs = pair.link_reports(pair.alice), pair.link_reports(pair.bob)
    assert len(ours) == len(theirs) == 2
    for number, (left, right) in enumerate(zip(ours, theirs, strict=True)):
        assert left.receiver == right.receiver == pair.light.block(number).health
        assert left.transmitter == right.transmitter == pair.light.health_of(number)
        assert left.receiver.arrivals[0].std_ps == 60.0


def receivers(pair):
    health = pair.light.block(0).health
    first = health.arrivals[0]
    yield replace(health, arrivals=(first,) * (DETECTOR_COUNT_MAX + 1))
    yield replace(health, bias_current_na=(1.0,) * (DETECTOR_COUNT_MAX + 1))
    yield replace(health, gap_histogram=(0,) * (GAP_BIN_COUNT + 1))
    yield replace(health, gap_histogram=(-1,))
    yield replace(health, gap_histogram=(2**62,))
    yield replace(health, temperature_c=float("nan"))
    yield replace(health, control_effort=float("inf"))
    yield replace(health, bias_current_na=(float("nan"),))
    for broken in ({"count": -1}, {"out_of_gate_count": -5}, {"mean_ps": float("nan")}, {"skewness": float("-inf")}):
        yield replace(health, arrivals=(Arrivals(**{"count": 1, **broken}),))


def test_a_receivers_health_that_cannot_be_is_refused(pair):
    checked = list(receivers(pair))
    assert len(checked) == 12
    for health in checked:
        with pytest.raises(RemoteProtocolError):
            checked_receiver_health(health)
    assert checked_receiver_health(pair.light.block(0).health) is pair.light.block(0).health
    assert checked_receiver_health(None) is None


@pytest.mark.parametrize("field", ["power_ratio", "in_port_power_nw", "temperature_c", "control_effort"])
def test_a_transmitters_health_that_cannot_be_is_refused(pair, field):
    for value in (float("nan"), float("inf")):
        with pytest.raises(RemoteProtocolError):
            checked_transmitter_health(replace(pair.light.health_of(0), **{field: value}))


@pytest.mark.parametrize("kind", [Detections, Sifted])
def test_a_peer_whose_health_is_nonsense_ends_the_session(kind):
    pair = Pair()
    pair.shine()

    def spoilt(frame):
        message = decoded(frame[HEADER.size :]) if len(frame) > HEADER.size else None
        if not isinstance(message, kind):
            return frame
        health = msgspec.structs.replace(message, health=replace(message.health, temperature_c=float("nan")))
        return frame[: HEADER.size] + encoded(health)

    for _ in range(5):
        for sender, receiver in ((pair.alice, pair.bob), (pair.bob, pair.alice)):
            for frame in sender.frames_to_send(0):
                receiver.receive(spoilt(frame), 0)
    victim = pair.alice if kind is Detections else pair.bob
    assert "not finite" in next(event.reason for event in victim.events() if hasattr(event, "reason"))
