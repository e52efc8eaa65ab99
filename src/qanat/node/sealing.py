"""A sealed KME: it collects shares until they open its KEK. Or waits for its token: ``token/sealing.py``."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from qanat.core.ids import SiteId
from qanat.core.ports import Entropy
from qanat.core.secret import SecretBits
from qanat.crypto.shamir import Share, ShareRefused, joined
from qanat.node.kek import TOKEN_LABEL, KekFile, WrongRoot, kek_path
from qanat.node.statedir import StateDir
from qanat.node.token.sealing import TokenSealing


class Sealing:
    """Shares of one site in memory, until there are enough; afterwards the root key.

    The root key stays as long as the process runs, so that a rotation can seal the next KEK without people.
    """

    def __init__(self, site: SiteId, path: Path) -> None:
        """Raises: EnvironmentProblem."""
        self._site = site
        self.file = KekFile.load(path)
        self._shares: dict[int, Share] = {}
        self.root: SecretBits | None = None
        self.next_root: SecretBits | None = None  # shares guard the root key: every KEK has the same

    @property
    def is_sealed(self) -> bool:
        return self.file.is_sealed and self.root is None

    @property
    def missing(self) -> int:
        """Shares still needed."""
        return self.file.threshold - len(self._shares) if self.is_sealed else 0

    @property
    def waiting(self) -> str:
        """For what; anybody may read it."""
        return f"{self.missing} shares are missing"

    @property
    def problem(self) -> str:
        return self.waiting if self.is_sealed else ""

    @property
    def asks(self) -> str:
        """What people must type next."""
        return "share" if self.is_sealed else ""

    def start(self) -> None:
        """Shares come from people only."""

    def settle(self) -> None:
        """The store is open: nothing more to know."""

    def renewed(self, text: str, entropy: Entropy) -> None:
        """The guard stays when the KEK changes."""

    def adopt(self, text: str, root: SecretBits) -> None:
        """Unused: see ``renewed``."""

    def add(self, text: str) -> int:
        """Take one share.

        Returns:
            How many are still missing; 0 when the KME is unsealed.

        Raises:
            ShareRefused: mistyped, foreign, or given already.
            WrongRoot: this was the last one, and they do not fit together; all are forgotten.
        """
        if not self.is_sealed:
            raise ShareRefused(f"the KME of {self._site} is not sealed")
        share = Share.from_text(text)
        if share.set_name != self.file.set_name:
            raise ShareRefused(
                f"this share is of set {share.set_name}, but the KME of {self._site} is sealed with set "
                f"{self.file.set_name}"
            )
        if share.x in self._shares:
            raise ShareRefused(f"share {share.x} was given already; {self.missing} others are missing")
        self._shares[share.x] = share
        if self.missing == 0:
            self._open()
        return self.missing

    def _open(self) -> None:
        root = joined(list(self._shares.values()))
        for share in self._shares.values():
            share.value.wipe()
        self._shares.clear()
        try:
            self.file.kek(root).wipe()
        except WrongRoot:
            root.wipe()
            raise
        self.root = root


AnySealing: TypeAlias = Sealing | TokenSealing


def sealing_of(state: StateDir, site: SiteId) -> AnySealing:
    """What keeps a site's KEK closed.

    Raises:
        EnvironmentProblem: the kek file is missing or damaged.
    """
    path = kek_path(state, site)
    return TokenSealing(state, site, path) if KekFile.load(path).label == TOKEN_LABEL else Sealing(site, path)
