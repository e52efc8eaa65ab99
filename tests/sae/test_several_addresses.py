"""A site's KME has several addresses, of which one serves: the client finds it, and spends nothing uncounted."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from both import CLIENTS
from cutting_wire import CuttingWire
from memory_kme import STOCK, TwoKmes

from qanat.core.errors import MisuseError
from qanat.core.ids import SaeId
from qanat.node.api.app import create_app
from qanat.node.api.server import serve
from qanat.sae.client import KeyDeliveryClient
from qanat.sae.errors import AnswerLost, KmeUnreachable

BOB = SaeId("bob")


@pytest.fixture(params=CLIENTS)
def kind(request: pytest.FixtureRequest) -> Any:
    return CLIENTS[request.param]


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port at which nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def frozen() -> Iterator[int]:
    """A port that accepts and never says a word, as a stopped process does."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        yield held.getsockname()[1]


def urls(*ports: int) -> list[str]:
    return [f"https://localhost:{port}" for port in ports]


def test_an_address_at_which_nothing_listens_is_passed_over(two: TwoKmes, kind: Any, nobody: int) -> None:
    with kind(urls(nobody, two.servers["a"].port), **two.saes["alice"].kwargs()) as alice:
        assert len({alice.enc_keys(BOB)[0].key_id for _ in range(3)}) == 3
        assert alice.burned_max == 0
    assert two.pool.stock == STOCK - 3


def test_a_frozen_address_costs_a_second_once(two: TwoKmes, kind: Any, frozen: int) -> None:
    with kind(urls(frozen, two.servers["a"].port), **two.saes["alice"].kwargs()) as alice:
        begin_s = time.monotonic()
        alice.enc_keys(BOB)
        first_s = time.monotonic() - begin_s
        for _ in range(5):
            alice.enc_keys(BOB)
        assert alice.burned_max == 0
    assert 0.9 < first_s < 5
    assert two.pool.stock == STOCK - 6  # none of the later ones went to the frozen one: each would cost a second


def test_a_call_waits_while_no_instance_serves_and_goes_to_the_one_that_comes(
    two: TwoKmes, kind: Any, nobody: int
) -> None:
    late: list[CuttingWire] = []
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    timer = threading.Timer(0.7, lambda: late.append(CuttingWire(two.servers["a"].port, port)))
    timer.start()
    with kind(urls(nobody, port), timeout_s=5, **two.saes["alice"].kwargs()) as alice:
        alice.enc_keys(BOB)
        assert alice.burned_max == 0
    timer.join()
    late[0].close()
    assert two.pool.stock == STOCK - 1


def test_the_search_ends_with_the_time_out(two: TwoKmes, kind: Any, nobody: int) -> None:
    begin_s = time.monotonic()
    with (
        kind(urls(nobody, nobody), timeout_s=0.5, **two.saes["alice"].kwargs()) as alice,
        pytest.raises(KmeUnreachable, match="Nothing listens"),
    ):
        alice.enc_keys(BOB)
    assert time.monotonic() - begin_s >= 0.5


def test_an_answer_that_is_lost_is_counted_and_the_next_call_goes_to_the_other_instance(
    two: TwoKmes, kind: Any
) -> None:
    first, second = CuttingWire(two.servers["a"].port), CuttingWire(two.servers["a"].port)
    with kind(urls(first.port, second.port), **two.saes["alice"].kwargs()) as alice:
        alice.enc_keys(BOB)
        first.left = 40
        with pytest.raises(AnswerLost) as told:
            alice.enc_keys(BOB, number=2)
        assert told.value.burned_max == 2
        first.close()
        second.left = None
        alice.enc_keys(BOB)
        assert alice.burned_max == 2
    second.close()
    assert two.pool.stock == STOCK - 4


def test_with_redelivery_an_instance_that_has_forgotten_makes_the_loss_count_and_takes_no_second_set(
    tmp_path_factory: pytest.TempPathFactory, kind: Any
) -> None:
    """The one that took over does not have the answers that the killed one kept: it says so, and gives no other."""
    kmes = TwoKmes(tmp_path_factory.mktemp("two"), redelivery_s=4.0)
    try:
        first, second = CuttingWire(kmes.servers["a"].port), another_instance(kmes)
        files = kmes.saes["alice"].kwargs()
        with kind(urls(first.port, second), redelivery=True, **files) as alice:
            alice.enc_keys(BOB)
            first.left, first.is_shut = 40, True  # the answer breaks off, and nobody answers there any more
            with pytest.raises(AnswerLost) as told:
                alice.enc_keys(BOB, number=3)
            assert told.value.burned_max == alice.burned_max == 3
            assert kmes.pool.stock == STOCK - 4
            alice.enc_keys(BOB)
            assert alice.burned_max == 3
        first.close()
    finally:
        kmes.close()


def another_instance(kmes: TwoKmes) -> int:
    """The port of a second door of KME "a", with the same store and answers of its own."""
    files = kmes.kme_files["a"]
    app = create_app(kmes.kmes["a"], kme_id="a", redelivery_s=4.0)
    door = serve(app, host="127.0.0.1", port=0, certfile=files.cert, keyfile=files.key, cafile=files.ca)
    kmes.servers["a, again"] = door  # closed with the others
    kmes.thread.do(door.start())
    return door.port


def test_no_address_at_all_is_misuse(two: TwoKmes) -> None:
    with pytest.raises(MisuseError):
        KeyDeliveryClient([], **two.saes["alice"].kwargs())
