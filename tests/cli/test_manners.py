"""Every command with something wrong: one message, its exit code, no traceback. No network runs here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from live_network import TINY, Done, qanat, qanat_here

from qanat.core.errors import EnvironmentProblem
from qanat.node.statedir import StateDir

KEY_ID = "550e8400-e29b-41d4-a716-446655440000"
LIVE_COMMANDS = [
    ("status",),
    ("alarms",),
    ("link", "list"),
    ("link", "show", "mitte-moabit"),
    ("key", "get", "alice", "bob"),
    ("key", "take", "bob", "alice", KEY_ID),
    ("attack", "start", "mitte-moabit", "tap"),
    ("attack", "stop", "mitte-moabit"),
    ("fault", "cut", "duct-mitte-moabit"),
    ("fault", "mend", "duct-mitte-moabit"),
]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    def run(*words: str) -> Done:
        done = qanat_here(capsys, *words)
        assert "Traceback" not in done.out + done.err
        return done

    return run


@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize("words", LIVE_COMMANDS, ids=" ".join)
def test_without_a_network_every_live_command_says_so(run, tmp_path: Path, words: tuple[str, ...], as_json) -> None:  # type: ignore[no-untyped-def]
    done = run(*words, *as_json, "--state", str(tmp_path / "none"))
    assert done.code == 3
    assert done.out == ""
    assert "No network is running here. Start one with `qanat up`" in done.err
    assert not (tmp_path / "none").exists()  # asking makes nothing


@pytest.mark.parametrize("words", [("up",), ("demo", "--exit"), ("sim", "--duration", "1s"), ("check",)], ids=" ".join)
def test_a_missing_or_unreadable_network_file_is_the_environments(run, tmp_path: Path, words: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name, says in (("none.toml", "No such file"), ("binary", "not UTF-8"), (".", "directory")):
        done = run(words[0], str(tmp_path / name), *words[1:])
        assert done.code == 3, done
        assert says in done.err
        assert str(tmp_path / name) in done.err


@pytest.mark.parametrize("words", [("up",), ("demo", "--exit"), ("sim", "--duration", "1s")], ids=" ".join)
def test_a_wrong_network_file_lists_all_its_errors_before_anything_starts(  # type: ignore[no-untyped-def]
    run, tmp_path: Path, words: tuple[str, ...]
) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(TINY.read_text().replace('"bob"', '"mitte"').replace("buffer_keys", "bufer_keys"))
    done = run(words[0], str(path), *words[1:])
    assert done.code == 2, done
    assert "did you mean buffer_keys?" in done.err
    assert "saes[1].id" in done.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("statsu",), "No such command"),
        (("link",), ""),
        (("key", "get", "alice"), "peer"),
        (("key", "get", "alice", "bob", "--number", "many"), "integer"),
        (("key", "take", "bob", "alice", "no-id"), "not a key ID"),
        (("attack", "start", "x", "tap", "--fraction", "much"), "number"),
        (("attack", "start", "x", "tap", "--set", "fraction"), "write NAME=VALUE"),
        (("attack", "start", "x", "tap", "--set", "link=y"), "write NAME=VALUE"),
        (("schema", "netwrk"), "did you mean network"),
        (("up", "--sate", "x"), "No such option"),
        (("sim", str(TINY), "--duration", "soon"), "soon"),
    ],
)
def test_misuse_ends_with_2(run, words: tuple[str, ...], says: str) -> None:  # type: ignore[no-untyped-def]
    done = run(*words)
    assert done.code == 2, done
    assert says in " ".join(done.err.replace("│", " ").split())


def test_a_demo_on_a_network_without_its_cast_says_what_is_missing(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = run("demo", str(TINY), "--exit", "--state", str(tmp_path / "s"))
    assert done.code in (1, 2)
    assert "second path" in done.err
    assert not (tmp_path / "s").exists()


def test_a_state_place_that_cannot_be_used_is_named(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a folder")
    for words in (("up", str(TINY)), ("status",), ("doctor",)):
        done = run(*words, "--state", str(in_the_way))
        assert done.code == 3, (words, done)
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o755)
    done = run("up", str(TINY), "--state", str(open_to_all))
    assert done.code == 3
    assert "chmod 700" in done.err
    assert "kernels" not in done.err  # told at once, not after compiling


def test_a_hub_that_hangs_or_talks_nonsense_is_told_in_a_sentence(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    state = StateDir(tmp_path)
    state.prepare()
    with state.lock():
        done = run("status", "--state", str(tmp_path))
        assert (done.code, "does not answer" in done.err) == (3, True)
    child = subprocess.Popen(
        [sys.executable, "-c", NONSENSE_HUB, str(tmp_path), str(state.socket_path("hub"))], stdout=subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        for _ in range(3):  # garbage, half a frame, nothing
            done = run("status", "--state", str(tmp_path))
            assert done.code in (1, 3), done
            assert done.err.startswith("qanat: ")
    finally:
        child.kill()
        child.wait()
        child.stdout.close()  # type: ignore[union-attr]


NONSENSE_HUB = """
import socket, sys
from qanat.node.statedir import StateDir
with StateDir(sys.argv[1]).lock(), socket.socket(socket.AF_UNIX) as door:
    door.bind(sys.argv[2]); door.listen()
    print("ready", flush=True)
    for answer in (b"\\x00\\x00\\x00\\x03abc", b"\\x00\\x00\\x01\\x00abc", b""):
        connection, _ = door.accept()
        connection.recv(100)
        connection.sendall(answer)
        connection.close()
