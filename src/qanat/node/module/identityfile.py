"""An end's identity as two files: the private key stays, the public one goes to the other end. And the number of the
last session that was begun with it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from qanat.core.errors import EnvironmentProblem, LocalProtocolError, MisuseError
from qanat.crypto.signature import IdentityUnreadable, SigningKey, VerifyingKey
from qanat.node.entropy import SystemEntropy
from qanat.node.privatefile import create_private, privacy_problem

SIZE_BYTES_MAX = 65_536  # a public identity has 3595
PUBLIC_SUFFIX = ".pub"
EPOCH_BYTES = 8


class IdentityFileError(EnvironmentProblem):
    """An identity cannot be used as it is. `qanat identity new` makes one for this end of a link."""


def make_identity(path: Path) -> VerifyingKey:
    """A new identity: the private key with mode 0600, the public one beside it with ``.pub``.

    Raises:
        MisuseError: a file exists already: it may be in use.
        EnvironmentProblem: it cannot be written.
    """
    public_path = path.with_name(path.name + PUBLIC_SUFFIX)
    for each in (path, public_path):
        if each.exists():
            raise MisuseError(f"{each} exists already; remove it first if no end uses it any more")
    identity = SigningKey.drawn(SystemEntropy())
    for each, data in ((path, identity.pem()), (public_path, identity.verifying_key.pem())):
        try:
            create_private(each, data)
        except FileExistsError:
            raise MisuseError(f"{each} appeared just now; nothing was overwritten") from None
    public_path.chmod(0o644)
    return identity.verifying_key


def own_identity(path: Path) -> SigningKey:
    """Raises: IdentityFileError, IdentityUnreadable."""
    data, status = _read(path)
    problem = privacy_problem(path, status)
    if problem is not None:
        raise IdentityFileError(problem)
    return SigningKey.from_pem(data)


def public_identity(path: Path) -> VerifyingKey:
    """Raises: IdentityFileError, IdentityUnreadable."""
    return VerifyingKey.from_pem(_read(path)[0])


def any_identity(path: Path) -> VerifyingKey:
    """The public half of whichever of the two files this is.

    Raises: IdentityFileError, IdentityUnreadable.
    """
    try:
        return public_identity(path)
    except IdentityUnreadable:
        return own_identity(path).verifying_key


def spoken(key: VerifyingKey) -> str:
    """The fingerprint in groups, to be compared aloud."""
    text = key.fingerprint.hex()
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


class EpochBook:
    """The number of the last session of one link, claimed for this process; the kernel drops the claim with it.

    Raises:
        IdentityFileError: in use by another process, or no such file as we write.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise IdentityFileError(f"{path} cannot be opened: {error.strerror}") from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.last_epoch = self._read()
        except BlockingIOError:
            os.close(self._fd)
            raise IdentityFileError(f"{path} is in use: another process is this end of the link") from None
        except IdentityFileError:
            os.close(self._fd)
            raise

    def claim(self, epoch: int) -> None:
        """From now on this number is taken, whatever happens.

        Raises:
            LocalProtocolError: it was taken before.
        """
        if not self.last_epoch < epoch < 2**32:
            raise LocalProtocolError(f"session {epoch} after {self.last_epoch}")
        os.pwrite(self._fd, epoch.to_bytes(EPOCH_BYTES), 0)
        os.fsync(self._fd)
        self.last_epoch = epoch

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _read(self) -> int:
        data = os.pread(self._fd, EPOCH_BYTES + 1, 0)
        epoch = int.from_bytes(data)
        if len(data) not in {0, EPOCH_BYTES} or epoch >= 2**32 - 1:
            raise IdentityFileError(f"{self._path} does not hold the number of a session; remove it at both ends")
        return epoch


def _read(path: Path) -> tuple[bytes, os.stat_result]:
    try:
        with path.open("rb") as file:
            return file.read(SIZE_BYTES_MAX), os.fstat(file.fileno())
    except OSError as error:
        raise IdentityFileError(f"identity {path} cannot be opened: {error.strerror}") from None
