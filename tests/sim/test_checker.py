"""The checker can fail: engines that are broken on purpose are caught, each by the right invariant."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from qanat.core.alarms import Action, Command
from qanat.core.ids import KeyId, SaeId
from qanat.core.netfile import network_from_toml
from qanat.core.provenance import Authentication
from qanat.core.records import KeyBlock
from qanat.core.secret import SecretBits
from qanat.core.timebase import NS_PER_S
from qanat.core.topology import Demand, Network
from qanat.km.documents import Key, KeyContainer, KeyDeliveryError, KeyRequest
from qanat.km.kme import Kme
from qanat.km.ledger import Fate
from qanat.sim.applications import SimulatedPair
from qanat.sim.observed import ObservedStore
from qanat.sim.run import SimReport, rerun_line, run_sim

TINY = network_from_toml((Path(__file__).parents[2] / "networks" / "tiny.toml").read_text(encoding="utf-8"))


# A small store and a great thirst: a block is used up in 17 s. Alarms reach 30 s back, so they condemn what is held.
THIRSTY = replace(
    TINY,
    policy=replace(TINY.policy, store_bits_max=700_000, suspect_margin_s=30.0),
    demands=(Demand(saes=(SaeId("alice"), SaeId("bob")), rate_bits_per_s=40_000),),
)


def run(make_kme: type[Kme], *, faults: str = "", seconds: int = 20, network: Network = TINY) -> SimReport:
    return run_sim(network, duration_ns=seconds * NS_PER_S, seed=5, faults=faults, make_kme=make_kme)


def broken_by(report: SimReport) -> int | None:
    return report.violation.number if report.violation else None


def same_keys(container: KeyContainer) -> KeyContainer:
    return KeyContainer(
        keys=[
            Key(key_id=key.key_id, key=key.key.take(0, key.key.size_bytes), key_extension=key.key_extension)
            for key in container.keys
        ]
    )


class Honest(Kme):
    """Nothing changed: what the others are compared with."""


class GivesTheSameKeysAgain(Kme):
    """A master that asks twice gets the first answer again."""

    last: KeyContainer | None = None

    def enc_keys(self, caller: SaeId, slave: SaeId, request: KeyRequest, now_ns: int) -> KeyContainer:
        if self.last is not None:
            return same_keys(self.last)
        container = super().enc_keys(caller, slave, request, now_ns)
        self.last = same_keys(container)
        return container


class CutsTheSameBytesTwice(Kme):
    """The offset of a piece goes back after each answer, in memory and store."""

    def enc_keys(self, caller: SaeId, slave: SaeId, request: KeyRequest, now_ns: int) -> KeyContainer:
        before = {name: piece.offset for name, piece in self._c.books.pieces.items()}
        container = super().enc_keys(caller, slave, request, now_ns)
        for name, piece in self._c.books.pieces.items():
            piece.offset = before.get(name, piece.offset)
            self._c.store.set_offset(name, piece.offset)
        return container


class DisagreesAboutBits(Kme):
    """One end flips a bit of every block it takes."""

    def add_block(self, block: KeyBlock, now_ns: int) -> bool:
        if self.site != "mitte":
            return super().add_block(block, now_ns)
        data = bytearray(block.bits.reveal())
        data[0] ^= 1
        return super().add_block(replace(block, bits=SecretBits(data)), now_ns)


class CooksTheBooks(Kme):
    """Bits vanish from the ledger."""

    def enc_keys(self, caller: SaeId, slave: SaeId, request: KeyRequest, now_ns: int) -> KeyContainer:
        container = super().enc_keys(caller, slave, request, now_ns)
        self._c.books.ledger.add("mitte-moabit", Fate.DESTROYED, 8)
        return container


class ForgetsQuarantine(Kme):
    """It says that it took the command, and does nothing."""

    def apply(self, command: Command, now_ns: int) -> None:
        if command.action is not Action.QUARANTINE:
            super().apply(command, now_ns)
            return
        from qanat.km.events import CommandApplied

        self._commands.revision = command.revision
        self._c.events.append(CommandApplied(command=command))


class Flatters(Kme):
    """Relayed keys are sold as if no other site had seen them."""

    def enc_keys(self, caller: SaeId, slave: SaeId, request: KeyRequest, now_ns: int) -> KeyContainer:
        container = super().enc_keys(caller, slave, request, now_ns)
        for key in container.keys:
            assert isinstance(key.key_extension, dict)
            key.key_extension["qanat_trusted_nodes"] = []
        return container


class SoldAsPreShared(Kme):
    """Its links began from signatures; its keys say that they did not."""

    is_lying = True

    def add_block(self, block: KeyBlock, now_ns: int) -> None:
        signed = replace(block.provenance, authentication=Authentication.ML_DSA, algorithms=("ML-DSA-87",))
        super().add_block(replace(block, provenance=signed), now_ns)

    def enc_keys(self, caller: SaeId, slave: SaeId, request: KeyRequest, now_ns: int) -> KeyContainer:
        container = super().enc_keys(caller, slave, request, now_ns)
        for key in container.keys:
            assert isinstance(key.key_extension, dict)
            if self.is_lying:
                key.key_extension["qanat_authentication"] = "pre-shared"
        return container


class SaysSigned(SoldAsPreShared):
    is_lying = False


class HandsOutTwiceToTheSlave(Kme):
    """The slave's answer is kept and given again: twice to one role."""

    kept: dict[tuple[KeyId, ...], KeyContainer]

    def dec_keys(self, caller: SaeId, master: SaeId, key_ids: Sequence[KeyId], now_ns: int) -> KeyContainer:
        self.kept = getattr(self, "kept", {})
        if tuple(key_ids) in self.kept:
            return same_keys(self.kept[tuple(key_ids)])
        container = super().dec_keys(caller, master, key_ids, now_ns)
        self.kept[tuple(key_ids)] = same_keys(container)
        return container


