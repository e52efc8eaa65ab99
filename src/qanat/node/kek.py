"""The key that encrypts a site's store (key encryption key, KEK), and who guards it between two starts.

The file ``kek`` of a node names its guard in the first line:

``development``   the KEK itself, as digits. It guards a store that is copied alone, not this machine.
``shamir``        the KEK, encrypted under a root key that exists only as shares: the KME starts sealed.
``pkcs11``        the KEK, encrypted under a root key that a token computes from a key that never leaves it.

A second file, ``kek.next``, exists while a store changes from one KEK to another (``store/opening.py``).
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path

from qanat.core.errors import EnvironmentProblem, QanatError
from qanat.core.ids import SiteId
from qanat.core.ports import Entropy
from qanat.core.secret import SecretBits
from qanat.crypto.at_rest import SealBroken, open_sealed, seal
from qanat.crypto.shamir import Share, split
from qanat.node.instance import own_or_first
from qanat.node.privatefile import create_private, write_private
from qanat.node.statedir import StateDir

KEK_BYTES = 32
KEK_LABEL = "development"
SHAMIR_LABEL = "shamir"
TOKEN_LABEL = "pkcs11"  # noqa: S105 - a guard's name
_AAD = b"qanat kek"


class Sealed(EnvironmentProblem):
    """The key that encrypts this store is sealed, under shares or by a token. Start the KME and unseal it with
    `qanat kme unseal SITE`."""


class WrongRoot(QanatError):
    """These shares give another key than the one that sealed this store. At least one of them was altered or is
    not what it says; begin again with all shares."""


class WrongTokenKey(WrongRoot):
    """The token's key does not open the key encryption key in the `kek` file: the file was changed, or another key took
    that one's place. Bring the file back from a backup; without it the keys in this store are lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKey:
    """Which key, on which token, guards a KEK. None of it is secret.

    Attributes:
        token, serial: Of the token that it was made on. A copy of that token serves as well.
        key_id: CKA_ID, hexadecimal.
        salt: Random and new with each key, hexadecimal.
    """

    token: str
    serial: str
    key_id: str
    salt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KekFile:
    """What a kek file says.

    Attributes:
        label: Who guards the KEK.
        body: The KEK (``development``), or the KEK under the root key.
        token_key: With which a token computes the root key; None without a token.
        set_name: Of the shares; empty without shares.
        threshold, shares: How many are needed, and were made; 0 without shares.
    """

    label: str
    body: SecretBits
    set_name: str = ""
    threshold: int = 0
    shares: int = 0
    token_key: TokenKey | None = None

    @property
    def is_sealed(self) -> bool:
        return self.label != KEK_LABEL

    @property
    def needs(self) -> str:
        """What opens it, in words."""
        if self.token_key is not None:
            return f"token {self.token_key.token} is needed"
        return f"{self.threshold} of {self.shares} shares are needed"

    @property
    def guardian(self) -> str:
        """Who guards it, in words."""
        if self.token_key is not None:
            return f"PKCS#11 token {self.token_key.token}, serial {self.token_key.serial}"
        if self.label == SHAMIR_LABEL:
            return f"{self.threshold} of {self.shares} shares"
        return "nobody: it lies beside the store (development)"

    @classmethod
    def of_token(cls, key: TokenKey) -> KekFile:
        """A guard that has no KEK yet; see ``with_kek``."""
        return cls(label=TOKEN_LABEL, body=SecretBits(b""), token_key=key)

    @classmethod
    def load(cls, path: Path) -> KekFile:
        """Raises: EnvironmentProblem: it is missing or damaged."""
        try:
            label, _, rest = path.read_text("ascii").partition("\n")
            if label == SHAMIR_LABEL:
                fields = json.loads(rest)
                file = cls(label=label, body=SecretBits(bytes.fromhex(fields.pop("sealed"))), **fields)
            elif label == TOKEN_LABEL:
                fields = json.loads(rest)
                body = SecretBits(bytes.fromhex(fields.pop("sealed")))
                file = cls(label=label, body=body, token_key=_token_key(fields))
            else:
                file = cls(label=label, body=SecretBits(bytes.fromhex(rest)))
        except (OSError, ValueError, TypeError, KeyError):
            raise _unreadable_kek(path) from None
        if label not in (KEK_LABEL, SHAMIR_LABEL, TOKEN_LABEL) or (
            label == KEK_LABEL and file.body.size_bytes != KEK_BYTES
        ):
            raise _unreadable_kek(path)
        return file

    def to_bytes(self) -> bytes:
        digits = self.body.reveal().hex()  # to its private file: sealed, or in the open by the label's word
        if not self.is_sealed:
            return f"{self.label}\n{digits}".encode()
        fields: dict[str, object]
        if self.token_key is not None:
            fields = asdict(self.token_key)
        else:
            fields = {"set_name": self.set_name, "threshold": self.threshold, "shares": self.shares}
        return f"{self.label}\n{json.dumps(fields | {'sealed': digits})}\n".encode()

    def kek(self, root: SecretBits | None) -> SecretBits:
        """The KEK.

        Raises:
            Sealed: it needs a root key.
            WrongRoot: another one than this.
        """
        if not self.is_sealed:
            return self.body.take(0, KEK_BYTES)
        if root is None:
            raise Sealed(self.needs)
        try:
            return SecretBits(open_sealed(root.reveal(), self.body.reveal(), self._aad))  # AES wants bytes
        except SealBroken:
            raise (WrongRoot if self.token_key is None else WrongTokenKey) from None

    @property
    def _aad(self) -> bytes:
        if self.token_key is not None:
            return _AAD + json.dumps([TOKEN_LABEL, *astuple(self.token_key)]).encode()
        return _AAD + f"/{self.set_name}/{self.threshold}/{self.shares}".encode()

    def with_kek(self, kek: SecretBits, root: SecretBits | None, entropy: Entropy) -> KekFile:
        """The same guard around another KEK."""
        body = kek.take(0, KEK_BYTES)
        if self.is_sealed:
            if root is None:
                raise Sealed(self.needs)
            body = SecretBits(seal(root.reveal(), kek.reveal(), self._aad, entropy))  # AES wants bytes
        return replace(self, body=body)


