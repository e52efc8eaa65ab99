"""The reference pages are made from the code: making them again gives the same text."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs/make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_making_the_reference_again_changes_nothing(maker: ModuleType) -> None:
    for name, text in maker.pages().items():
        committed = (ROOT / "docs/reference" / name).read_text(encoding="utf-8")
        assert committed == text, f"docs/reference/{name} is old: run `python docs/make_reference.py`"


def test_every_command_and_option_has_a_meaning(maker: ModuleType) -> None:
    text = maker.commands()
    assert {"## qanat demo", "## qanat link show", "## qanat key take"} <= set(text.splitlines())
    without = re.findall(r"^\| (`--.*`) \| - \|$", text, flags=re.MULTILINE)
    assert without == []


def test_every_state_is_in_the_picture_and_explained(maker: ModuleType) -> None:
    from qanat.control.state import LinkState
    from qanat.distill.states import State

    picture, _, rest = maker.states().partition("| state |")
    for state in State:
        assert re.search(rf"^{state}\b", picture, flags=re.MULTILINE)
        assert f"| `{state}` |" in rest
    assert all(f"| `{state}` |" in rest for state in LinkState)


def test_errors_say_what_happened_in_a_sentence(maker: ModuleType) -> None:
    rows = re.findall(r"^\| `(\w+)` \| `[\w.]+` \| (.+) \|$", maker.errors(), flags=re.MULTILINE)
    assert len(rows) > 20
    assert [name for name, sentence in rows if not sentence.endswith(".")] == []