def test_an_honest_engine_passes_the_same_runs() -> None:
    for faults in ("", "intercept-resend:mitte-moabit@9s+4s", "cut:duct-mitte-wedding@1s"):
        report = run(Honest, faults=faults)
        assert report.violation is None
        assert report.checks > 150
        assert all(pair.shared > 50 for pair in report.pairs.values())


def test_a_key_given_twice_to_a_master_breaks_2() -> None:
    assert broken_by(run(GivesTheSameKeysAgain)) == 2


def test_a_key_given_twice_to_a_slave_breaks_2(monkeypatch: pytest.MonkeyPatch) -> None:
    fetch = SimulatedPair._fetch

    def twice(self: SimulatedPair, slave: SaeId, master: SaeId, key_ids: list[KeyId], tries_left: int) -> None:
        fetch(self, slave, master, key_ids, tries_left)
        fetch(self, slave, master, key_ids, tries_left)

    monkeypatch.setattr(SimulatedPair, "_fetch", twice)
    assert broken_by(run(Honest, seconds=8)) is None
    assert broken_by(run(HandsOutTwiceToTheSlave)) == 2


def test_bytes_cut_twice_break_3() -> None:
    assert broken_by(run(CutsTheSameBytesTwice)) in (3, 4)


def test_unequal_blocks_break_1() -> None:
    assert broken_by(run(DisagreesAboutBits)) == 1


def test_bits_that_vanish_from_the_ledger_break_4() -> None:
    assert broken_by(run(CooksTheBooks)) == 4


def test_a_forgotten_quarantine_breaks_5() -> None:
    # The partial attack comes when the watcher has learned its baselines; its blocks still give key, which lies in
    # store when the alarm comes.
    eve = "intercept-resend:mitte-moabit:0.15@80s+10s"
    honest = run(Honest, faults=eve, seconds=100, network=THIRSTY)
    assert honest.violation is None
    assert honest.commands["quarantine"] > 0
    assert broken_by(run(ForgetsQuarantine, faults=eve, seconds=100, network=THIRSTY)) == 5


def test_a_store_that_forgets_a_commit_breaks_6(monkeypatch: pytest.MonkeyPatch) -> None:
    load = ObservedStore.load

    def forgetful(self: ObservedStore):  # type: ignore[no-untyped-def]
        snapshot = load(self)
        snapshot.pieces = [(record, 0) for record, _ in snapshot.pieces]
        return snapshot

    monkeypatch.setattr(ObservedStore, "load", forgetful)
    assert broken_by(run(Honest, faults="crash:mitte@10s")) == 6


def test_a_flattering_provenance_breaks_7() -> None:
    assert broken_by(run(Flatters, faults="cut:duct-mitte-wedding@0s")) == 7


def test_a_signed_beginning_sold_as_a_pre_shared_secret_breaks_7() -> None:
    assert broken_by(run(SoldAsPreShared)) == 7
    assert broken_by(run(SaysSigned)) is None


def test_an_engine_that_raises_is_told_with_its_place() -> None:
    class Raises(Kme):
        def receive(self, peer: str, frame: bytes, now_ns: int) -> None:  # type: ignore[override]
            raise KeyDeliveryError(500, "never") if False else RuntimeError("oops")

    report = run(Raises)
    assert broken_by(report) == 0
    assert report.violation is not None
    assert "RuntimeError in " in report.violation.text


def test_a_violation_names_step_time_words_and_the_line_that_reruns_it() -> None:
    report = run(GivesTheSameKeysAgain, faults="lossy:0.1")
    assert report.violation is not None
    assert "reaches each SAE role at most once" in report.violation.text
    assert report.violation.step > 0
    assert report.violation.recent
    line = rerun_line(report, path="net.toml", faults="partition:mitte|moabit@1s")
    assert line == "qanat sim net.toml --duration 20s --seed 5 --faults 'partition:mitte|moabit@1s'"
