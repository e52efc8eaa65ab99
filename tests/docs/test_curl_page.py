"""The curl how-to, typed as it stands, against two real KMEs over TLS; only the two applications' names differ."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))

from real_kmes import RealKmes

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/howto/use-the-keys-with-curl.md"
NAMES = {"bank-mitte": "alice", "bank-charlottenburg": "bob"}
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed (apt install curl)")


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A state directory as `qanat up` leaves it, as far as an application looks."""
    two = RealKmes(tmp_path_factory.mktemp("kmes"))
    two.distil(2)
    folder = tmp_path_factory.mktemp("state")
    for sae in NAMES.values():
        (folder / "saes" / sae).mkdir(parents=True)
        shutil.copy(two.saes[sae].cert, folder / "saes" / sae / "cert.pem")
        shutil.copy(two.saes[sae].key, folder / "saes" / sae / "key.pem")
    (folder / "ca").mkdir()
    shutil.copy(two.saes["alice"].ca, folder / "ca/cert.pem")
    ports = {"mitte": two.servers["a"].port, "charlottenburg": two.servers["b"].port}
    (folder / "ports.json").write_text(json.dumps({"key_delivery": ports}))
    yield folder
    two.close()


def blocks(state: Path) -> tuple[str, list[str]]:
    """The page's definitions, and its calls one by one."""
    text = PAGE.read_text(encoding="utf-8")
    for name, here in NAMES.items():
        text = text.replace(name, here)
    first, *others = re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    definitions = re.sub(r"^STATE=.*$", f"STATE='{state}'", first, flags=re.MULTILINE)
    calls = [call for block in others for call in re.split(r"\n(?=curl )", block.strip())]
    return definitions, calls


def said(definitions: str, call: str) -> Any:
    done = subprocess.run(
        ["sh", "-c", definitions + "\n" + call], capture_output=True, text=True, check=True, timeout=20
    )
    return json.loads(done.stdout)


def test_the_page_gets_and_takes_the_same_keys(state: Path) -> None:
    definitions, (status, get, take, get_three, take_two, get_group, take_group, insist) = blocks(state)
    assert said(definitions, status)["slave_SAE_ID"] == "bob"
    sent = said(definitions, get)["keys"][0]
    got = said(definitions, take.replace("=KEY_ID", f"={sent['key_ID']}"))["keys"][0]
    assert (got["key_ID"], got["key"]) == (sent["key_ID"], sent["key"])
    three = said(definitions, get_three)["keys"]
    wanted = take_two.replace('"FIRST"', f'"{three[0]["key_ID"]}"').replace('"SECOND"', f'"{three[1]["key_ID"]}"')
    assert [key["key"] for key in said(definitions, wanted)["keys"]] == [key["key"] for key in three[:2]]
    group = said(definitions, get_group)["keys"][0]
    member = said(definitions, take_group.replace("=KEY_ID", f"={group['key_ID']}"))["keys"][0]
    assert (member["key_ID"], member["key"]) == (group["key_ID"], group["key"])
    assert said(definitions, insist)["keys"][0]["key_extension"]["qanat_route_type"] == "direct"
