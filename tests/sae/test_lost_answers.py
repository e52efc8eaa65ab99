"""The connection is cut inside the answer: with and without a KME that keeps answers, no key is lost uncounted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from both import CLIENTS
from cutting_wire import CuttingWire
from memory_kme import STOCK, TwoKmes

from qanat.core.ids import SaeId
from qanat.node.api.answers_kept import AnswersKept
from qanat.sae.async_client import AsyncKeyDeliveryClient
from qanat.sae.errors import AnswerLost, KeysNotFound, KeysNotReady, KmeSpokeNonsense
from qanat.sae.http import AnswerReader

ALICE, BOB = SaeId("alice"), SaeId("bob")
WINDOW_S = 4.0
ANSWER_RECORD_BYTES = 1100  # an answer with one key and its label, on the wire: about this


@pytest.fixture(scope="module")
def keeping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoKmes]:
    made = TwoKmes(tmp_path_factory.mktemp("keeping"), redelivery_s=WINDOW_S)
    yield made
    made.close()


@pytest.fixture(params=CLIENTS)
def kind(request: pytest.FixtureRequest) -> Any:
    return CLIENTS[request.param]


CUTS = [0, 1, 5, 6, *range(40, ANSWER_RECORD_BYTES, 90)]


def test_an_answer_cut_at_any_byte_is_no_answer() -> None:
    whole = b'HTTP/1.1 200 OK\r\ncontent-length: 11\r\ncache-control: no-store\r\n\r\n{"keys":[]}'
    for cut in range(len(whole)):
        assert AnswerReader("kme").feed(whole[:cut]) is None, cut
    reader = AnswerReader("kme")
    for place in range(len(whole) - 1):
        assert reader.feed(whole[place : place + 1]) is None
    found = reader.feed(whole[-1:])
    assert found is not None
    assert (found.status_code, found.body) == (200, b'{"keys":[]}')


def test_an_answer_that_changes_the_protocol_is_nonsense() -> None:
    with pytest.raises(KmeSpokeNonsense):
        AnswerReader("kme").feed(b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\0")


def test_with_redelivery_the_keys_arrive_and_are_taken_once(keeping: TwoKmes, kind: Any) -> None:
    keeping.refill()
    wire = CuttingWire(keeping.servers["a"].port)
    files = keeping.saes["alice"].kwargs()
    seen = set()
    with kind(host="localhost", port=wire.port, redelivery=True, **files) as alice:
        alice.status(BOB)
        for cut in CUTS:
            wire.left = cut
            seen.add(alice.enc_keys(BOB)[0].key_id)
        assert alice.burned_max == 0
    wire.close()
    assert len(seen) == len(CUTS)
    assert keeping.pool.stock == STOCK - len(CUTS)
    assert set(keeping.pool.granted) == seen


def test_without_redelivery_every_cut_is_told_with_its_count(two: TwoKmes, kind: Any) -> None:
    wire = CuttingWire(two.servers["a"].port)
    files = two.saes["alice"].kwargs()
    lost = got = 0
    with kind(host="localhost", port=wire.port, redelivery=True, **files) as alice:  # it asks; this KME keeps nothing
        for cut in CUTS:
            alice.status(BOB)  # connects, so that the cut falls into the answer
            wire.left = cut
            try:
                got += len(alice.enc_keys(BOB, number=2))
            except AnswerLost as error:
                lost += error.burned_max
            wire.left = None
        assert alice.burned_max == lost
    wire.close()
    assert lost >= 2 * 10
    assert two.pool.stock == STOCK - got - lost


def test_the_slave_gets_its_keys_again_too_and_later_they_are_gone(keeping: TwoKmes, kind: Any) -> None:
    keeping.refill()
    near = CuttingWire(keeping.servers["b"].port)
    with (
        kind(keeping.url("a"), **keeping.saes["alice"].kwargs()) as alice,
        kind(host="localhost", port=near.port, redelivery=True, **keeping.saes["bob"].kwargs()) as bob,
    ):
        sent = alice.enc_keys(BOB, number=3)
        bob.status(ALICE)
        near.left = 300
        assert bob.dec_keys(ALICE, [key.key_id for key in sent]) == sent
        with pytest.raises(KeysNotFound):  # another request for them, not the same one again
            bob.dec_keys(ALICE, [key.key_id for key in sent])
    near.close()


def test_when_the_kme_stays_away_the_loss_is_told_after_a_few_tries(keeping: TwoKmes, kind: Any) -> None:
    keeping.refill()
    wire = CuttingWire(keeping.servers["a"].port)
    with kind(host="localhost", port=wire.port, redelivery=True, **keeping.saes["alice"].kwargs()) as alice:
        alice.status(BOB)
        wire.left, wire.is_shut = 10, True
        with pytest.raises(AnswerLost, match="Up to 1 keys") as caught:
            alice.enc_keys(BOB)
        assert caught.value.burned_max == alice.burned_max == 1
    wire.close()
    assert keeping.pool.stock == STOCK - 1


def test_a_kme_that_started_anew_is_not_asked_for_a_second_set(keeping: TwoKmes, kind: Any) -> None:
    keeping.refill()
    wire = CuttingWire(keeping.servers["a"].port)
    kme, endpoint = keeping.kmes["a"], keeping.servers["a"]._config.app

    async def forgetting(*arguments: Any) -> Any:
        del kme.enc_keys  # type: ignore[attr-defined]
        container = await kme.enc_keys(*arguments)
        endpoint._kept = AnswersKept(WINDOW_S, kme.count_burned)  # as after a start
        return container

    with kind(host="localhost", port=wire.port, redelivery=True, **keeping.saes["alice"].kwargs()) as alice:
        alice.status(BOB)
        kme.enc_keys = forgetting  # type: ignore[method-assign]
        wire.left = 10
        with pytest.raises(AnswerLost, match="does not keep") as caught:
            alice.enc_keys(BOB)
        assert caught.value.burned_max == alice.burned_max == 1
        assert len(alice.enc_keys(BOB)) == 1  # the next request goes well
    wire.close()
    assert keeping.pool.stock == STOCK - 2


def test_keys_nobody_came_back_for_are_counted_when_their_window_is_over(tmp_path: Path) -> None:
    made = TwoKmes(tmp_path, redelivery_s=0.3)
    try:
        made.kmes["a"].delay_s = 0.2
        wire = CuttingWire(made.servers["a"].port)
        with CLIENTS["blocking"](
            host="localhost", port=wire.port, timeout_s=0.1, redelivery=True, **made.saes["alice"].kwargs()
        ) as alice:
            alice._promise.window_s = 0.0001  # so that it gives up at once
            with pytest.raises(AnswerLost):
                alice.enc_keys(BOB, number=4)
        end_s = time.monotonic() + 3
        while made.kmes["a"].burned == 0 and time.monotonic() < end_s:
            time.sleep(0.02)
        assert made.kmes["a"].burned == 4
        wire.close()
    finally:
        made.close()


def test_an_sae_that_confirms_nothing_is_held_back_without_losing_a_key(keeping: TwoKmes) -> None:
    keeping.refill()
    with CLIENTS["blocking"](keeping.url("a"), redelivery=True, **keeping.saes["alice"].kwargs()) as alice:
        alice.status(BOB)

        def take_without_thanks() -> None:
            alice._promise.done.clear()
            alice.enc_keys(BOB)

        with pytest.raises(KeysNotReady, match="too many answers"):  # noqa: PT012
            for _ in range(70):
                take_without_thanks()
        assert STOCK - keeping.pool.stock <= 64


def test_a_cancelled_call_counts_its_keys_and_spoils_no_other(two: TwoKmes) -> None:
    kme, files = two.kmes["a"], two.saes["alice"].kwargs()

    async def story() -> tuple[int, int]:
        async with AsyncKeyDeliveryClient(two.url("a"), **files, connections_max=2) as alice:
            kme.is_held = True
            call = asyncio.create_task(alice.enc_keys(BOB, number=2))
            async with asyncio.timeout(30):
                while not kme.waiting:
                    await asyncio.sleep(0.005)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            kme.is_held = False
            found = await asyncio.gather(*(alice.enc_keys(BOB) for _ in range(20)))
            return alice.burned_max, len({keys[0].key_id for keys in found})

    assert asyncio.run(story()) == (2, 20)


def test_many_calls_share_the_pools_connections(two: TwoKmes) -> None:
    connections = two.servers["a"]._state.connections
    before = set(connections)  # of earlier tests, on their way out

    async def story() -> set[Any]:
        async with AsyncKeyDeliveryClient(two.url("a"), **two.saes["alice"].kwargs(), connections_max=3) as alice:
            found = await asyncio.gather(*(alice.enc_keys(BOB, number=2) for _ in range(30)))
            assert 1 <= len(set(connections) - before) <= 3
            return {key.key_id for keys in found for key in keys}

    assert len(asyncio.run(story())) == 60
    assert two.pool.stock == STOCK - 60
