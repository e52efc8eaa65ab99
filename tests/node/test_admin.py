"""What the command line may ask: near misses, nonsense, and that only light is changed."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from qanat.cli.check import load_network
from qanat.core.alarms import Command
from qanat.node.messages import AdminReply, AdminRequest, AttackOn
from qanat.node.processes.admin import Admin
from qanat.node.processes.journal import Journal
from qanat.node.processes.loop import Loop
from qanat.node.processes.view import NetworkView

NETWORKS = Path(__file__).parents[2] / "networks"


class Desk:
    """An admin with everything real but the glass."""

    def __init__(self, folder: Path) -> None:
        network = load_network(NETWORKS / "tiny.toml")
        self.journal = Journal(folder / "journal.jsonl")
        self.loop = Loop(network, self.journal, lambda _command: None)
        self.loop.begin()
        self.view = NetworkView(network, self.loop)
        self.light: list[AttackOn] = []
        self.admin = Admin(self.view, self.journal, self.light.append)

    def ask(self, verb: str, **arguments: Any) -> AdminReply:
        return self.admin.answer(AdminRequest(verb, arguments))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize(
    ("verb", "arguments", "says"),
    [
        ("attack_start", {"link": "mitte-moabitt", "name": "tap"}, "did you mean 'mitte-moabit'?"),
        ("attack_start", {"link": "mitte-moabit", "name": "tapp"}, "tap"),
        ("attack_start", {"link": "mitte-moabit", "name": "tap", "rate_hz": 1e9}, "does not take rate_hz"),
        ("attack_start", {"link": "mitte-moabit", "name": "intercept-resend", "fraction": 1.5}, "between 0 and 1"),
        ("attack_start", {"link": "mitte-moabit", "name": "jamming", "rate_hz": -1.0}, "rate"),
        ("attack_stop", {"link": "mitte"}, "no link is called 'mitte'"),
        ("cut", {"fibre": "duct-mitte-moabi"}, "did you mean 'duct-mitte-moabit'?"),
        ("mend", {"fibre": "?"}, "no fibre is called"),
        ("link_blocks", {"link": "mitte-wedding "}, "did you mean 'mitte-wedding'?"),
        ("sae", {"name": "alicia"}, "did you mean 'alice'?"),
        ("snapshit", {}, "did you mean 'snapshot'?"),
        ("cut", {"fiber": "duct-mitte-moabit"}, "fiber"),
        ("cut", {}, "fibre"),
        ("cut", {"fibre": 7}, "no fibre is called 7"),
    ],
)
def test_a_wrong_request_is_answered_by_a_sentence_and_changes_nothing(
    desk: Desk, verb: str, arguments: dict[str, Any], says: str
) -> None:
    reply = desk.ask(verb, **arguments)
    assert reply.data is None
    assert reply.error is not None
    assert says in reply.error
    assert "Traceback" not in reply.error
    assert desk.light == []
    assert not any(desk.view.attacks.values())
    assert desk.view.cut == set()


def test_eve_and_the_cut_act_together_and_leave_one_by_one(desk: Desk) -> None:
    assert desk.ask("attack_start", link="mitte-moabit", name="tap", transmittance=0.5).error is None
    desk.ask("cut", fibre="duct-mitte-moabit")
    assert [entry["name"] for entry in desk.light[-1].attacks] == ["tap", "cut"]
    desk.ask("attack_stop", link="mitte-moabit")
    assert desk.light[-1] == AttackOn(desk.light[-1].link, [{"name": "cut"}])
    desk.ask("mend", fibre="duct-mitte-moabit")
    assert desk.light[-1].attacks == []
    assert any("EVE" in entry.text for entry in desk.journal.newest)


def test_attacks_of_different_names_add_up_and_the_same_name_replaces(desk: Desk) -> None:
    desk.ask("attack_start", link="mitte-moabit", name="tap", transmittance=0.5)
    desk.ask("attack_start", link="mitte-moabit", name="intercept-resend", fraction=0.2, basis="x")
    desk.ask("attack_start", link="mitte-moabit", name="tap", transmittance=0.9)
    assert desk.light[-1].attacks == [
        {"name": "intercept-resend", "fraction": 0.2, "basis": "x"},
        {"name": "tap", "transmittance": 0.9},
    ]
    for name in ("blinding", "time-shift", "jamming"):
        assert desk.ask("attack_start", link="mitte-moabit", name=name).error is None
    assert "at most 5" in (desk.ask("attack_start", link="mitte-moabit", name="cut").error or "")
    assert desk.ask("attack_stop", link="mitte-moabit", name="tap").error is None
    assert "tap" not in [entry["name"] for entry in desk.light[-1].attacks]
    assert "no attack on link mitte-moabit is called 'tap'" in (
        desk.ask("attack_stop", link="mitte-moabit", name="tap").error or ""
    )


@pytest.mark.parametrize("value", [None, True, "much", [], {}, 1e400, -5])
def test_whatever_a_request_says_of_an_attack_is_answered(desk: Desk, value: Any) -> None:
    reply = desk.ask("attack_start", link="mitte-moabit", name="tap", transmittance=value)
    assert (reply.error is None) == (value is None), reply
    for name in (value, "tap"):
        desk.ask("attack_stop", link="mitte-moabit", name=name)
    assert desk.ask("attack_start", link="mitte-moabit", name=value).error is not None
    assert desk.ask("snapshot").error is None


def test_a_cut_names_the_links_on_the_fibre(desk: Desk) -> None:
    reply = desk.ask("cut", fibre="duct-mitte-wedding")
    assert reply.data == {"fibre": "duct-mitte-wedding", "is_cut": True, "links": ["mitte-wedding"]}


def test_an_sae_is_found_with_its_site(desk: Desk) -> None:
    assert desk.ask("sae", name="carol").data == {"id": "carol", "site": "wedding"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full (Linux)")
def test_a_full_disk_stops_the_journal_and_not_the_loop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sent: list[Command] = []
    (tmp_path / "journal.jsonl").symlink_to("/dev/full")
    journal = Journal(tmp_path / "journal.jsonl")
    Loop(load_network(NETWORKS / "tiny.toml"), journal, sent.append).begin()
    assert sent  # commands go out all the same
    assert journal.newest  # and the page shows them
    assert "cannot be written" in caplog.text
    with contextlib.suppress(OSError):
        journal._entries._file.close()
