"""The pre-shared secret of a QKD link's end, spent slice by slice.

Both ends hold the same file, brought there once by a trusted person (on one machine: written by the
supervisor at first start). Every start of a session takes a fresh slice; the slice's number is on disk, and
the slice itself overwritten, before a single bit of it is used. So no authentication bit serves twice, not
even after kill -9.

Behind the slices lies a door key: by it two ends that meet on an open port see that they hold copies of one file,
before a slice is spent on each other (``module/secret_door.py``). It authenticates no key.
"""

from __future__ import annotations

import os
from pathlib import Path

from qanat.core.errors import SecretExhausted
from qanat.core.ids import LinkId, SiteId
from qanat.core.secret import SecretBits
from qanat.core.topology import Network
from qanat.node.statedir import StateDir

# A made key block spends 64 bytes and puts 64 back, so a slice lasts as long as its session does.
SLICE_SIZE_BYTES = 4 * 1024
SLICE_COUNT = 256
DOOR_KEY_BYTES = 32
FILE_SIZE_BYTES = 8 + SLICE_SIZE_BYTES * SLICE_COUNT + DOOR_KEY_BYTES


class ReserveExhausted(SecretExhausted):
    """The pre-shared secret of this link is used up: every start of a session takes one of
    its 256 slices. Stop the network, remove the `links` folders of both sites and start again: that stands
    for bringing a new secret to both ends."""


def reserve_path(state: StateDir, site: SiteId, link: LinkId) -> Path:
    return state.node(site) / "links" / f"{link}.secret"


def provision_links(state: StateDir, network: Network) -> None:
    """A pre-shared secret for every link that has none."""
    for link in network.links.values():
        transmitter, receiver = link.sites
        provision((reserve_path(state, transmitter, link.id), reserve_path(state, receiver, link.id)))


def new_secret() -> bytes:
    """A fresh file: the newest epoch spent, 8 bytes; the slices; the door key."""
    return (0).to_bytes(8) + os.urandom(SLICE_SIZE_BYTES * SLICE_COUNT + DOOR_KEY_BYTES)


def provision(paths: tuple[Path, Path]) -> None:
    """Write the same new secret at both ends, unless both have one already."""
    if all(path.exists() for path in paths):
        return
    secret = new_secret()
    for path in paths:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(handle)


class AuthReserve:
    """One end's copy."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            self.last_epoch = int.from_bytes(file.read(8))

    def door_key(self) -> SecretBits:
        """Shows the other end that we hold a copy of its file; serves again and again."""
        with self._path.open("rb") as file:
            file.seek(FILE_SIZE_BYTES - DOOR_KEY_BYTES)
            return SecretBits(file.read(DOOR_KEY_BYTES))

    def claim(self, epoch: int) -> SecretBits:
        """The slice of this epoch; from now on spent, whatever happens.

        Raises:
            ReserveExhausted: no slice of that number is left.
        """
        if not self.last_epoch < epoch <= SLICE_COUNT:
            raise ReserveExhausted(f"epoch {epoch} after {self.last_epoch}, of {SLICE_COUNT}")
        place = 8 + (epoch - 1) * SLICE_SIZE_BYTES
        with self._path.open("r+b") as file:
            file.seek(place)
            secret = SecretBits(file.read(SLICE_SIZE_BYTES))
            file.seek(0)
            file.write(epoch.to_bytes(8))
            file.seek(place)
            file.write(bytes(SLICE_SIZE_BYTES))
            file.flush()
            os.fsync(file.fileno())
        self.last_epoch = epoch
        return secret
