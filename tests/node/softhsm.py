"""A SoftHSM token of the tests: a folder of its own, and the PKCS#11 module that Debian installs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from qanat.core.ids import SiteId
from qanat.node.statedir import StateDir
from qanat.node.token.settings import settings_path

PIN, SO_PIN = "only-in-tests-e", "only-in-tests-pi"  # no number: a log full of numbers would hold it by chance
_MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)


def _module() -> str:
    found = [path for path in _MODULES if os.path.exists(path)]
    if not found or shutil.which("softhsm2-util") is None:
        if os.environ.get("CI"):
            pytest.fail("SoftHSM is not installed: apt-get install softhsm2")
        pytest.skip("SoftHSM is not installed: apt-get install softhsm2")
    return found[0]


class SoftHsm:
    """Tokens in ``folder``. Processes find them by the environment variable SOFTHSM2_CONF."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.module = _module()
        self.tokens, self._away = folder / "tokens", folder / "tokens-away"
        self.tokens.mkdir(parents=True)
        config = folder / "softhsm2.conf"
        config.write_text(f"directories.tokendir = {self.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
        monkeypatch.setenv("SOFTHSM2_CONF", str(config))

    def make(self, label: str = "vault") -> None:
        self.util("--init-token", "--free", "--label", label, "--so-pin", SO_PIN, "--pin", PIN)

    def util(self, *arguments: str) -> str:
        done = subprocess.run(["softhsm2-util", *arguments], capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def unplug(self) -> None:
        self.tokens.rename(self._away)
        self.tokens.mkdir()

    def plug_in(self) -> None:
        self.tokens.rmdir()
        self._away.rename(self.tokens)

    def name_in(self, state: StateDir, site: SiteId, *, pin: str | None = PIN, token: str = "vault") -> Path:
        """Write ``kek.toml``, and the PIN file unless people are to type it. Returns where the PIN lies."""
        pin_file = state.node(site) / "pin"
        line = ""
        if pin is not None:
            write_pin(pin_file, pin)
            line = 'pin_file = "pin"\n'
        settings_path(state, site).write_text(f'[pkcs11]\nmodule = "{self.module}"\ntoken = "{token}"\n{line}')
        return pin_file


def write_pin(path: Path, pin: str) -> None:
    path.write_text(pin + "\n")
    path.chmod(0o600)
