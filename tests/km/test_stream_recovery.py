"""A KME that gave its keys up forgot its streams: they are over at the other end too, and begin anew together."""

from __future__ import annotations

import pytest
from tests.km.pairing import MS, S, World
from tests.km.test_recovery import put_back
from tests.km.test_streams import A, B, a_pair, both, get, opened, push, refused

from qanat.core.ids import KeyId, SiteId
from qanat.km.recovery import discard_keys
from qanat.km.stream_chunks import chunk_name
from qanat.km.stream_types import StreamStatus

ENDS = [(A, B), (B, A)]  # the first is recovered; A's site owns the stream


def recovered(world: World, site: str) -> None:
    store = world.stores[site]
    store.reopen()
    discard_keys(SiteId(site), store)
    put_back(world, site, store)


def used(world: World, near: str, far: str) -> KeyId:
    """Both have chunk 0; from 1 to 9 they wait at the far end, some of them at the near one too."""
    stream = both(world)
    for sae in (near, far):
        get(world, sae, stream, 0)
    for index in (9, 3, 5):
        get(world, near, stream, index)
    world.run(50 * MS)
    return stream


@pytest.mark.parametrize(("near", "far"), ENDS)
def test_the_stream_is_over_at_both_ends_and_its_chunks_are_gone(near: str, far: str) -> None:
    world = a_pair()
    stream = used(world, near, far)
    for sae in (near, far):
        push(world, sae, stream)
    recovered(world, near[0])
    world.run(1 * S)
    for sae, site in ((near, near[0]), (far, far[0])):
        assert refused(world, sae, stream) is StreamStatus.NO_QKD_CONNECTION
        assert world.call(site, lambda kme: kme.pushed_streams()) == []
        assert not any(pair.granted_keys for pair in world.report(site).pairs if pair.peer != site)
    world.check_ledgers()


@pytest.mark.parametrize("is_near_first", [True, False])
@pytest.mark.parametrize(("near", "far"), ENDS)
def test_its_name_opens_a_new_stream_that_is_the_same_at_both_ends(near: str, far: str, is_near_first: bool) -> None:
    """The first call at the recovered KME comes before its own deadline, in which it would tell its peers."""
    world = a_pair()
    world.distil("a-b", 4)
    stream = used(world, near, far)
    old = [get(world, far, stream, index).bits for index in (1, 2)]
    recovered(world, near[0])
    if is_near_first:
        opened(world, near, far, stream)
        world.run(20 * MS)
        assert refused(world, far, stream, 4) is StreamStatus.NO_QKD_CONNECTION
        opened(world, far, near, stream)
    else:
        world.run(20 * MS)
        opened(world, far, near, stream)
        opened(world, near, far, stream)
    world.distil("a-b", 4)
    world.run(1 * S)
    for index in range(6):
        one, two = (get(world, sae, stream) for sae in (near, far))
        assert one.index == two.index == index
        assert one.bits == two.bits
        assert one.bits not in old
    world.check_ledgers()


def test_a_grant_of_the_stream_before_does_not_count_for_the_one_after() -> None:
    """The owner granted chunks that were on their way when the other end's KME lost its store."""
    world = a_pair()
    stream = both(world)
    world.wire.fate = list  # everything is lost
    get(world, A, stream, 5)
    recovered(world, "b")
    opened(world, B, A, stream)
    world.wire.fate = lambda: [1 * MS]
    world.run(5 * S)
    assert world.call("b", lambda kme: kme._streams.table.records[stream].next_index) == 0
    assert chunk_name(stream, 5) not in world.call("b", lambda kme: kme._c.books.grants)
    opened(world, A, B, stream)
    world.distil("a-b", 4)
    world.run(5 * S)
    for index in range(3):
        one, two = (get(world, sae, stream) for sae in (A, B))
        assert (one.index, one.bits) == (two.index, two.bits) == (index, one.bits)
    world.check_ledgers()