def _token_key(fields: dict[str, object]) -> TokenKey:
    """Raises: TypeError, ValueError: these are not the fields of one."""
    if not all(isinstance(value, str) for value in fields.values()):
        raise TypeError("a token's key is described by texts")
    key = TokenKey(**fields)  # type: ignore[arg-type]  # each is a text, see above
    bytes.fromhex(key.key_id)
    return key


def new_kek(entropy: Entropy) -> SecretBits:
    return SecretBits(entropy.random_bytes(KEK_BYTES))


def shared_kek(kek: SecretBits, *, shares: int, threshold: int, entropy: Entropy) -> tuple[KekFile, list[Share]]:
    """A kek file guarded by a new root key, and the shares of it. The root key is kept nowhere.

    Raises:
        MisuseError: such shares cannot be made.
    """
    root = new_kek(entropy)
    try:
        made = split(root, shares=shares, threshold=threshold, entropy=entropy)
        empty = KekFile(
            label=SHAMIR_LABEL, body=SecretBits(b""), set_name=made[0].set_name, threshold=threshold, shares=shares
        )
        return empty.with_kek(kek, root, entropy), made
    finally:
        root.wipe()


def kek_path(state: StateDir, site: SiteId) -> Path:
    """A further instance (``mitte@2``) that has no file of its own shares the first one's."""
    return own_or_first(state, site, "kek")


def next_path(path: Path) -> Path:
    return path.with_name("kek.next")


def write_next(path: Path, file: KekFile) -> None:
    """Put the KEK to come beside the one that holds. Raises: EnvironmentProblem."""
    write_private(next_path(path), file.to_bytes())


def provide_kek(state: StateDir, site: SiteId) -> None:
    """Draw the site's key at its first start.

    Raises:
        EnvironmentProblem: it is damaged, or missing while there is a store that needs it.
    """
    path = kek_path(state, site)
    if path.exists():
        KekFile.load(path).body.wipe()
        return
    if state.store(site).exists():
        raise _unreadable_kek(path)
    create_private(path, f"{KEK_LABEL}\n{os.urandom(KEK_BYTES).hex()}".encode())


def read_kek(state: StateDir, site: SiteId) -> SecretBits:
    """The key that encrypts a site's store, where no share is needed for it.

    Raises:
        EnvironmentProblem: it is missing or damaged.
        Sealed: it needs shares.
    """
    return KekFile.load(kek_path(state, site)).kek(None)


def _unreadable_kek(path: Path) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"{path}, the key that encrypts {path.parent / 'store.db'}, is missing or damaged. Bring it back from a "
        "backup, or move both away: the keys stored at this site are then lost, and new ones are made."
    )
