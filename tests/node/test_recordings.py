"""Recordings of light: what goes in comes out, and no wrong byte gets past the reader or out as another error."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qanat.core.errors import EnvironmentProblem, QanatError
from qanat.core.health import GAP_BIN_COUNT, Arrivals, ReceiverHealth
from qanat.core.ids import LinkId
from qanat.core.records import DetectionBlock, SettingsColumns
from qanat.node.recordings import columns
from qanat.node.recordings.form import MAGIC, PAYLOAD_BYTES_MAX, RecordingError, checksum, framed
from qanat.node.recordings.header import Header, Kind, Prepared, Tags, encoded_header
from qanat.node.recordings.reader import RecordingReader
from qanat.node.recordings.writer import RecordingWriter

PREPARED = Prepared(intensities=(0.4, 0.1, 0.0), p_intensities=(0.5, 0.25, 0.25), p_x=0.75)
TAGS = Tags(
    channels={"X0": 1, "X1": 2, "Z0": 3, "Z1": 4},
    period_ps=1000.0,
    offset_ps=0,
    offset_window_ps=250.0,
    drift_ppm_max=10.0,
    gate_width_ps=600.0,
    p_x=0.75,
    temperature_c=-40.0,
    control_effort=0.1,
)
HEALTH = ReceiverHealth(
    arrivals=(Arrivals(count=3, mean_ps=1.5),) * 4,
    gap_histogram=(1,) * GAP_BIN_COUNT,
    bias_current_na=(1.0,) * 4,
    temperature_c=-40.0,
    control_effort=0.2,
)


def header(kind: Kind, n_pulses: int = 1_000_000) -> Header:
    return Header(
        kind=kind,
        link=LinkId("a-b"),
        clock_hz=1e9,
        n_pulses=n_pulses,
        pulse_block_ns=n_pulses,
        is_simulated=True,
        prepared=PREPARED if kind is Kind.SETTINGS else None,
        tags=TAGS if kind is Kind.TIMETAGS else None,
    )


def a_block(number: int, index: list[int], health: ReceiverHealth | None = None) -> DetectionBlock:
    rng = np.random.default_rng(number)
    bits = rng.integers(0, 2, (2, len(index)), dtype=np.uint8)
    return DetectionBlock(
        link=LinkId("a-b"),
        number=number,
        start_ns=number * 1_000_000,
        n_pulses=1_000_000,
        index=np.array(index, dtype=np.int64),
        basis=bits[0],
        bit=bits[1],
        double_click_count=len(index) // 3,
        health=health,
    )


def detections_file(path: Path) -> Path:
    with RecordingWriter(path, header(Kind.DETECTIONS)) as writer:
        writer.detections(a_block(0, [0, 5, 300, 999_999], HEALTH))
        writer.detections(a_block(1, []))
        writer.detections(a_block(4, [70_000, 70_001]))  # blocks 2 and 3 were lost
    return path


def settings_file(path: Path) -> Path:
    rng = np.random.default_rng(3)

    def some(count: int) -> SettingsColumns:
        intensity = rng.integers(0, 3, count, dtype=np.uint8)
        basis, bit = rng.integers(0, 2, (2, count), dtype=np.uint8)
        return SettingsColumns(intensity=intensity, basis=basis, bit=bit)

    with RecordingWriter(path, header(Kind.SETTINGS, n_pulses=101)) as writer:
        writer.settings(0, None, some(101))
        writer.settings(1, np.array([0, 7, 100]), some(3))
        writer.settings(2, np.empty(0, dtype=np.int64), some(0))
    return path


def tags_file(path: Path) -> Path:
    with RecordingWriter(path, header(Kind.TIMETAGS)) as writer:
        writer.tags(np.array([-5, -5, 10, 2**40]), np.array([1, 2, 3, 4], dtype=np.uint8))
        writer.tags(np.array([2**40, 2**41]), np.array([9, 1], dtype=np.uint8))
    return path


FILES = {"detections": detections_file, "settings": settings_file, "timetags": tags_file}


def read_all(path: Path) -> list[object]:
    got: list[object] = []
    read_into(got, path)
    return got


def read_into(got: list[object], path: Path) -> None:
    """As ``read_all``, keeping what came before an error."""
    with RecordingReader(path) as reader:
        for block in getattr(reader, {"timetags": "tags"}.get(reader.header.kind, reader.header.kind))():
            got.append(block)


def test_detections_come_back_with_gaps_and_health(tmp_path: Path) -> None:
    path = detections_file(tmp_path / "d.qlight")
    first, empty, last = read_all(path)
    assert isinstance(first, DetectionBlock)
    assert isinstance(last, DetectionBlock)
    wanted = a_block(0, [0, 5, 300, 999_999], HEALTH)
    assert first.index.tolist() == [0, 5, 300, 999_999]
    assert (first.basis.tolist(), first.bit.tolist()) == (wanted.basis.tolist(), wanted.bit.tolist())
    assert (first.health, first.double_click_count, first.start_ns) == (HEALTH, 1, 0)
    assert (empty.number, len(empty.index), last.number) == (1, 0, 4)  # type: ignore[attr-defined]
    assert path.stat().st_mode & 0o077 == 0


def test_settings_come_back_dense_and_sparse(tmp_path: Path) -> None:
    dense, sparse, none = read_all(settings_file(tmp_path / "s.qlight"))
    rng = np.random.default_rng(3)
    intensity = rng.integers(0, 3, 101, dtype=np.uint8)
    basis, bit = rng.integers(0, 2, (2, 101), dtype=np.uint8)
    got = columns.settings_from_nibbles(dense.packed, np.arange(101))  # type: ignore[attr-defined]
    assert (got.intensity.tolist(), got.basis.tolist(), got.bit.tolist()) == (
        intensity.tolist(),
        basis.tolist(),
        bit.tolist(),
    )
    assert dense.index is None  # type: ignore[attr-defined]
    assert sparse.index.tolist() == [0, 7, 100]  # type: ignore[attr-defined]
    assert none.index.size == 0  # type: ignore[attr-defined]


def test_tags_come_back_before_zero_and_equal_ones_too(tmp_path: Path) -> None:
    first, second = read_all(tags_file(tmp_path / "t.qlight"))
    assert first.tag_ps.tolist() == [-5, -5, 10, 2**40]  # type: ignore[attr-defined]
    assert first.channel.tolist() == [1, 2, 3, 4]  # type: ignore[attr-defined]
    assert second.tag_ps.tolist() == [2**40, 2**41]  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", FILES)
def test_a_file_cut_anywhere_ends_in_a_sentence_with_the_byte_and_gives_only_whole_frames(
    kind: str, tmp_path: Path
) -> None:
    data = FILES[kind](tmp_path / "whole").read_bytes()
    whole = len(read_all(tmp_path / "whole"))
    counts = set()
    for size in range(len(data)):
        (tmp_path / "cut").write_bytes(data[:size])
        got: list[object] = []
        with pytest.raises(RecordingError, match=r"cut, byte \d+: .*it was cut"):
            read_into(got, tmp_path / "cut")
        counts.add(len(got))
    assert counts == set(range(whole + 1))  # with the end mark missing, every frame is still good


@pytest.mark.parametrize("kind", FILES)
def test_every_single_wrong_byte_is_found(kind: str, tmp_path: Path) -> None:
    data = FILES[kind](tmp_path / "whole").read_bytes()
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 0x10
        (tmp_path / "changed").write_bytes(changed)
        with pytest.raises(RecordingError, match=r"byte \d+"):
            read_all(tmp_path / "changed")


@settings(max_examples=400, deadline=None)
@given(
    kind=st.sampled_from(sorted(FILES)),
    edits=st.lists(st.tuples(st.integers(0, 2**16), st.binary(max_size=9)), min_size=1, max_size=4),
    is_resealed=st.booleans(),
)
def test_no_mutation_lets_another_error_out(
    tmp_path_factory: pytest.TempPathFactory, kind: str, edits: list[tuple[int, bytes]], is_resealed: bool
) -> None:
    """With checksums made right again, too: a hostile file has right checksums."""
    folder = tmp_path_factory.mktemp("fuzz")
    data = bytearray(FILES[kind](folder / "whole").read_bytes())
    for place, text in edits:
        at = place % len(data)
        data[at : at + len(text)] = text
    (folder / "changed").write_bytes(resealed(bytes(data)) if is_resealed else data)
    try:
        read_all(folder / "changed")
    except QanatError as error:
        if str(folder / "changed") not in error.detail:
            pytest.fail(f"the file is not named: {error.detail}")


def resealed(data: bytes) -> bytes:
    """The same bytes with every checksum that can be found made right."""
    size = struct.unpack_from("<I", data, 12)[0]
    if size > len(data):
        return data
    start = data[: 16 + size]
    out, at = start + struct.pack("<I", checksum(start)), 20 + size
    while at + 4 <= len(data):
        size = struct.unpack_from("<I", data, at)[0]
        out += framed(data[at + 4 : at + 4 + size])
        at += 8 + size
    return out


@settings(max_examples=300, deadline=None)
@given(payload=st.binary(max_size=120))
def test_no_payload_lets_another_error_out(payload: bytes) -> None:
    for read in (
        lambda: columns.detections_from_payload(payload, 0, header(Kind.DETECTIONS)),
        lambda: columns.settings_from_payload(payload, 0, header(Kind.SETTINGS, n_pulses=60)),
        lambda: columns.tags_from_payload(payload, 0),
    ):
        with contextlib.suppress(RecordingError):
            read()


def test_a_promise_of_gigabytes_allocates_nothing(tmp_path: Path) -> None:
    good = detections_file(tmp_path / "whole").read_bytes()
    (size,) = struct.unpack_from("<I", good, 12)
    for promised in (PAYLOAD_BYTES_MAX + 1, 2**32 - 1, PAYLOAD_BYTES_MAX):
        (tmp_path / "f").write_bytes(good[: 20 + size] + struct.pack("<I", promised) + b"some")
        with pytest.raises(RecordingError, match=r"at most 33554432|it was cut"):
            read_all(tmp_path / "f")
    counts = columns.DETECTIONS.pack(0, 0, 2**32 - 1, 0, 0, 8)
    with pytest.raises(RecordingError, match="at most 4194304"):
        columns.detections_from_payload(counts, 0, header(Kind.DETECTIONS))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"clock_hz": float("nan")}, "not understood"),
        ({"clock_hz": 0.5}, "clock_hz is 0.5"),
        ({"n_pulses": 999}, "do not fit"),
        ({"kind": "timetags"}, "needs `tags`"),
        ({"kind": "photographs"}, "not understood"),
        ({"link": 7}, "not understood"),
        ({"unknown": 1}, "not understood"),
        ({"start_ns": -1}, "start_ns is -1"),
        ({"prepared": {"intensities": [1], "p_intensities": [1], "p_x": 0.5}}, "needs `prepared`"),
    ],
)
def test_a_wrong_header_is_refused_with_its_place(tmp_path: Path, change: dict[str, object], says: str) -> None:
    text = msgspec.json.encode(msgspec.json.decode(encoded_header(header(Kind.DETECTIONS))) | change)
    start = struct.pack("<8sHHI", MAGIC, 1, 0, len(text)) + text
    (tmp_path / "f").write_bytes(start + struct.pack("<I", checksum(start)) + framed(b""))
    with pytest.raises(RecordingError, match="byte 16: ") as caught:
        RecordingReader(tmp_path / "f")
    assert says in caught.value.detail


def test_a_file_of_another_kind_or_program_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    with pytest.raises(RecordingError, match="byte 0: this is no recording"):
        RecordingReader(tmp_path / "png")
    data = bytearray(detections_file(tmp_path / "d").read_bytes())
    data[8] = 2
    (tmp_path / "new").write_bytes(data)
    with pytest.raises(RecordingError, match="byte 8: version 2"):
        RecordingReader(tmp_path / "new")
    with RecordingReader(tmp_path / "d") as reader, pytest.raises(RecordingError, match=r"byte 16: .*not of settings"):
        list(reader.settings())
    with pytest.raises(EnvironmentProblem, match="No such file"):
        RecordingReader(tmp_path / "nowhere")
    with pytest.raises(EnvironmentProblem, match="directory"):
        RecordingReader(tmp_path)
    with pytest.raises(EnvironmentProblem, match="cannot be made: File exists"):
        RecordingWriter(tmp_path / "d", header(Kind.DETECTIONS))


def test_numbers_that_go_back_and_bytes_after_the_end_are_refused(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "d", header(Kind.DETECTIONS)) as writer:
        writer.detections(a_block(1, [1]))
        writer.detections(a_block(1, [2]))
    with pytest.raises(RecordingError, match="block 1 does not follow block 1"):
        read_all(tmp_path / "d")
    (tmp_path / "e").write_bytes(detections_file(tmp_path / "f").read_bytes() + b"!")
    with pytest.raises(RecordingError, match="1 bytes after the end mark"):
        read_all(tmp_path / "e")
