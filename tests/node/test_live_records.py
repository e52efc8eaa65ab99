"""What a serving network writes down and tells: an audit that verifies, metrics that promtool accepts, no key."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from live_load import ALICE, BOB, Load, pair_of
from live_network import Live, qanat, until

from qanat.node.audit.entry import entry_of
from qanat.node.audit.files import files_in
from qanat.node.demo.applications import Record

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc (Linux)"),
]


def scraped(live: Live) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{live.state.read_ports()['dashboard']}/metrics", timeout=20) as page:
        return str(page.read().decode())


def delivered_on(page: str) -> float:
    name = "qanat_keys_delivered_total "
    return float(next(line for line in page.splitlines() if line.startswith(name)).removeprefix(name))


def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("promtool is not installed: apt-get install prometheus")
    return found


def test_promtool_accepts_a_scraped_page_and_no_delivered_key_is_on_it(live: Live) -> None:
    program, pair = promtool(), pair_of(live, Record())
    sent = pair._clients[0].enc_keys(BOB, number=20)
    got = pair._clients[1].dec_keys(ALICE, [key.key_id for key in sent[:10]])
    assert [key.bits for key in got] == [key.bits for key in sent[:10]]
    page = until(lambda: told if delivered_on(told := scraped(live)) >= len(sent) else "")
    done = subprocess.run(
        [program, "check", "metrics"], input=page, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    for key in sent:
        secret = key.bits.reveal()
        forms = [str(key.key_id), key.key_id.hex, base64.b64encode(secret).decode(), secret.hex()]
        assert not [form for form in forms if form.lower() in page.lower()]


def test_the_audit_of_a_serving_network_is_whole_while_it_grows(live: Live) -> None:
    counts: list[int] = []
    with Load(live) as load:
        for _ in range(4):
            load.wait_for(10)
            done = live.run("audit", "verify", "--json")
            assert done.code == 0, done.out + done.err
            counts.append(sum(verdict["entries"] for verdict in done.json))
    assert counts == sorted(set(counts))
    assert live.run("audit", "show", "--site", "mitte", "--kind", "delivered").code == 0


@pytest.fixture(scope="module")
def left(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of the network after it has ended; the tests harm copies."""
    live.stop()
    return Path(shutil.copytree(live.state.path, tmp_path_factory.mktemp("left") / "state"))


def _altered(lines: list[bytes], number: int) -> list[bytes]:
    return [*lines[:number], lines[number].replace(b'"count":1', b'"count":2'), *lines[number + 1 :]]


def _removed(lines: list[bytes], number: int) -> list[bytes]:
    return [*lines[:number], *lines[number + 1 :]]


def _cut(lines: list[bytes], number: int) -> list[bytes]:
    return lines[:number]


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (_altered, "entry {next} does not follow from the one before it"),
        (_removed, "entry {number} does not follow from the one before it"),
        (_cut, "{count} entries are remembered elsewhere, {number} are here: the end was cut off"),
    ],
)
def test_a_line_altered_removed_or_cut_off_is_named(
    left: Path, tmp_path: Path, harm: Callable[[list[bytes], int], list[bytes]], says: str
) -> None:
    state = Path(shutil.copytree(left, tmp_path / "state"))
    whole = qanat("audit", "verify", "--state", str(state))
    assert whole.code == 0, whole.out + whole.err
    (path,) = files_in(state / "nodes" / "mitte" / "audit")
    lines = path.read_bytes().splitlines(keepends=True)
    delivered = [
        number
        for number, line in enumerate(lines)
        if (entry := entry_of(line)).kind == "delivered" and entry.facts["count"] == 1
    ]
    number = delivered[len(delivered) // 2]
    path.write_bytes(b"".join(harm(lines, number)))
    found = qanat("audit", "verify", "--state", str(state))
    assert found.code == 1, found.out + found.err
    assert "kme-mitte: NOT WHOLE" in found.out
    assert says.format(number=number, next=number + 1, count=len(lines)) in found.out
    assert "kme-moabit: whole" in found.out
