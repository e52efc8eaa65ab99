"""A KME whose KEK a token guards: sealed until the token gave the root key, once at each start."""

from __future__ import annotations

import logging
from pathlib import Path

from qanat.core.errors import MisuseError, QanatError
from qanat.core.ids import SiteId
from qanat.core.ports import Entropy
from qanat.core.secret import SecretBits
from qanat.node.kek import KekFile, TokenKey, next_path
from qanat.node.statedir import StateDir
from qanat.node.token.device import Token
from qanat.node.token.settings import TokenProblem, token_settings


class TokenSealing:
    """As ``node.sealing.Sealing``, with a token in place of share holders.

    The root key stays as long as the process runs, so the token may be taken out until the next start or rotation.
    """

    waiting = "its token has not opened it yet"

    def __init__(self, state: StateDir, site: SiteId, path: Path) -> None:
        """Raises: EnvironmentProblem."""
        self._state, self._site, self._path = state, site, path
        self.file = KekFile.load(path)
        self.root: SecretBits | None = None
        self.next_root: SecretBits | None = None
        self.problem = self.waiting

    @property
    def is_sealed(self) -> bool:
        return self.root is None

    @property
    def missing(self) -> int:
        return 1 if self.is_sealed else 0

    @property
    def asks(self) -> str:
        """What people must type; nothing where the PIN lies in a file."""
        try:
            return "" if self._token().settings.pin_file is not None else "PIN"
        except TokenProblem:
            return ""

    def start(self) -> None:
        """Open with the PIN of the file, if there is one. What fails is told, and waits for ``add``: a process that
        ended instead would be started again and again, and each start is one of the token's few tries."""
        try:
            if self._token().settings.pin_file is None:
                self.problem = f"token {self._token().settings.token} needs its PIN: `qanat kme unseal {self._site}`"
                return
            self._open(None)
        except QanatError as error:
            self.problem = error.detail or str(error)

    def add(self, text: str) -> int:
        """Open with a typed PIN, or with that of the file.

        Returns:
            0: the KME is unsealed.

        Raises:
            TokenProblem: see there.
            WrongRoot: the kek file was changed, or the key on the token was.
        """
        if not self.is_sealed:
            raise MisuseError(f"the KME of {self._site} is not sealed")
        try:
            self._open(self._typed(text))
        except QanatError as error:
            self.problem = error.detail or str(error)
            raise
        return 0

    def settle(self) -> None:
        """The store is open, by whichever of two KEKs it was that held: that one's root key is ours."""
        before, self.file = self.file, KekFile.load(self._path)
        if self.next_root is not None and self.file.token_key != before.token_key:
            self.root = self.next_root
        self.next_root = None

    def renewed(self, text: str, entropy: Entropy) -> tuple[KekFile, SecretBits]:
        """A new key on the token for the next KEK, and its root key. The old one stays until ``adopt``."""
        key, root = self._token().create(self._typed(text), entropy)
        return KekFile.of_token(key), root

    def adopt(self, text: str, root: SecretBits) -> None:
        """The new KEK holds: go over to it, and destroy the key of the one before."""
        before, self.root = self.file, root
        self.file = KekFile.load(self._path)
        if before.token_key is not None:
            forget(self._token(), before.token_key, self._typed(text))

    def _open(self, pin: SecretBits | None) -> None:
        token = self._token()
        self.file = KekFile.load(self._path)
        root = token.root(_key_of(self.file), pin)
        self.file.kek(root).wipe()
        if next_path(self._path).exists():  # of a rotation that was killed: the store says which of the two holds
            coming = KekFile.load(next_path(self._path))
            self.next_root = None if coming.token_key is None else token.root(coming.token_key, pin)
        self.root = root
        self.problem = ""

    def _token(self) -> Token:
        return Token(self._site, token_settings(self._state, self._site))

    def _typed(self, text: str) -> SecretBits | None:
        if self._token().settings.pin_file is not None:
            return None
        if not text:
            raise TokenProblem(f"the PIN of token {self._token().settings.token} is needed, and kek.toml names no file")
        return SecretBits(text.encode())


def forget(token: Token, key: TokenKey, pin: SecretBits | None) -> None:
    """Destroy a key that nothing needs any more; a token that cannot is no reason to fail what is done already."""
    try:
        token.destroy(key, pin)
    except TokenProblem as error:
        logging.warning("key %s stays on the token, where nothing uses it: %s", key.key_id, error.detail)


def _key_of(file: KekFile) -> TokenKey:
    if file.token_key is None:
        raise TokenProblem("the kek file is no longer guarded by a token. Restart the KME.")
    return file.token_key
