"""Quotas with the engine in virtual time: bits per second, reserves that others cannot eat, and fair shares."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace

import pytest
from tests.km.pairing import MS, S, World, a_network, ids

from qanat.core.ids import SaeId, SiteId
from qanat.core.topology import Demand, Network, Policy, Sae
from qanat.km.documents import KeyDeliveryError
from qanat.km.quotas import RateQuota, Shares
from qanat.km.stream_types import Chunk, StreamQos

KEY_BYTES = 32


def a_shared_link(weights: list[float], *, reserve_keys: int, **sae_fields: float) -> Network:
    """SAE pairs a1-b1, a2-b2, ... on one link; the weights are their planned rates."""
    numbers = range(1, len(weights) + 1)
    saes = [Sae(id=SaeId(f"{site}{n}"), site=SiteId(site), **sae_fields) for site in "ab" for n in numbers]  # type: ignore[arg-type]
    return replace(
        a_network(["a-b"], [], policy=Policy(buffer_keys=16, reserve_keys=reserve_keys)),
        saes={sae.id: sae for sae in saes},
        demands=tuple(
            Demand(saes=(SaeId(f"a{n}"), SaeId(f"b{n}")), rate_bits_per_s=weight)
            for n, weight in zip(numbers, weights, strict=True)
        ),
    )


def a_world(network: Network, blocks: int) -> World:
    world = World(network)
    world.run(10 * MS)
    world.distil("a-b", blocks)
    world.run(100 * MS)
    return world


def taken(world: World, pair: int, number: int = 1) -> int:
    """Keys that the pair's master got: all or none."""
    with suppress(KeyDeliveryError):
        return len(world.enc(f"a{pair}", f"b{pair}", number).keys)
    return 0


# --- fairness


@pytest.mark.parametrize("seed", range(12))
def test_pairs_that_want_more_than_there_is_get_their_proportion_within_ten_percent(seed: int) -> None:
    rng = random.Random(seed)
    count = rng.randrange(2, 6)
    weights = [rng.choice([1.0, 1.0, 2.0, 3.0, 5.0]) * 1000 for _ in range(count)]
    sizes = [rng.randrange(1, 9) for _ in weights]
    waits_ms = [rng.choice([20, 40, 100, 300]) for _ in weights]  # from greedy to patient
    world = a_world(a_shared_link(weights, reserve_keys=rng.choice([1, 8, 12])), 1)
    due = [world.now_ns] * count
    got = [0] * count
    for step in range(600):
        if step % 10 == 0:
            world.distil("a-b", 1)  # 32 keys for each direction every 200 ms, for at least 2 that want more
        for pair in rng.sample(range(count), count):
            if due[pair] <= world.now_ns:
                due[pair] = world.now_ns + waits_ms[pair] * MS
                got[pair] += taken(world, pair + 1, sizes[pair])
        world.run(20 * MS)
    offered = [size * 1000 / wait * 12.0 for size, wait in zip(sizes, waits_ms, strict=True)]
    fair = max_min_fair(sum(got), weights, offered)
    shortage = {pair + 1: (got[pair], round(fair[pair])) for pair in range(count) if got[pair] < 0.9 * fair[pair]}
    assert not shortage, f"seed {seed}: {shortage} of {got}, weights {weights}, offered {offered}"
    world.check_ledgers()


def max_min_fair(total: float, weights: list[float], offered: list[float]) -> list[float]:
    """A second derivation: bisect for the one level at which everybody's part adds up to what was given."""
    low, high = 0.0, max(o / w for o, w in zip(offered, weights, strict=True))
    for _ in range(100):
        level = (low + high) / 2
        parts = [min(o, level * w) for o, w in zip(offered, weights, strict=True)]
        low, high = (level, high) if sum(parts) < total else (low, level)
    return parts


def test_without_a_reserve_the_first_one_may_take_all_as_before() -> None:
    world = a_world(a_shared_link([1.0, 1.0], reserve_keys=0), 2)
    stored = world.stored("a", "b")
    assert taken(world, 1, stored) == stored
    assert taken(world, 2) == 0


@pytest.mark.parametrize("greed", [1, 3, 8])
def test_a_greedy_pair_cannot_eat_the_reserve_of_a_silent_one(greed: int) -> None:
    world = a_world(a_shared_link([9.0, 1.0], reserve_keys=8), 2)
    while taken(world, 1, greed):
        pass
    assert 8 <= world.stored("a", "b") < 8 + greed + 1
    assert taken(world, 2, 8) == 8


def test_what_one_pair_does_not_want_flows_to_the_other() -> None:
    world = a_world(a_shared_link([1.0, 9.0], reserve_keys=4), 2)
    made = world.stored("a", "b")
    got = sum(taken(world, 1) for _ in range(200))
    assert got == made - 4


