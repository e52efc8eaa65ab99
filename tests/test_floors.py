"""The drawing of DESIGN.md, section 2, held against the code: imports only go down, and doors stay light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("numpy", "numba", "scipy")


def loaded_by(code: str) -> set[str]:
    """Top-level packages in sys.modules after running the code in a Python of its own."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_imports_only_go_down() -> None:
    importlinter = pytest.importorskip("importlinter.cli", reason="pip install import-linter")
    done = subprocess.run(
        [sys.executable, "-c", f"from {importlinter.__name__} import lint_imports_command as c; c()", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("process", ["kme", "hub"])
def test_the_processes_that_serve_keys_never_load_numerics(process: str) -> None:
    loaded = loaded_by(f"import qanat.node.processes.{process}")
    assert "qanat" in loaded
    assert loaded.isdisjoint({"numba", "scipy"})
    if process == "kme":
        assert "numpy" not in loaded


def test_a_transmitters_process_loads_them() -> None:
    """The test above can fail: this is what it would see."""
    assert "numpy" in loaded_by("import qanat.node.processes.transmitters")


def test_the_supervisor_starts_without_anything_heavy() -> None:
    loaded = loaded_by("import qanat.node.supervisor")
    assert loaded.isdisjoint({*HEAVY, "starlette", "uvicorn", "cryptography", "pydantic"})


@pytest.mark.parametrize("room", ["core", "km", "control", "sae"])
def test_rooms_near_the_keys_load_no_numerics(room: str) -> None:
    names = sorted(path.stem for path in (ROOT / "src" / "qanat" / room).glob("*.py") if path.stem != "__init__")
    code = "\n".join(f"import qanat.{room}.{name}" for name in names)
    assert len(names) > 2
    assert loaded_by(code).isdisjoint(HEAVY)


def test_help_loads_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "qanat", "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "Plan, simulate and run" in done.stdout
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "qanat" in loaded
    assert loaded.isdisjoint({*HEAVY, "starlette", "uvicorn", "cryptography", "pydantic", "apsw", "asyncio"})
