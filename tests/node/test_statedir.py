"""The state directory: private, claimed by one process, atomic."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import SaeId, SiteId
from qanat.node import privatefile
from qanat.node.statedir import SOCKET_PATH_BYTES_MAX, StateDir

HOLDER = """
import sys, time
from qanat.node.statedir import StateDir
with StateDir(sys.argv[1]).lock():
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    made = StateDir(tmp_path / "state")
    made.prepare()
    return made


def test_every_folder_is_private(state: StateDir) -> None:
    for folder in (state.path, state.ca, state.run, state.logs):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    state.prepare()  # a second time changes nothing and does not complain


def test_a_directory_that_others_can_read_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "open").chmod(0o755)
    with pytest.raises(EnvironmentProblem, match=r"mode 0755.*chmod 700"):
        StateDir(tmp_path / "open").prepare()


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="not a folder"):
        StateDir(tmp_path / "file").prepare()


def test_the_default_place_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("QANAT_STATE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert StateDir.default("metro").path == tmp_path / "qanat" / "metro"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert StateDir.default("metro").path.is_absolute()
    monkeypatch.setenv("QANAT_STATE", str(tmp_path / "mine"))
    assert StateDir.default("metro").path == tmp_path / "mine"


@pytest.mark.parametrize("name", ["", ".", "..", "../escape", "a/b", "a\0b"])
def test_a_name_cannot_lead_out_of_the_directory(state: StateDir, name: str) -> None:
    for place in (lambda: state.node(SiteId(name)), lambda: state.sae(SaeId(name)), lambda: state.socket_path(name)):
        with pytest.raises(ValueError, match="cannot be the name"):
            place()


def test_a_second_process_is_told_the_pid_of_the_first_and_a_killed_one_leaves_no_lock(state: StateDir) -> None:
    first = subprocess.Popen([sys.executable, "-c", HOLDER, str(state.path)], stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        assert state.running_pid() == first.pid
        with pytest.raises(EnvironmentProblem, match=f"process {first.pid}"):
            state.lock().acquire()
        assert state.running_pid() == first.pid  # the refused one did not touch the record
    finally:
        first.kill()
        first.wait()
    assert state.running_pid() is None
    with state.lock():
        assert state.running_pid() == os.getpid()
    assert state.running_pid() is None


def test_ports_are_read_back_and_their_absence_says_what_to_do(state: StateDir) -> None:
    with pytest.raises(EnvironmentProblem, match="qanat up"):
        state.read_ports()
    state.write_ports({"dashboard": 1, "key_delivery": {"mitte": 2}})
    assert state.read_ports() == {"dashboard": 1, "key_delivery": {"mitte": 2}}
    assert stat.S_IMODE(state.ports_file.stat().st_mode) == 0o600
    state.ports_file.write_text('{"dashboard":')
    with pytest.raises(EnvironmentProblem, match=r"ports\.json cannot be read"):
        state.read_ports()
    state.ports_file.write_text("[1]")
    with pytest.raises(EnvironmentProblem, match="not a table"):
        state.read_ports()
    state.remove_ports()
    state.remove_ports()


def test_a_failed_write_leaves_the_old_file_whole(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    state.write_ports({"dashboard": 1})

    def full_disk(fd: int, data: bytes) -> None:
        os.write(fd, data[:3])
        os.close(fd)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(privatefile, "_write_all", full_disk)
    with pytest.raises(EnvironmentProblem, match=r"No space left.*Free some space"):
        state.write_ports({"dashboard": 2})
    assert state.read_ports() == {"dashboard": 1}
    assert [path.name for path in state.path.iterdir() if path.name.startswith(".")] == []


def test_a_socket_lies_in_run_while_the_path_is_short(tmp_path: Path) -> None:
    state = StateDir("/tmp/q")
    assert state.socket_path("hub") == Path("/tmp/q/run/hub.sock")


def test_a_long_path_gets_a_short_private_folder_that_all_processes_find(tmp_path: Path) -> None:
    state = StateDir(tmp_path / ("long" * 30))
    state.prepare()
    path = state.socket_path("hub")
    assert len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert StateDir(state.path).socket_path("kq1-mitte").parent == path.parent
    path.touch()
    state.remove_sockets()
    assert not path.parent.exists()
    again = state.socket_path("hub")
    again.parent.rmdir()  # somebody cleaned /tmp: the record leads nowhere and is made anew
    assert state.socket_path("hub").parent.is_dir()
    state.remove_sockets()


def test_a_short_folder_that_others_can_enter_is_not_trusted(tmp_path: Path) -> None:
    state = StateDir(tmp_path / ("long" * 30))
    state.prepare()
    planted = tmp_path / "planted"
    planted.mkdir()
    planted.chmod(0o777)
    (state.run / "sockets").write_bytes(os.fsencode(planted))
    assert state.socket_path("hub").parent != planted
    state.remove_sockets()
    assert planted.exists()