def test_a_refusal_by_share_tells_what_could_be_had() -> None:
    world = a_world(a_shared_link([1.0, 1.0], reserve_keys=16), 1)
    assert world.stored("a", "b") == 32
    with pytest.raises(KeyDeliveryError, match="reserved for other pairs") as caught:
        world.enc("a1", "b1", 20)
    assert caught.value.details == [{"available": 16, "requested": 20, "retry_after_ms": 1000}]
    assert taken(world, 1, 16) == 16


def test_keys_of_a_stream_come_out_of_the_same_share() -> None:
    world = a_world(a_shared_link([1.0, 1.0], reserve_keys=8), 1)
    qos = StreamQos(chunk_bytes=KEY_BYTES, bps_max=10**9, bps_min=0)
    a1, b1 = SaeId("a1"), SaeId("b1")
    stream = world.call("a", lambda kme: kme.open_stream(a1, b1, qos, None, world.now_ns)).stream
    world.run(10 * MS)
    world.call("b", lambda kme: kme.open_stream(b1, a1, qos, stream, world.now_ns))
    world.run(10 * MS)
    chunks = [world.call("a", lambda kme: kme.get_chunk(a1, stream, None, 0, world.now_ns)) for _ in range(40)]
    assert sum(isinstance(chunk, Chunk) for chunk in chunks) == 24
    assert taken(world, 2, 8) == 8


def test_a_restart_leaves_each_pair_a_share_again() -> None:
    world = a_world(a_shared_link([1.0, 1.0], reserve_keys=8), 1)
    taken(world, 1, 12)
    world.restart("a")
    world.run(200 * MS)
    while taken(world, 1):
        pass
    assert taken(world, 2, 8) == 8


# --- bits per second


def test_an_sae_takes_its_bits_per_second_and_no_more() -> None:
    world = a_world(a_shared_link([1.0], reserve_keys=0, rate_bits_per_s_max=1024.0), 8)
    assert [taken(world, 1) for _ in range(6)] == [1, 1, 1, 1, 0, 0]
    got = 0
    for _ in range(100):
        world.run(100 * MS)
        got += taken(world, 1)
    assert 39 <= got <= 41  # 1024 bits a second are four keys, for ten seconds
    other = world.enc("b1", "a1", 1)  # quotas are each SAE's own
    world.run(50 * MS)
    world.dec("a1", "b1", ids(other))  # fetching what another took is free


def test_a_refusal_by_rate_names_the_time_after_which_it_works() -> None:
    world = a_world(a_shared_link([1.0], reserve_keys=0, rate_bits_per_s_max=1000.0, burst_bits=256.0), 4)
    assert taken(world, 1) == 1
    with pytest.raises(KeyDeliveryError, match="bits per second") as caught:
        world.enc("a1", "b1")
    assert (caught.value.status_code, caught.value.retry_after_ms) == (503, 256)
    world.run((caught.value.retry_after_ms or 0) * MS)
    assert taken(world, 1) == 1


@pytest.mark.parametrize("seed", range(5))
def test_a_bucket_never_gives_more_than_rate_and_burst_and_one_request(seed: int) -> None:
    rng = random.Random(seed)
    rate, burst = rng.uniform(100, 10_000), rng.uniform(64, 5_000)
    quota, now_ns, given = RateQuota(rate, burst, 0), 0, 0
    for _ in range(2_000):
        now_ns += rng.randrange(S // 4)
        size = rng.randrange(64, 6_000)
        wait_ns = quota.wait_ns(size, now_ns)
        if wait_ns == 0:
            quota.spend(size, now_ns)
            given += size
        else:
            assert quota.wait_ns(size, now_ns + wait_ns) <= 1
        assert given <= burst + rate * now_ns / S + 6_000
    assert given > 0.5 * rate * now_ns / S


# --- the arithmetic


@pytest.mark.parametrize("seed", range(20))
def test_shares_never_promise_more_than_there_is(seed: int) -> None:
    rng = random.Random(seed)
    pairs = [frozenset({SaeId(f"a{n}"), SaeId(f"b{n}")}) for n in range(rng.randrange(1, 6))]
    shares = Shares({pair: rng.choice([1.0, 2.5, 7.0]) for pair in pairs}, rng.randrange(1, 300))
    stock = 0
    for step in range(400):
        stock = rng.choice([stock, stock + rng.randrange(500), stock // 2])  # made, or condemned
        pair, size = rng.choice(pairs), rng.randrange(1, 200)
        shares.want(pair, size, step * MS)
        may = shares.available(pair, stock, step * MS)
        assert 0 <= may <= stock
        if size <= may:
            shares.spend(pair, size, stock, step * MS)
            stock -= size
