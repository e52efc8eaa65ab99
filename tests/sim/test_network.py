"""The lossy network does what its weather says, and nothing else."""

from qanat.core.timebase import NS_PER_S
from qanat.sim.network import SimulatedNetwork
from qanat.sim.world import World


def sent(p_loss: float, count: int = 4000) -> tuple[SimulatedNetwork, list[int]]:
    world, arrived = World(), []
    network = SimulatedNetwork(world, b"seed")
    network.weather.p_loss = p_loss
    for number in range(count):
        network.send("a", "b", lambda number=number: arrived.append(number))
        world.run(until_ns=world.now_ns + 1000)
    world.run(until_ns=world.now_ns + NS_PER_S)
    return network, arrived


def test_good_weather_loses_and_doubles_nothing() -> None:
    network, arrived = sent(0.0)
    assert sorted(arrived) == list(range(4000))
    assert (network.lost_count, network.doubled_count) == (0, 0)


def test_bad_weather_loses_doubles_and_reorders() -> None:
    network, arrived = sent(0.2)
    # 4000 draws of 0.2: five standard deviations are 127.
    assert abs(network.lost_count - 800) < 127
    assert 0 < network.doubled_count < network.lost_count
    assert len(arrived) == 4000 - network.lost_count + network.doubled_count
    assert arrived != sorted(arrived)


def test_a_partition_stops_frames_sent_and_frames_under_way_until_it_is_joined() -> None:
    world, arrived = World(), []
    network = SimulatedNetwork(world, b"seed")
    network.send("a", "b", lambda: arrived.append("under way"))
    join = network.part(["a"], ["b", "c"])
    network.send("b", "a", lambda: arrived.append("parted"))
    network.send("b", "c", lambda: arrived.append("same side"))
    world.run(until_ns=NS_PER_S)
    join()
    network.send("a", "b", lambda: arrived.append("joined"))
    world.run(until_ns=2 * NS_PER_S)
    assert arrived == ["same side", "joined"]


def test_ordered_messages_keep_their_order() -> None:
    world, arrived = World(), []
    network = SimulatedNetwork(world, b"seed")
    for number in range(200):
        network.send_in_order("hub", "a", lambda number=number: arrived.append(number))
    world.run(until_ns=NS_PER_S)
    assert arrived == list(range(200))
