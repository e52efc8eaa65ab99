"""The life of a key: one table, and no path beside it, whatever the network, the clocks and the disks do."""

from __future__ import annotations

import itertools
import random
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.km.pairing import MS, S, World, a_chain, ids

from qanat.core.alarms import Action
from qanat.core.errors import LocalProtocolError
from qanat.core.ids import BlockId
from qanat.core.topology import Policy
from qanat.km.documents import KeyDeliveryError
from qanat.km.ledger import Account, Fate
from qanat.km.lifecycle import ENDS, PIECE_STATES, TABLE, KeyEvent, KeyState, after, check_step
from qanat.km.store import PieceState
from qanat.sim.store import StoreCrashed

NEVER_AGAIN = (KeyState.EXPIRED, KeyState.COMPROMISED, KeyState.DESTROYED, KeyState.SPENT, KeyState.DELIVERED)


def test_nothing_leads_out_of_an_end_and_every_end_is_counted():
    assert set(ENDS) == set(NEVER_AGAIN)
    assert {fate.value for fate in Fate} == {end.value for end in ENDS} | {"made"}
    assert all(hasattr(Account(), fate.value) for fate in Fate)
    assert set(PIECE_STATES) == set(PieceState)
    for state, event in itertools.product(ENDS, KeyEvent):
        with pytest.raises(LocalProtocolError, match="cannot"):
            after(state, event)


def test_a_key_reaches_an_application_only_when_both_ends_hold_it():
    assert {step.state for step in TABLE if step.to is KeyState.DELIVERED} == {KeyState.ACTIVE, KeyState.GRANTED}
    with pytest.raises(LocalProtocolError):
        check_step(KeyState.PRE_ACTIVE, KeyState.DELIVERED)


def test_every_state_but_an_end_can_expire_be_condemned_and_be_given_up():
    for state in set(KeyState) - ENDS:
        assert after(state, KeyEvent.EXPIRE) is KeyState.EXPIRED
        assert after(state, KeyEvent.CONDEMN) is KeyState.COMPROMISED
        assert after(state, KeyEvent.GIVE_UP) is KeyState.DESTROYED


def test_the_books_refuse_a_step_that_is_not_in_the_table_before_they_change_anything():
    world = World(a_chain(1))
    world.call("a", lambda kme: kme.add_block(_block(), world.now_ns))
    books = world.kmes["a"]._c.books
    waiting = next(piece for piece in books.pieces.values() if piece.state is KeyState.PRE_ACTIVE)
    with world.stores["a"].transaction():
        for fate in (Fate.DELIVERED, Fate.SPENT, None):
            with pytest.raises(LocalProtocolError):
                books.advance(waiting, 0, 32, fate)
        books.confirm(waiting)
        with pytest.raises(LocalProtocolError):
            books.confirm(waiting)
    assert waiting.offset == 0
    world.check_ledgers()


def _block():
    from tests.km.pairing import a_block

    return a_block("a-b", 0)


# --- random walks

STEPS = st.lists(
    st.sampled_from(
        ["enc", "enc", "dec", "dec", "distil", "run", "long", "crash", "quarantine", "half", "resume", "skew"]
    ),
    min_size=5,
    max_size=40,
)


class Walk:
    """Two KMEs (or three) under everything at once; remembers which keys died and tries to get them all the same."""

    def __init__(self, seed: int, hops: int) -> None:
        self.luck = random.Random(seed)
        self.world = World(a_chain(hops, policy=Policy(buffer_keys=16, key_ttl_s=100.0)))
        self.ends = ("a", "abc"[hops])
        for link in self.world.network.links:
            self.world.distil(link, 2)
        if hops > 1:
            self.world.route(*self.ends, *self.world.network.links)
        self.world.wire.fate = lambda: [self.luck.randrange(1, 400) * MS for _ in range(self.luck.choice([0, 1, 1, 2]))]
        self.asked: list[tuple[str, str, list]] = []
        self.waiting: dict[object, tuple[str, str]] = {}
        self.dead: dict[object, tuple[str, str]] = {}
        self.states: dict[tuple[str, BlockId], KeyState] = {}

    def step(self, what: str) -> None:
        if self.luck.random() < 0.3:
            self.world.stores[self.luck.choice(list(self.world.kmes))].crash_at_commit(self.luck.randrange(6))
        with suppress(KeyDeliveryError, StoreCrashed):
            getattr(self, what)()
        self.watch()

    def watch(self) -> None:
        self.world.check_ledgers()
        for site, kme in self.world.kmes.items():
            for name, piece in kme._c.books.pieces.items():
                before = self.states.get((site, name))
                if before is not None and before is not piece.state:
                    check_step(before, piece.state)
                self.states[site, name] = piece.state
        now = {
            key_id: (grant.slave, grant.master)
            for kme in self.world.kmes.values()
            for key_id, grant in kme._c.books.grants.items()
        }
        for key_id in self.waiting.keys() - now.keys() - self.world.taken.keys():
            self.dead[key_id] = self.waiting[key_id]
        assert not self.dead.keys() & now.keys(), "a dead key lives again"
        self.waiting |= now

    def enc(self) -> None:
        master, slave = self.luck.choice([self.ends, self.ends[::-1]])
        container = self.world.enc(f"{master}1", f"{slave}1", self.luck.randrange(1, 5))
        self.asked.append((f"{slave}1", f"{master}1", ids(container)))

    def dec(self) -> None:
        if self.asked:
            self.world.dec(*self.luck.choice(self.asked))

    def distil(self) -> None:
        self.world.distil(self.luck.choice(list(self.world.network.links)))

    def run(self) -> None:
        self.world.run(self.luck.randrange(1, 3000) * MS)

    def long(self) -> None:
        self.world.run(self.luck.randrange(20, 120) * S)

    def crash(self) -> None:
        self.world.restart(self.luck.choice(list(self.world.kmes)))

    def quarantine(self, *sites: str) -> None:
        link = self.luck.choice(list(self.world.network.links))
        self.world.command(Action.QUARANTINE, *sites, link=link, since_ns=self.luck.randrange(4) * S)

    def half(self) -> None:
        self.quarantine(self.luck.choice(list(self.world.kmes)))

    def resume(self) -> None:
        for link in self.world.network.links:
            self.world.command(Action.RESUME_LINK, link=link, since_ns=0)

    def skew(self) -> None:
        self.world.skew_ns[self.luck.choice(list(self.world.kmes))] = self.luck.randrange(-200, 200) * S

    def check_end(self) -> None:
        for key_id, (slave, master) in self.dead.items():
            with pytest.raises(KeyDeliveryError):
                self.world.dec(slave, master, [key_id])
        for store in self.world.stores.values():
            store.crash_at_commit(None)
        self.world.wire.fate = lambda: [1 * MS]
        self.world.skew_ns.clear()
        self.world.run(320 * S)  # a lifetime, and the most by which a clock that is set right goes back
        self.watch()
        for site in self.world.kmes:
            for account in self.world.report(site).accounts:
                if account.account.startswith(("a-", "b-")):
                    assert account.held_bits == 0, "nothing outlives its time"


@given(STEPS, st.integers(0, 2**32), st.sampled_from([1, 2]))
@settings(max_examples=60, deadline=None)
def test_whatever_happens_a_key_takes_only_legal_steps_and_dead_keys_stay_dead(steps, seed, hops):
    walk = Walk(seed, hops)
    for what in steps:
        walk.step(what)
    with suppress(StoreCrashed):
        walk.check_end()
