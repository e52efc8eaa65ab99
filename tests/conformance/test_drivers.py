"""One suite for every driver of light; a maker's own driver takes it by the same functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from qanat.cli.check import load_network
from qanat.core.errors import EnvironmentProblem, LightEnded, QanatError
from qanat.core.ids import LinkId
from qanat.core.records import DetectionBlock
from qanat.node.drivers import registry
from qanat.node.drivers.conformance import DriverFault, check_receiver, check_transmitter
from qanat.node.drivers.ports import LightContext, WrongLight
from qanat.node.drivers.registry import DriverBroken, UnknownDriver, open_receiver, open_transmitter
from qanat.node.drivers.replay import SettingsMissing
from qanat.node.drivers.uri import LightUriError
from qanat.node.recordings.form import RecordingError
from qanat.node.recordings.make import Run, record
from qanat.node.recordings.reader import RecordingReader
from qanat.node.recordings.writer import RecordingWriter

ROOT = Path(__file__).parents[2]
NETWORK = load_network(ROOT / "examples/recorded-light/link.toml")
LINK = NETWORK.links[LinkId("anton-berta")]
CONTEXT = LightContext(link=LINK, fibre=NETWORK.fibres[LINK.fibre])
BLOCKS = 4


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run recorded in all three forms, and a simulation key."""
    folder = tmp_path_factory.mktemp("light")
    record(Run(link=LINK, fibre=CONTEXT.fibre, blocks=BLOCKS, seed=5, is_dense=True), folder)
    (folder / "light.key").write_bytes(b"stands for light, protects nothing")
    return folder


RECEIVERS = ("sim://{}/light.key?rate-max=0", "replay://{}/rx.qlight", "timetags://{}/rx-tags.qlight")
TRANSMITTERS = {
    RECEIVERS[0]: "sim://{}/light.key",
    RECEIVERS[1]: "replay://{}/tx.qlight",
    RECEIVERS[2]: "replay://{}/tx.qlight",
}


@pytest.mark.parametrize("uri", RECEIVERS, ids=lambda uri: uri.partition(":")[0])
def test_both_ends_keep_the_contract_and_see_one_light(uri: str, light: Path) -> None:
    receiver = open_receiver(uri.format(light), CONTEXT)
    transmitter = open_transmitter(TRANSMITTERS[uri].format(light), CONTEXT)
    try:
        seen = check_receiver(receiver, CONTEXT, blocks=BLOCKS + 2)
        check_transmitter(transmitter, CONTEXT, seen[:BLOCKS])
    finally:
        receiver.close()
        transmitter.close()
    assert receiver.is_simulated
    assert len(seen) == (BLOCKS if receiver.is_recorded else BLOCKS + 2)
    again = open_transmitter(TRANSMITTERS[uri].format(light), CONTEXT)
    again.begin(1)
    for block in seen[:BLOCKS]:
        sent = again.settings_at(block.number, block.index)
        matched = sent.basis == block.basis
        assert (sent.bit != block.bit)[matched].mean() < 0.06  # 2 %; four sigma of 1100 is under 2 % more
    again.close()


def test_the_suite_finds_a_driver_that_breaks_a_rule(light: Path) -> None:
    good = open_receiver(RECEIVERS[1].format(light), CONTEXT)
    block = good.next_block()
    good.close()

    def driver(**changes: Any) -> Any:
        blocks: Iterator[DetectionBlock] = iter([dataclasses.replace(block, **changes)])
        return SimpleNamespace(
            is_simulated=True, is_recorded=False, begin=lambda _: None, next_block=lambda: next(blocks)
        )

    broken: dict[str, dict[str, Any]] = {
        "of the link asked for": {"link": LinkId("other")},
        "as many slots": {"n_pulses": 7},
        "int64": {"index": block.index.astype(np.int32)},
        "strictly increase": {"index": block.index[::-1].copy()},
        "within the block": {"index": block.index + 49_999},
        "basis: uint8": {"basis": block.basis[1:]},
        "bit is 0 or 1": {"bit": block.bit + np.uint8(1)},
        "double clicks": {"double_click_count": -1},
        "not negative": {"number": -1},
    }
    check_receiver(driver(), CONTEXT, blocks=1)
    for says, changes in broken.items():
        with pytest.raises(DriverFault, match=says):
            check_receiver(driver(**changes), CONTEXT, blocks=1)