"""


@pytest.mark.parametrize("words", [("doctor", "--json"), ("check", str(TINY), "--json"), ("schema",)], ids=" ".join)
def test_json_is_json_and_nothing_else_is_on_standard_output(run, words: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    done = run(*words)
    assert done.code == 0, done
    assert done.json


def test_check_answers_no_with_1(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "wrong.toml"
    path.write_text("name = 7\n")
    assert run("check", str(path)).code == 1
    done = run("check", str(path), "--json")
    assert done.code == 1
    assert done.json["problems"]


def test_version_and_help_of_every_command(run) -> None:  # type: ignore[no-untyped-def]
    assert run("--version").out.startswith("qanat 0.")
    for words in (*LIVE_COMMANDS, ("up",), ("demo",), ("doctor",), ("check",), ("schema",), ("sim",), ("random",)):
        group = words[:2] if words[0] in ("link", "key", "attack", "fault") else words[:1]
        done = run(*group, "--help")
        assert done.code == 0
        assert "Usage" in done.out


def test_the_list_of_attacks_tells_what_each_takes_and_shows(run) -> None:  # type: ignore[no-untyped-def]
    entries = {entry["name"]: entry for entry in run("attack", "list", "--json").json}
    assert len(entries) == 13
    tap = entries["tap"]["parameters"]
    assert [(p["name"], p["default"], p["low"], p["high"]) for p in tap] == [("transmittance", 0.5, 0.0, 1.0)]
    text = run("attack", "list")
    assert text.code == 0
    for name, entry in entries.items():
        assert f"\n{name}\n" in "\n" + text.out
        assert entry["signature"] in text.out


def test_a_reader_who_leaves_early_gets_no_traceback() -> None:
    pipe = subprocess.run(
        f"{sys.executable} -m qanat schema | head -c 1", shell=True, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in pipe.stderr
    assert "Exception" not in pipe.stderr


def test_several_running_networks_ask_which_one(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.delenv("QANAT_STATE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    children = []
    try:
        for name in ("one", "two"):
            StateDir(tmp_path / "qanat" / name).prepare()
            children.append(
                subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / "qanat" / name)], stdout=subprocess.PIPE)
            )
            assert children[-1].stdout is not None
            assert children[-1].stdout.readline() == b"ready\n"
        done = run("status")
        assert done.code == 2
        assert "choose one with --state" in done.err
        assert "one" in done.err
        assert "two" in done.err
    finally:
        for child in children:
            child.kill()
            child.wait()
            child.stdout.close()  # type: ignore[union-attr]


HOLDER = """
import sys, time
from qanat.node.statedir import StateDir
with StateDir(sys.argv[1]).lock():
    print("ready", flush=True)
    time.sleep(60)
"""


def test_an_error_of_the_system_is_a_sentence_with_exit_code_3() -> None:
    done = qanat("up", str(TINY), "--state", "/dev/null/x")
    assert done.code == EnvironmentProblem.exit_code
    assert done.err.splitlines()[-1]
