"""`qanat module`, `secret` and `record` with something wrong: one message, an exit code, no traceback."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path

import msgspec
import pytest
from live_network import TINY, Done, qanat_here

from qanat.node.processes.auth_reserve import FILE_SIZE_BYTES
from qanat.node.recordings.reader import RecordingReader
from qanat.node.recordings.writer import RecordingWriter

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/recorded-light"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Done:
        done = qanat_here(capsys, *words)
        assert "Traceback" not in done.out + done.err
        return done

    return run


def end(**changes: str | None) -> tuple[str, ...]:
    """The words of a right command, some replaced or left out."""
    options: dict[str, str | None] = {
        "role": "tx",
        "link": "anton-berta",
        "light": f"replay://{EXAMPLE}/tx.qlight",
        "secret": "a.secret",
        "listen": "0",
        "duration": "100ms",
    } | changes
    words = [word for name, value in options.items() if value is not None for word in (f"--{name}", value)]
    return ("module", str(EXAMPLE / "link.toml"), *words)


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"role": "alice"}, 2, "--role is tx or rx, not 'alice'"),
        ({"link": "anton-bertha"}, 2, "did you mean anton-berta"),
        ({"connect": "127.0.0.1:9"}, 2, "give either --listen or --connect"),
        ({"listen": None}, 2, "give either --listen or --connect"),
        ({"listen": "here"}, 2, "has no port"),
        ({"listen": "::1:9"}, 2, "brackets"),
        ({"listen": None, "connect": "127.0.0.1:0"}, 2, "has no port from 1"),
        ({"keys": "show"}, 2, "count or compare"),
        ({"keys": "compare", "kme-socket": "s"}, 2, "does not go with --kme-socket"),
        ({"duration": "soon"}, 2, "soon"),
        ({"light": "lamp://x"}, 2, "known: replay://, sim://, timetags://"),
        ({"light": f"replay://{EXAMPLE}/rx.qlight"}, 2, "holds detections; here settings"),
        ({"light": None}, 2, "light"),
        ({"secret": None}, 2, "give either --secret, or both --identity and --peer"),
        ({"identity": "a", "peer": "b.pub"}, 2, "give either --secret, or both"),
        ({"secret": None, "identity": "a"}, 2, "give either --secret, or both"),
        ({"secret": None, "identity": "none", "peer": "b.pub"}, 3, "none cannot be opened"),
        ({"secret": None, "identity": "a", "peer": "a.pub"}, 2, "is this end's own identity"),
        ({"secret": None, "identity": "a", "peer": "b"}, 3, "it holds no public key"),
        ({"secret": None, "identity": "a.pub", "peer": "b.pub"}, 3, "mode 0644"),
        ({"secret": None, "identity": "a", "peer": "b.pub"}, 1, "the time is over; 0 of 1 key blocks were made"),
        ({"secret": "none.secret"}, 3, "cannot be opened"),
        ({"secret": "open.secret"}, 3, "chmod 600"),
        ({"blocks": "0"}, 2, "blocks"),
        ({}, 1, "the time is over; 0 of 1 key blocks were made"),
    ],
)
def test_every_wrong_option_is_told_in_words(  # type: ignore[no-untyped-def]
    run, tmp_path: Path, changes: dict[str, str | None], code: int, says: str
) -> None:
    assert run("secret", "a.secret", "open.secret").code == 0
    (tmp_path / "open.secret").chmod(0o644)
    for name in ("a", "b"):
        assert run("identity", "new", name).code == 0
    done = run(*end(**changes))
    assert done.code == code, done
    assert says in " ".join(done.err.replace("│", " ").split())


def test_a_port_that_is_taken_is_the_environments(run) -> None:  # type: ignore[no-untyped-def]
    run("secret", "a.secret")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(*end(listen=str(port)))
    assert done.code == 3
    assert f"cannot listen on 127.0.0.1:{port}" in done.err


def test_recorded_settings_of_another_law_are_refused(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    run("secret", "a.secret")
    with RecordingReader(EXAMPLE / "tx.qlight") as reader:
        assert reader.header.prepared is not None
        prepared = msgspec.structs.replace(reader.header.prepared, p_x=0.5)
        RecordingWriter(tmp_path / "odd", msgspec.structs.replace(reader.header, prepared=prepared)).close()
    done = run(*end(light="replay://odd"))
    assert done.code == 2
    assert "drew with p_x 0.5" in done.err


def test_key_from_recorded_real_light_goes_to_no_kme(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    run("secret", "a.secret")
    with RecordingReader(EXAMPLE / "tx.qlight") as reader:
        RecordingWriter(tmp_path / "real", msgspec.structs.replace(reader.header, is_simulated=False)).close()
    done = run(*end(light="replay://real", **{"kme-socket": "s"}))
    assert done.code == 2
    assert "is for study only" in done.err


def test_a_secret_is_written_to_every_place_and_over_none(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = run("secret", "a.secret", "b.secret", "--json")
    assert done.json == {"files": ["a.secret", "b.secret"], "is_light": False}
    data = (tmp_path / "a.secret").read_bytes()
    assert data == (tmp_path / "b.secret").read_bytes()
    assert len(data) == FILE_SIZE_BYTES
    done = run("secret", "c.secret", "a.secret")
    assert (done.code, "exists already" in done.err) == (2, True)
    assert not (tmp_path / "c.secret").exists()
    assert run("secret", "nowhere/d.secret").code == 3
    assert run("secret", "light.key", "--light").code == 0
    assert len((tmp_path / "light.key").read_bytes()) == 32


def test_an_identity_is_two_files_and_one_fingerprint(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = run("identity", "new", "alice", "--json")
    assert done.json.keys() == {"private", "public", "fingerprint"}
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("alice", "alice.pub")] == [0o600, 0o644]
    for name in ("alice", "alice.pub"):
        shown = run("identity", "show", name, "--json").json
        assert shown == {"algorithm": "ML-DSA-87", "fingerprint": done.json["fingerprint"]}
    assert run("identity", "new", "bob", "--json").json["fingerprint"] != done.json["fingerprint"]
    assert "PRIVATE" not in (tmp_path / "alice.pub").read_text()
    again = run("identity", "new", "alice")
    assert (again.code, "exists already" in again.err) == (2, True)
    (tmp_path / "noise").write_bytes(bytes(range(256)))
    (tmp_path / "noise").chmod(0o600)
    assert "no ML-DSA-87 identity" in run("identity", "show", "noise").err.replace("\n", " ")


def test_recordings_are_made_once_and_the_same_for_the_same_seed(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    network = str(EXAMPLE / "link.toml")
    for folder in ("one", "two"):
        done = run("record", network, "--link", "anton-berta", "--out", folder, "--blocks", "2", "--json")
        assert done.code == 0, done
        assert set(done.json) == {"settings", "detections", "timetags"}
    for name in ("tx.qlight", "rx.qlight", "rx-tags.qlight"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    done = run("record", network, "--link", "anton-berta", "--out", "one")
    assert (done.code, "File exists" in done.err) == (3, True)
    assert run("record", str(TINY), "--link", "anton-berta", "--out", "x").code == 2


def test_the_committed_recordings_are_such_as_their_script_makes(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("make_recordings", EXAMPLE / "make.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.main(tmp_path)
    counts = []
    for folder in (tmp_path, EXAMPLE):
        with RecordingReader(folder / "rx.qlight") as reader:
            blocks = list(reader.detections())
            counts.append((reader.header, [block.number for block in blocks], sum(len(b.index) for b in blocks)))
        for name in ("tx.qlight", "rx-tags.qlight"):
            with RecordingReader(folder / name) as reader:
                assert list(reader.settings() if name == "tx.qlight" else reader.tags())
    assert counts[0][:2] == counts[1][:2]
    # The sampler may come to draw in another order. Six sigma of the difference of two counts: once in 5e8.
    assert abs(counts[0][2] - counts[1][2]) < 6 * (2 * counts[1][2]) ** 0.5
