"""`qanat kme recover` at one end of an open key stream: it is over at both, and its name can be used again."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from live_pair import LINK, LiveKmes, LivePair
from test_etsi004 import answer, raw, status, stream_of

from qanat.core.ids import KeyId, SiteId
from qanat.km import stream_wire as wire
from qanat.km.stream_types import StreamStatus
from qanat.sae.streams import KeyStream, StreamEnded


def recover(pair: LivePair, site: SiteId) -> None:
    """The machine fails; its operator gives the keys of its store up and starts it again."""
    pair.kmes.kill(site)
    command = ["kme", "recover", site, "--discard-keys", "--state", str(pair.kmes.state.path)]
    done = subprocess.run(
        [sys.executable, "-m", "qanat", *command], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    pair.kmes.start(site)


def until(is_true: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 60
    while not is_true():
        assert time.monotonic() < end_s, "not true after 60 s"
        time.sleep(0.05)


def open_both(pair: LivePair, stream: KeyId | None, *saes: str) -> list[KeyStream]:
    """Under one name at the same moment, as two applications do that agreed on it beforehand."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda me, peer: stream_of(pair, me, peer, stream=stream), saes, saes[::-1]))


@pytest.mark.parametrize(("near", "far"), [("m0", "s0"), ("s0", "m0")])
def test_a_stream_ends_at_both_ends_when_one_kme_gives_its_keys_up(tmp_path: Path, near: str, far: str) -> None:
    with LiveKmes(tmp_path, pairs=1) as kmes:
        pair = LivePair(kmes)
        kmes.feed(LINK, 4)
        pair.wait_for_keys()
        with stream_of(pair, near, far) as one, stream_of(pair, far, near, stream=one.stream) as two:
            before = [one.chunk() for _ in range(4)]
            assert two.chunk().bits == before[0].bits  # three more wait here
            recover(pair, pair.site(near))
            until(lambda: not pair.etsi014(far, f"/api/v1/keys/{near}/status")[2]["stored_key_count"])
            with pytest.raises(StreamEnded) as caught:
                two.chunk()
            assert caught.value.status is StreamStatus.NO_QKD_CONNECTION
            with raw(pair, near) as line:  # the connection of ``one`` went with its KME
                request = wire.GetKeyRequest(stream=one.stream, index=4, metadata_bytes=1024)
                line.sendall(wire.bytes_from_request(request))
                assert status(answer(line)) is StreamStatus.NO_QKD_CONNECTION
        kmes.feed(LINK, 4)
        pair.wait_for_keys()
        ends = open_both(pair, one.stream, near, far)
        for index in range(6):
            sent, got = (end.chunk(index).bits for end in ends)
            assert sent == got
            assert sent not in [chunk.bits for chunk in before]
        for end in ends:
            end.close()