def test_sessions_of_simulated_light_never_share_settings(light: Path) -> None:
    source = open_transmitter(TRANSMITTERS[RECEIVERS[0]].format(light), CONTEXT)
    index = np.arange(10_000)
    bits = []
    for epoch in (1, 2, 1):
        source.begin(epoch)
        bits.append(source.settings_at(0, index).bit)
    assert np.array_equal(bits[0], bits[2])
    assert abs(float((bits[0] != bits[1]).mean()) - 0.5) < 0.03  # six sigma


def test_a_new_session_gets_its_own_light_even_when_blocks_of_the_old_were_asked_for(light: Path) -> None:
    receiver = open_receiver(RECEIVERS[0].format(light), CONTEXT)
    source = open_transmitter(TRANSMITTERS[RECEIVERS[0]].format(light), CONTEXT)
    try:
        last_ns = 0
        for epoch in (3, 4, 9):
            receiver.begin(epoch)
            source.begin(epoch)
            for number in range(2):
                block = receiver.next_block()
                sent = source.settings_at(block.number, block.index)
                assert block.number == number
                assert block.start_ns > last_ns
                last_ns = block.start_ns
                assert (sent.bit != block.bit)[sent.basis == block.basis].mean() < 0.06
    finally:
        receiver.close()


def test_the_process_that_distils_at_the_receiver_holds_no_simulation_key(light: Path) -> None:
    receiver: Any = open_receiver(RECEIVERS[0].format(light), CONTEXT)
    try:
        child = receiver._child
        key = (light / "light.key").read_bytes()
        held = [value for value in vars(receiver).values() if isinstance(value, bytes)]
        assert key not in held
        assert child.poll() is None
    finally:
        receiver.close()
    assert child.poll() is not None
    with pytest.raises(EnvironmentProblem):
        receiver.next_block()


def test_a_glass_that_dies_is_told_in_its_own_words(light: Path, tmp_path: Path) -> None:
    (tmp_path / "short.key").write_bytes(b"short")
    receiver = open_receiver(f"sim://{tmp_path}/short.key", CONTEXT)
    with pytest.raises(EnvironmentProblem, match="must have 8 to 4096 bytes"):
        receiver.next_block()
    receiver.close()
    with pytest.raises(EnvironmentProblem, match="missing"):
        open_receiver(f"sim://{tmp_path}/none.key", CONTEXT)


@pytest.mark.parametrize(
    ("uri", "error", "says"),
    [
        ("light.key", LightUriError, "scheme://place"),
        ("sym://x", UnknownDriver, "did you mean.*sim.*known: replay://, sim://, timetags://"),
        ("sim://", LightUriError, "name the simulation key"),
        ("sim://light.key?speed=3", LightUriError, "no option 'speed'"),
        ("replay://", LightUriError, "name a recording"),
        ("replay://{}/none.qlight", EnvironmentProblem, "No such file"),
        ("replay://{}/light.key", RecordingError, "byte 0"),
        ("replay://{}/tx.qlight", WrongLight, "holds settings; here detections"),
        ("replay://{}/rx.qlight?x=1", LightUriError, "takes none"),
        ("timetags://{}/rx.qlight", WrongLight, "holds detections"),
    ],
)
def test_a_light_that_cannot_be_opened_is_refused_in_words(
    uri: str, error: type[QanatError], says: str, light: Path
) -> None:
    with pytest.raises(error, match=says):
        open_receiver(uri.format(light), CONTEXT)


def test_a_transmitter_has_no_time_tags_and_another_link_no_light(light: Path) -> None:
    with pytest.raises(WrongLight, match="time tags are a receiver's"):
        open_transmitter(f"timetags://{light}/rx-tags.qlight", CONTEXT)
    for change, says in (({"id": LinkId("other")}, "link anton-berta"), ({"clock_hz": 2e6}, "clock_hz")):
        other = LightContext(link=dataclasses.replace(LINK, **change), fibre=CONTEXT.fibre)  # type: ignore[arg-type]
        with pytest.raises(WrongLight, match=says):
            open_receiver(f"replay://{light}/rx.qlight", other)


