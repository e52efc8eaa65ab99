"""Which token guards a site's KEK: the file ``kek.toml`` in the site's folder, and where the PIN comes from."""

from __future__ import annotations

import os
import stat
import tomllib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import SiteId
from qanat.core.secret import SecretBits
from qanat.node.privatefile import privacy_problem, write_private
from qanat.node.statedir import StateDir


class TokenProblem(EnvironmentProblem):
    """The token that guards this site's key encryption key could not do what was asked. Nothing was changed. Mend what
    the line before says; then `qanat kme unseal SITE` tries again, and so does the next start."""


class PinRefused(TokenProblem):
    """The token refused the PIN. Tokens lock after a few wrong ones, so nothing tries it a second time: put the right
    PIN into the file that `kek.toml` names and run `qanat kme unseal SITE`, or type it there if no file is named."""


class _Pkcs11(msgspec.Struct, forbid_unknown_fields=True):
    """The table ``[pkcs11]`` of kek.toml.

    Attributes:
        module: The maker's PKCS#11 library, an absolute path.
        token: The token's label.
        serial: Its serial number, where several bear the label.
        key: Label of the key that is made on it; "qanat-kek-SITE" if left out.
        pin_file: Mode 0600, one line, relative to the folder of kek.toml. Left out, people type the PIN at each start.
    """

    module: str
    token: str
    serial: str = ""
    key: str = ""
    pin_file: str | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    pkcs11: _Pkcs11


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSettings:
    """A site's token; fields as in ``kek.toml``."""

    module: str
    token: str
    serial: str
    key: str
    pin_file: Path | None

    @property
    def _refusal(self) -> Path:
        """Which PIN file the token refused, by its time of change."""
        assert self.pin_file is not None
        return self.pin_file.with_name(f".{self.pin_file.name}.refused")

    def pin(self) -> SecretBits:
        """The PIN from its file.

        Raises:
            TokenProblem: there is none, or others can read it.
            PinRefused: the token refused just this file already; a KME that restarts must not lock its token.
        """
        assert self.pin_file is not None, "asked only where a file is named"
        try:
            status = self.pin_file.stat()
            if (why := privacy_problem(self.pin_file, status)) is not None:
                raise TokenProblem(f"the PIN of token {self.token} is not safe: {why}")
            if self._refusal.exists() and self._refusal.read_text() == _age(status):
                raise PinRefused(
                    f"token {self.token} refused the PIN in {self.pin_file} before, and it did not change: not tried"
                )
            return SecretBits(self.pin_file.read_bytes().rstrip(b"\r\n"))
        except OSError as error:
            raise TokenProblem(
                f"{self.pin_file}, which kek.toml names, cannot be read: {error.strerror}. Put the PIN of token "
                f"{self.token} there, mode 0600."
            ) from None

    def note_refusal(self) -> None:
        if self.pin_file is not None:
            write_private(self._refusal, _age(self.pin_file.stat()).encode())

    def forget_refusal(self) -> None:
        if self.pin_file is not None:
            self._refusal.unlink(missing_ok=True)


def settings_path(state: StateDir, site: SiteId) -> Path:
    return state.node(site) / "kek.toml"


def token_settings(state: StateDir, site: SiteId) -> TokenSettings:
    """What ``kek.toml`` says.

    Raises:
        TokenProblem: it is missing or wrong, or names a library that others could replace.
    """
    path = settings_path(state, site)
    try:
        table = msgspec.convert(tomllib.loads(path.read_text("utf-8")), _File).pkcs11
    except FileNotFoundError:
        raise TokenProblem(
            f"{path} is missing, which says where the token of {site} is. The how-to guide on sealed KMEs shows one."
        ) from None
    except (OSError, ValueError) as error:  # what tomllib and msgspec raise are ValueErrors
        raise TokenProblem(f"{path} cannot be used: {error}. The how-to guide on sealed KMEs shows one.") from None
    _check_module(path, table.module)
    return TokenSettings(
        module=table.module,
        token=table.token,
        serial=table.serial,
        key=table.key or f"qanat-kek-{site}",
        pin_file=None if table.pin_file is None else path.parent / table.pin_file,
    )


def _check_module(path: Path, module: str) -> None:
    """It is code that we run beside the PIN: nobody else may be able to change it."""
    if not os.path.isabs(module):
        raise TokenProblem(f"{path}: module is {module!r}; name the PKCS#11 library by an absolute path.")
    try:
        status = os.stat(module)
    except OSError as error:
        raise TokenProblem(
            f"the PKCS#11 module {module}, which {path} names, cannot be read: {error.strerror}. Install the library "
            "of the token's maker, or mend the path."
        ) from None
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
        raise TokenProblem(
            f"the PKCS#11 module {module} can be changed by other users (mode {stat.S_IMODE(status.st_mode):04o}, "
            f"owner {status.st_uid}). Install it as root."
        )


def _age(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns} {status.st_size}"
