"""Random loss, doubling, reordering and crashes at any commit: the promises of key management hold.

Promises: no key twice to one role, both ends equal (``World.enc`` and ``World.dec`` check), the ledger is
exact, a restart forgets no delivery, and when the trouble ends everything works again.
"""

from __future__ import annotations

import random
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.km.pairing import MS, S, World, a_chain, ids

from qanat.core.alarms import Action
from qanat.km.documents import KeyDeliveryError
from qanat.sim.store import StoreCrashed

STEPS = st.lists(
    st.sampled_from(["enc", "dec", "dec", "distil", "run", "run", "crash", "quarantine", "resume"]),
    min_size=5,
    max_size=40,
)


class Trouble:
    """One run: a bad network, crashing stores, two applications that keep asking."""

    def __init__(self, seed: int, hops: int, crash_every: int) -> None:
        self.luck = random.Random(seed)
        self.world = World(a_chain(hops))
        self.end = "abcdefgh"[hops]
        self.crash_every = crash_every
        self.asked: list[tuple[str, str, list]] = []
        for link in self.world.network.links:
            self.world.distil(link, 2)
        if hops > 1:
            self.world.route("a", self.end, *self.world.network.links)
        self.world.wire.fate = self.fate
        self.alarm_over = True

    def fate(self) -> list[int]:
        copies = self.luck.choice([0, 1, 1, 1, 2])
        return [self.luck.randrange(1, 400) * MS for _ in range(copies)]

    def arm(self) -> None:
        if self.crash_every:
            site = self.luck.choice("abcdefgh"[: self.world.kmes.__len__()])
            self.world.stores[site].crash_at_commit(self.luck.randrange(self.crash_every))

    def step(self, what: str) -> None:
        self.arm()
        with suppress(KeyDeliveryError, StoreCrashed):
            getattr(self, what)()
        self.world.check_ledgers()

    def enc(self) -> None:
        master, slave = self.luck.choice([("a1", f"{self.end}1"), (f"{self.end}1", "a1"), ("a1", "a2")])
        container = self.world.enc(master, slave, self.luck.randrange(1, 5), self.luck.choice([None, 64, 72, 1000]))
        self.asked.append((slave, master, ids(container)))

    def dec(self) -> None:
        if self.asked:
            self.world.dec(*self.luck.choice(self.asked))  # often again: must be refused then

    def distil(self) -> None:
        self.world.distil(self.luck.choice(list(self.world.network.links)))

    def run(self) -> None:
        self.world.run(self.luck.randrange(1, 3000) * MS)

    def crash(self) -> None:
        self.world.restart(self.luck.choice(list(self.world.kmes)))

    def quarantine(self) -> None:
        link = self.luck.choice(list(self.world.network.links))
        self.world.command(Action.QUARANTINE, link=link, since_ns=self.luck.randrange(4) * S)

    def resume(self) -> None:
        for link in self.world.network.links:
            self.world.command(Action.RESUME_LINK, link=link, since_ns=4 * S)

    def calm_down(self) -> None:
        """The trouble ends; everything must work again."""
        world = self.world
        world.wire.fate = lambda: [1 * MS]
        for store in world.stores.values():
            store.crash_at_commit(None)
        self.resume()
        for link in world.network.links:
            world.distil(link, 4, start_ns=1_000_000 * S)  # old light that only some know as condemned wastes relays
        world.run(30 * S)
        container = world.enc("a1", f"{self.end}1", 2)
        world.run(S)
        world.dec(f"{self.end}1", "a1", ids(container))
        world.check_ledgers()
        assert all(pair.messages_waiting == 0 for site in world.kmes for pair in world.report(site).pairs)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), hops=st.integers(1, 3), crash_every=st.sampled_from([0, 3, 20]), steps=STEPS)
def test_keys_stay_single_equal_and_counted_through_any_trouble(seed, hops, crash_every, steps):
    trouble = Trouble(seed, hops, crash_every)
    for what in steps:
        trouble.step(what)
    trouble.calm_down()


@pytest.mark.parametrize("commit", range(25))
@pytest.mark.parametrize("site", "abc")
def test_a_crash_before_each_commit_of_a_relay_and_a_delivery_loses_and_doubles_nothing(site, commit):
    world = World(a_chain(2))
    world.stores[site].crash_at_commit(commit)
    for link in world.network.links:
        world.distil(link, 2)
    for source in "ac":
        target = "c" if source == "a" else "a"
        with suppress(StoreCrashed):
            world.command(
                Action.SET_ROUTE,
                source,
                source=source,
                target=target,
                links=("a-b", "b-c")[:: 1 if source == "a" else -1],
            )
    world.run(200 * MS)
    with suppress(StoreCrashed, KeyDeliveryError):
        container = world.enc("a1", "c1", 3)
        world.run(100 * MS)
        world.dec("c1", "a1", ids(container))
    world.run(100 * MS)
    world.stores[site].crash_at_commit(None)
    world.route("a", "c", "a-b", "b-c")
    world.run(20 * S)
    container = world.enc("a1", "c1", 3)
    world.run(100 * MS)
    world.dec("c1", "a1", ids(container))
    world.check_ledgers()


def test_a_crash_after_commit_and_before_the_answer_burns_the_key_and_never_doubles_it():
    world = World(a_chain(1))
    world.distil("a-b")
    world.run(S)
    request = world.enc("a1", "b1")  # gets out
    kme = world.kmes["a"]
    from qanat.km.documents import KeyRequest

    with world.stores["a"].transaction():
        lost = kme.enc_keys("a1", "b1", KeyRequest(), world.now_ns)  # committed, but no answer and no frame leaves
    world.restart("a")
    again = world.enc("a1", "b1")
    assert again.keys[0].key != lost.keys[0].key
    world.run(S)
    world.dec("b1", "a1", ids(request) + ids(again) + ids(lost))
    world.call("a", lambda kme: kme.burned(1))
    world.restart("a")
    assert world.report("a").burned_total == 1
    world.check_ledgers()


def test_a_dec_that_was_not_committed_can_be_asked_again():
    world = World(a_chain(1))
    world.distil("a-b")
    world.run(S)
    container = world.enc("a1", "b1")
    world.run(S)
    world.stores["b"].crash_at_commit(0)
    with pytest.raises(StoreCrashed):
        world.call("b", lambda kme: kme.dec_keys("b1", "a1", ids(container), world.now_ns))
    world.dec("b1", "a1", ids(container))
    world.restart("b")
    with pytest.raises(KeyDeliveryError):
        world.dec("b1", "a1", ids(container))