def without_block(source: Path, target: Path, number: int) -> Path:
    with RecordingReader(source) as reader, RecordingWriter(target, reader.header) as writer:
        for block in reader.detections():
            if block.number != number:
                writer.detections(block)
    return target


def test_a_block_lost_at_the_receiver_leaves_a_gap_and_nothing_else(light: Path, tmp_path: Path) -> None:
    path = without_block(light / "rx.qlight", tmp_path / "gap.qlight", 1)
    receiver = open_receiver(f"replay://{path}", CONTEXT)
    assert [block.number for block in check_receiver(receiver, CONTEXT, blocks=9)] == [0, 2, 3]


def test_a_block_that_the_transmitter_did_not_record_is_missed_in_words_and_the_next_is_there(
    light: Path, tmp_path: Path
) -> None:
    with RecordingReader(light / "tx.qlight") as reader, RecordingWriter(tmp_path / "tx", reader.header) as writer:
        from qanat.node.recordings.columns import settings_from_nibbles

        for block in reader.settings():
            slots = np.arange(0, CONTEXT.n_pulses, 2)  # every second slot
            if block.number != 1:
                writer.settings(block.number, slots, settings_from_nibbles(block.packed, slots))
    source = open_transmitter(f"replay://{tmp_path}/tx", CONTEXT)
    assert source.settings_at(0, np.array([0, 2, 48_000])).bit.size == 3
    with pytest.raises(SettingsMissing, match="slot 3 of block 0 was not recorded"):
        source.settings_at(0, np.array([2, 3]))
    with pytest.raises(SettingsMissing, match="block 1 is missing; the file goes on with 2"):
        source.settings_at(1, np.array([2]))
    assert source.problem is None
    assert source.settings_at(2, np.array([4])).bit.size == 1
    with pytest.raises(SettingsMissing, match="block 1 is missing"):
        source.settings_at(1, np.array([2]))
    with pytest.raises(LightEnded):
        source.settings_at(9, np.array([2]))
    assert isinstance(source.problem, LightEnded)


def test_a_cut_recording_gives_its_whole_blocks_and_then_the_place(light: Path, tmp_path: Path) -> None:
    data = (light / "rx.qlight").read_bytes()
    (tmp_path / "cut").write_bytes(data[: len(data) * 3 // 4])
    receiver = open_receiver(f"replay://{tmp_path}/cut", CONTEXT)
    got: list[int] = []
    with pytest.raises(RecordingError, match=r"byte \d+: .*it was cut"):
        drain(receiver.next_block, got)
    assert got == [0, 1, 2][: len(got)]
    assert got


def drain(next_block: Callable[[], DetectionBlock], got: list[int]) -> None:
    while True:
        got.append(next_block().number)


class Point:
    """An entry point of another package."""

    def __init__(self, name: str, found: object) -> None:
        self.name, self.value, self._found = name, f"other:{name}", found

    def load(self) -> object:
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


def test_other_packages_register_drivers_and_cannot_take_our_names(
    monkeypatch: pytest.MonkeyPatch, light: Path
) -> None:
    theirs = SimpleNamespace(receiver=lambda uri, context: (uri.place, context.link.id), transmitter=lambda *_: None)
    points = [
        Point("acme", theirs),
        Point("sim", SimpleNamespace()),
        Point("bad", ImportError("no acme_bad")),
        Point("odd", 7),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == "qanat.drivers" else [])
    assert open_receiver("acme://box-7?x=1", CONTEXT) == ("box-7", "anton-berta")
    assert registry.schemes() == ["acme", "bad", "odd", "replay", "sim", "timetags"]
    open_transmitter(TRANSMITTERS[RECEIVERS[0]].format(light), CONTEXT).close()
    with pytest.raises(DriverBroken, match="ImportError: no acme_bad"):
        open_receiver("bad://x", CONTEXT)
    with pytest.raises(DriverBroken, match="no functions receiver"):
        open_receiver("odd://x", CONTEXT)
