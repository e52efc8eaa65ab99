"""The key that encrypts a site's store (key encryption key, KEK), and who guards it between two starts.

The file ``kek`` of a node names its guard in the first line:

``development``   the KEK itself, as digits. It guards a store that is copied alone, not this machine.
``shamir``        the KEK, encrypted under a root key that exists only as shares: the KME starts sealed.

A second file, ``kek.next``, exists while a store changes from one KEK to another (``store/opening.py``).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
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
_AAD = b"qanat kek"


class Sealed(EnvironmentProblem):
    """The key that encrypts this store is sealed: it is needed in shares. Start the KME and give them with
    `qanat kme unseal SITE`."""


class WrongRoot(QanatError):
    """These shares give another key than the one that sealed this store. At least one of them was altered or is
    not what it says; begin again with all shares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KekFile:
    """What a kek file says.

    Attributes:
        label: Who guards the KEK.
        body: The KEK (``development``), or the KEK under the root key.
        set_name: Of the shares; empty without shares.
        threshold, shares: How many are needed, and were made; 0 without shares.
    """

    label: str
    body: SecretBits
    set_name: str = ""
    threshold: int = 0
    shares: int = 0

    @property
    def is_sealed(self) -> bool:
        return self.label != KEK_LABEL

    @classmethod
    def load(cls, path: Path) -> KekFile:
        """Raises: EnvironmentProblem: it is missing or damaged."""
        try:
            label, _, rest = path.read_text("ascii").partition("\n")
            if label == SHAMIR_LABEL:
                fields = json.loads(rest)
                file = cls(label=label, body=SecretBits(bytes.fromhex(fields.pop("sealed"))), **fields)
            else:
                file = cls(label=label, body=SecretBits(bytes.fromhex(rest)))
        except (OSError, ValueError, TypeError, KeyError):
            raise _unreadable_kek(path) from None
        if label not in (KEK_LABEL, SHAMIR_LABEL) or (label == KEK_LABEL and file.body.size_bytes != KEK_BYTES):
            raise _unreadable_kek(path)
        return file

    def to_bytes(self) -> bytes:
        digits = self.body.reveal().hex()  # to its private file: sealed, or in the open by the label's word
        if not self.is_sealed:
            return f"{self.label}\n{digits}".encode()
        fields = {"set_name": self.set_name, "threshold": self.threshold, "shares": self.shares, "sealed": digits}
        return f"{self.label}\n{json.dumps(fields)}\n".encode()

    def kek(self, root: SecretBits | None) -> SecretBits:
        """The KEK.

        Raises:
            Sealed: it needs a root key.
            WrongRoot: another one than this.
        """
        if not self.is_sealed:
            return self.body.take(0, KEK_BYTES)
        if root is None:
            raise Sealed(f"{self.threshold} of {self.shares} shares are needed")
        try:
            return SecretBits(open_sealed(root.reveal(), self.body.reveal(), self._aad))  # AES wants bytes
        except SealBroken:
            raise WrongRoot from None

    @property
    def _aad(self) -> bytes:
        return _AAD + f"/{self.set_name}/{self.threshold}/{self.shares}".encode()

    def with_kek(self, kek: SecretBits, root: SecretBits | None, entropy: Entropy) -> KekFile:
        """The same guard around another KEK."""
        body = kek.take(0, KEK_BYTES)
        if self.is_sealed:
            if root is None:
                raise Sealed(f"{self.threshold} of {self.shares} shares are needed")
            body = SecretBits(seal(root.reveal(), kek.reveal(), self._aad, entropy))  # AES wants bytes
        return KekFile(
            label=self.label, body=body, set_name=self.set_name, threshold=self.threshold, shares=self.shares
        )


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
