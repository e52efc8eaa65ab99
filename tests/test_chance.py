"""Who may draw from what: generators for models never stand where key is made."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src/qanat"
ENGINES = ["crypto", "distill", "keyrate", "km", "control", "watch"]
MODEL_CHANCE = {
    "random",
    "secrets",  # the standard library's: engines are given Entropy
    "numpy.random",
    "qanat.core.streams",
    "qanat.physics.kernels.generators",
    "qanat.sim.entropy",
}
# What may draw from the operating system itself, and what for.
SYSTEM_CHANCE = {
    "node/demo/story.py": "a file to seal",
    "node/drivers/glass_child.py": "the seed of simulated light",
    "node/entropy.py": "SystemEntropy",
    "node/kek.py": "the key of a store",
    "node/module/door.py": "nonces",
    "node/module/secretfile.py": "simulation keys",
    "node/processes/auth_reserve.py": "pre-shared secrets",
    "node/processes/glass.py": "the seed of simulated light",
    "node/supervisor.py": "simulation keys",
    "sae/seal.py": "salt",
}
# Hosts of models: the only parts of ``node`` that may know a stream.
NODE_MODELS = {"node/recordings/make.py"}


def names_used(path: Path) -> Iterator[str]:
    """Modules imported, wherever in the file, and dotted names."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield {"np": "numpy"}.get(node.value.id, node.value.id) + "." + node.attr


def offenders(paths: list[Path], banned: set[str]) -> dict[str, set[str]]:
    found = {str(path.relative_to(SOURCE)): set(names_used(path)) & banned for path in paths}
    return {name: used for name, used in found.items() if used}


@pytest.mark.parametrize("room", ENGINES)
def test_rooms_that_make_or_hold_key_know_no_generator_of_models(room: str) -> None:
    paths = sorted((SOURCE / room).rglob("*.py"))
    assert paths
    assert offenders(paths, MODEL_CHANCE | {"os.urandom", "os.getrandom"}) == {}


def test_live_hosts_know_streams_where_they_make_recordings_only() -> None:
    paths = [*(SOURCE / "node").rglob("*.py"), *(SOURCE / "sae").rglob("*.py")]
    assert set(offenders(paths, MODEL_CHANCE - {"secrets"})) == NODE_MODELS


def test_whoever_draws_from_the_system_is_known() -> None:
    found = offenders(sorted(SOURCE.rglob("*.py")), {"os.urandom", "os.getrandom", "secrets", "secrets.token_hex"})
    assert set(found) == set(SYSTEM_CHANCE)


def test_the_search_finds_what_is_there() -> None:
    found = offenders(sorted((SOURCE / "physics").rglob("*.py")), MODEL_CHANCE)
    assert "qanat.physics.kernels.generators" in found["physics/kernels/dense.py"]
    assert "os.urandom" in set(names_used(SOURCE / "node/entropy.py"))
