"""What the pages say exists: links, files, commands, names, outputs, numbers."""

import itertools
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from qanat.cli.check import load_network
from qanat.core.ids import FibreId, LinkId, SaeId

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/qanat"
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "newsfragments").glob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

FOLDERS = "|".join(
    sorted({path.name for base in (ROOT, PACKAGE) for path in base.iterdir() if path.is_dir() and path.name[0] != "."})
)
NAMED_FILE = re.compile(rf"(?<![\w/.-])((?:{FOLDERS})/[\w./-]+\.(?:py|toml|md|json|lock|txt))\b")
MACHINE_PATH = re.compile(r"(?<![\w.:~}$/-])/(?:home|root|work|Users|tmp|srv|mnt|opt|var|usr)\b")


def each_page() -> Any:
    return pytest.mark.parametrize("page", PAGES, ids=NAMES)


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


@each_page()
def test_internal_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8"))):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.is_file(), f"{target} does not exist"
        assert file.is_relative_to(ROOT)
        assert not anchor or anchor in anchors(file), f"{target}: no such heading"


@each_page()
def test_every_file_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(NAMED_FILE.findall(text))
    missing = [name for name in named if not ((ROOT / name).exists() or (PACKAGE / name).exists())]
    # Links of a page are relative to it and checked above.
    assert [name for name in missing if f"]({name})" not in text] == []


@each_page()
def test_no_page_names_a_path_of_one_machine(page: Path) -> None:
    assert MACHINE_PATH.findall(page.read_text(encoding="utf-8")) == []


def test_the_search_for_machine_paths_finds_one() -> None:
    assert MACHINE_PATH.search("see /home/somebody/qanat")
    assert not MACHINE_PATH.search("$HOME/.local/state, ~/.local, a/home/b, https://127.0.0.1/root")


def test_every_page_is_in_the_navigation_once() -> None:
    def leaves(item: Any) -> Iterator[str]:
        if isinstance(item, str):
            yield item
        else:
            for value in item.values() if isinstance(item, dict) else item:
                yield from leaves(value)

    listed = list(leaves(tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]))
    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


def commands_shown() -> Iterator[tuple[str, list[str]]]:
    for page in PAGES:
        for fence in re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL):
            for line in fence.splitlines():
                if line.startswith(("qanat ", ".venv/bin/qanat ")):
                    yield str(page.relative_to(ROOT)), shlex.split(line.split(">")[0], comments=True)[1:]


def leaf(words: list[str]) -> tuple[Any, list[str]]:
    command: Any = typer.main.get_command(__import__("qanat.cli.main", fromlist=["app"]).app)
    while getattr(command, "commands", None):
        command, words = command.commands[words[0]], words[1:]
    return command, words


def test_every_command_shown_is_understood() -> None:
    shown = list(commands_shown())
    assert len(shown) > 15
    for page, words in shown:
        command, arguments = leaf(words)
        context = command.make_context(page, [argument for argument in arguments if argument != "--help"])
        assert context.params


def test_every_link_fibre_and_pair_in_the_tutorial_is_in_the_metro_network() -> None:
    network = load_network(ROOT / "networks/metro.toml")
    for page, words in commands_shown():
        match words:
            case ["key", "get" | "take", sae, peer, *_]:
                assert network.may_pair(SaeId(sae), SaeId(peer)), page
                assert SaeId(sae) in network.saes
            case ["attack", _, link, *_] | ["link", "show", link, *_]:
                assert LinkId(link) in network.links, page
            case ["fault", _, fibre, *_]:
                assert FibreId(fibre) in network.fibres, page


def outputs() -> list[tuple[str, str]]:
    marked = re.compile(r"<!-- output of: qanat (.+?) -->\n```text\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
    found = [marked.findall(page.read_text(encoding="utf-8")) for page in PAGES]
    return list(itertools.chain.from_iterable(found))


def test_outputs_shown_are_what_the_commands_print() -> None:
    assert outputs()
    for arguments, shown in outputs():
        command = [sys.executable, "-m", "qanat", *shlex.split(arguments)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
        assert done.stdout == shown


def test_the_readme_shows_a_run_of_the_demo() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(
        r"<!-- demo-output -->\n```text\n(.*?)^```\n<!-- /demo-output -->", text, re.MULTILINE | re.DOTALL
    )
    assert block is not None
    if "to be filled" in block[1]:
        pytest.skip("the README's demo output is not filled in yet")
    assert all(f"[{step}/7]" in block[1] for step in range(1, 8))
    assert "SIMULATED" in block[1]
    assert "all claims met" in block[1]
    assert MACHINE_PATH.findall(block[1]) == []


def test_numbers_in_the_prose_are_those_of_the_code() -> None:
    from qanat.distill.estimate import QBER_HOPELESS
    from qanat.km.callers import ADDITIONAL_SLAVES_MAX
    from qanat.km.channel import WAITING_MESSAGES_MAX
    from qanat.km.delivery import KEY_BITS_MAX, KEY_BITS_MIN, KEYS_PER_REQUEST_MAX
    from qanat.node.processes.auth_reserve import SLICE_COUNT, SLICE_SIZE_BYTES
    from qanat.node.supervisor import BACK_OFF_S, FIRST_PORT
    from qanat.watch.qber import ANCHOR_BUDGET, DRIFT_FLOOR, FRACTIONS
    from qanat.watch.rate import ANCHOR_BUDGET as RATE_BUDGET

    def says(page: str, *sentences: str) -> None:
        text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
        assert [sentence for sentence in sentences if sentence not in text] == []

    slices = f"{SLICE_COUNT} slices"
    says("docs/explanation/assumptions.md", slices)
    says("newsfragments/2.trap.md", f"one of {slices}")
    says("docs/decisions/0008-pre-shared-secret-in-slices.md", f"{slices} of {SLICE_SIZE_BYTES // 1024} KiB")
    says("docs/decisions/0017-kme-messages-through-an-outbox.md", f"{WAITING_MESSAGES_MAX:,}".replace(",", " "))
    says(
        "docs/howto/use-the-keys-with-curl.md",
        f"1 to {KEYS_PER_REQUEST_MAX}",
        f"up to {ADDITIONAL_SLAVES_MAX}, at any sites",
        f"multiples of 8 from {KEY_BITS_MIN} to {KEY_BITS_MAX} bits",
    )
    says("docs/howto/run-one-process-per-kme.md", f"from {FIRST_PORT} on", f"after {BACK_OFF_S[0]:g} s")
    says(
        "docs/explanation/attacks.md",
        f"no key above {QBER_HOPELESS:.0%}".replace("%", " %"),
        f"from about {100 * min(FRACTIONS):g} % of the pulses",
        f"below {400 * DRIFT_FLOOR:g} %",
        f"{100 * ANCHOR_BUDGET:g} % QBER or {100 * RATE_BUDGET:g} % of rate",
    )


def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    zensical = Path(sys.executable).with_name("zensical")
    if not zensical.exists():
        pytest.skip("zensical is not installed (`make docs` installs it)")
    shutil.copytree(DOCS, tmp_path / "docs")
    (tmp_path / "zensical.toml").write_bytes((ROOT / "zensical.toml").read_bytes())
    done = subprocess.run(
        [zensical, "build", "--strict"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site/tutorial/first-network.html").exists()
    page = (tmp_path / "site/index.html").read_text(encoding="utf-8")
    assert (
        re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?://', page) == []
    )  # nothing is fetched from outside


@each_page()
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text):
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text(encoding="utf-8"), flags=re.MULTILINE), name
