"""A quarantine told to either end of a link holds at both, by the processes that the bench measures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from live_pair import LINK, LiveKmes, LivePair
from quarantine import SITES, measured
from support.routes import RouteHub
from test_etsi004 import stream_of
from test_skip import key_for, own_id

from qanat.core.alarms import Action
from qanat.core.ids import SiteId
from qanat.km.stream_types import StreamStatus
from qanat.node.processes.config import hub_socket
from qanat.sae.streams import KeyStream, StreamEnded

PAIRS = (("m0", "s0"), ("s0", "m0"))
AHEAD = 6  # chunks that wait at one end or at both
PATIENCE_S = 60.0


def test_a_quarantine_told_to_either_end_lets_no_condemned_key_out_at_both(tmp_path: Path) -> None:
    found = measured(tmp_path, 4)
    assert (found["escaped"], found["twice"]) == (0, 0)


class Guarded(LivePair):
    """Two live KMEs and a hub whose commands the test gives."""

    hub: RouteHub

    def stock(self) -> list[int]:
        return [self.etsi014(me, f"/api/v1/keys/{other}/status")[2]["stored_key_count"] for me, other in PAIRS]

    def release(self) -> None:
        """Until both ends have new key; blocks are refused before a KME has heard."""
        for site in SITES:
            self.hub.tell(site, Action.RESUME_LINK, LINK, self.kmes.next_start_ns)

        def is_filled() -> bool:
            self.kmes.feed(LINK, 1)
            return all(self.stock())

        until(is_filled)


def until(is_true: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < end_s, f"not true after {PATIENCE_S} s"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    kmes = LiveKmes(tmp_path_factory.mktemp("guarded"), pairs=1)
    hub = RouteHub(kmes.sockets[hub_socket()], kmes.network)
    with kmes:
        pair = Guarded(kmes)
        pair.hub = hub
        kmes.feed(LINK, 2)
        pair.wait_for_keys()
        yield pair
    hub.close()


@pytest.fixture
def ends(guarded: Guarded) -> Iterator[list[KeyStream]]:
    """Both ends of one key stream; calls wait long, so that a release in between ends them."""
    wish = {"timeout_ms": round(1000 * PATIENCE_S), "bps_max": 0}
    with (
        stream_of(guarded, "m0", "s0", **wish) as one,
        stream_of(guarded, "s0", "m0", stream=one.stream, **wish) as two,
    ):
        yield [one, two]


def skip_key(pair: LivePair, slave: str, master: str, key_id: str) -> tuple[int, str | None]:
    code, _, found = pair.skip(slave, f"/key/{key_id}?remoteSystemID={own_id(pair, master)}")
    return code, found.get("key")


def pass_a_key(pair: LivePair) -> None:
    """A SKIP key through both KMEs, each as master; messages keep their order, so earlier grants are there too."""
    for master, slave in PAIRS:
        sent = key_for(pair, master)
        assert skip_key(pair, slave, master, sent["keyId"]) == (200, sent["key"])


@pytest.mark.parametrize("told", SITES)
def test_keys_granted_to_a_slave_of_skip_are_refused_and_new_ones_flow(guarded: Guarded, told: SiteId) -> None:
    waiting = [(master, slave, key_for(guarded, master)["keyId"]) for master, slave in PAIRS]
    pass_a_key(guarded)
    guarded.hub.tell(told, Action.QUARANTINE, LINK, 0)
    until(lambda: not any(guarded.stock()))
    for master, slave, key_id in waiting:
        assert skip_key(guarded, slave, master, key_id) == (400, None)
        remote = guarded.skip(master, "/capabilities")[2]["remoteSystemID"][0]
        assert guarded.skip(master, f"/key?remoteSystemID={remote}")[0] == 503
    guarded.release()
    pass_a_key(guarded)
    for master, slave, key_id in waiting:
        assert skip_key(guarded, slave, master, key_id) == (400, None)


@pytest.mark.parametrize("told", SITES)
def test_chunks_of_a_stream_are_refused_at_both_ends_and_new_ones_flow(
    guarded: Guarded, ends: list[KeyStream], told: SiteId
) -> None:
    condemned = [end.chunk(AHEAD).bits for end in ends]  # those before it wait at both ends
    assert condemned[0] == condemned[1]
    condemned.append(ends[0].chunk(AHEAD + 1).bits)  # waits at the far end only
    pass_a_key(guarded)
    guarded.hub.tell(told, Action.QUARANTINE, LINK, 0)
    until(lambda: not any(guarded.stock()))
    for end, waiting in zip(ends, (range(AHEAD), (*range(AHEAD), AHEAD + 1)), strict=True):
        for index in waiting:
            with pytest.raises(StreamEnded) as caught:
                end.chunk(index)
            assert caught.value.status is StreamStatus.INSUFFICIENT_KEY
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(end.chunk) for end in ends]
        guarded.release()
        first = [call.result() for call in calls]
    for sent, got in (first, [end.chunk() for end in ends]):
        assert sent.index == got.index > AHEAD + 1
        assert sent.bits == got.bits
        assert sent.bits not in condemned
