"""Answers kept for a while: the same request gets the same keys, nobody else gets any, and what is lost is counted."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from qanat.core.ids import SaeId
from qanat.km.redelivery import DONE_MAX, FORGOTTEN, KEPT_PER_SAE_MAX, OTHER_REQUEST, NotRepeatable, Redelivery

ALICE, BOB = SaeId("alice"), SaeId("bob")
WINDOW_NS = 1_000


@dataclass
class Keys:
    key_count: int = 3
    is_wiped: bool = False

    def wipe(self) -> None:
        self.is_wiped = True


@dataclass
class Kept:
    burned: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.memory: Redelivery[Keys] = Redelivery(window_ns=WINDOW_NS, epoch="e1", on_burned=self.burned.append)

    def take(self, sae: SaeId = ALICE, name: str = "one", *, now_ns: int = 0) -> Keys:
        self.memory.begin(sae, name, b"request", None, now_ns)
        keys = Keys()
        self.memory.keep(sae, name, keys, now_ns)
        return keys


def test_the_same_request_finds_the_same_keys_until_the_window_is_over() -> None:
    made = Kept()
    keys = made.take()
    made.memory.begin(ALICE, "one", b"request", "e1", WINDOW_NS - 1)
    assert made.memory.kept(ALICE, "one") is keys
    made.memory.sweep(WINDOW_NS)
    assert keys.is_wiped
    assert made.memory.kept(ALICE, "one") is None


def test_another_sae_finds_nothing_under_the_same_id() -> None:
    made = Kept()
    made.take()
    made.memory.begin(BOB, "one", b"request", None, 1)
    assert made.memory.kept(BOB, "one") is None


def test_another_request_under_the_same_id_is_refused() -> None:
    made = Kept()
    made.take()
    with pytest.raises(NotRepeatable, match=OTHER_REQUEST):
        made.memory.begin(ALICE, "one", b"other request", None, 1)


def test_a_request_sent_again_to_a_kme_that_started_anew_takes_no_keys() -> None:
    made = Kept()
    with pytest.raises(NotRepeatable, match=FORGOTTEN):
        made.memory.begin(ALICE, "one", b"request", "e0", 0)
    assert not made.memory.is_begun(ALICE, "one")
    made.memory.begin(ALICE, "one", b"request", "e1", 0)  # same epoch: its first sending never came
    assert made.memory.is_begun(ALICE, "one")


def test_a_confirmed_answer_is_wiped_at_once_and_burns_nothing() -> None:
    made = Kept()
    keys = made.take()
    made.memory.mark_sent(ALICE, "one", is_lost=True)
    made.memory.confirm(BOB, "one")
    assert not keys.is_wiped  # not Bob's to confirm
    made.memory.confirm(ALICE, "unknown one")
    assert keys.is_wiped
    made.memory.sweep(10 * WINDOW_NS)
    assert made.burned == []


@pytest.mark.parametrize(
    ("sendings", "burned"), [([True], [3]), ([True, False], []), ([False], []), ([True, True], [3])]
)
def test_keys_count_as_burned_when_every_sending_was_lost(sendings: list[bool], burned: list[int]) -> None:
    made = Kept()
    made.take()
    for is_lost in sendings:
        made.memory.mark_sent(ALICE, "one", is_lost=is_lost)
    made.memory.sweep(WINDOW_NS - 1)
    assert made.burned == []
    made.memory.sweep(WINDOW_NS)
    made.memory.sweep(WINDOW_NS)
    assert made.burned == burned


def test_a_full_memory_refuses_instead_of_forgetting() -> None:
    made = Kept()
    first = made.take(name="0")
    for index in range(1, KEPT_PER_SAE_MAX):
        made.take(name=str(index))
    with pytest.raises(NotRepeatable) as caught:
        made.memory.begin(ALICE, "more", b"request", None, 1)
    assert caught.value.is_full
    assert not first.is_wiped
    made.take(BOB, "one", now_ns=1)  # others are served
    made.memory.confirm(ALICE, " ".join(str(index) for index in range(KEPT_PER_SAE_MAX)))
    for index in range(DONE_MAX):
        made.take(name=f"again {index}", now_ns=1)


def test_a_request_that_took_nothing_may_come_again_under_its_id() -> None:
    made = Kept()
    made.memory.begin(ALICE, "one", b"request", None, 0)
    made.memory.drop(ALICE, "one")
    made.take()
    made.memory.drop(ALICE, "one")  # keys that were taken are not dropped
    assert made.memory.kept(ALICE, "one") is not None
    made.memory.wipe_all()
    assert not made.memory.is_begun(ALICE, "one")


def test_a_window_of_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="keeps nothing"):
        Redelivery(window_ns=0, epoch="e", on_burned=print)
