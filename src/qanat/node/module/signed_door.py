"""Two ends that hold each other's public identity: signatures at the door, see ``distill/signed_start.py``."""

from __future__ import annotations

from pathlib import Path

from qanat.core.errors import MisuseError
from qanat.core.ids import LinkId
from qanat.core.provenance import Authentication
from qanat.core.records import Role
from qanat.crypto.wegman_carter import AuthenticationPool
from qanat.distill.signed_start import ALGORITHMS, SignedStart
from qanat.node.entropy import SystemEntropy
from qanat.node.module.door import Meeting
from qanat.node.module.identityfile import EpochBook, own_identity, public_identity


class SignedStarter:
    """This end's identity and the other's. See ``door.Starter``.

    Raises:
        IdentityFileError: a file is missing, readable by others, or in use for this link.
        IdentityUnreadable: it holds no identity.
        MisuseError: both identities are the same.
    """

    authentication = Authentication.ML_DSA
    sentence = f"signatures ({', '.join(ALGORITHMS)})"

    def __init__(self, identity: Path, peer: Path, link: LinkId) -> None:
        self._identity, self._peer = own_identity(identity), public_identity(peer)
        if self._identity.verifying_key == self._peer:
            raise MisuseError(f"{peer} is this end's own identity; --peer names that of the other end")
        self._epochs = EpochBook(identity.with_name(f"{identity.name}.{link}.epoch"))

    @property
    def last_epoch(self) -> int:
        return self._epochs.last_epoch

    def meeting(self, *, role: Role, link: LinkId, epoch: int, own: bytes, other: bytes) -> Meeting:
        greetings = (own, other) if role is Role.TRANSMITTER else (other, own)
        start = SignedStart(
            role=role,
            link=link,
            epoch=epoch,
            identity=self._identity,
            peer=self._peer,
            binding=b"".join(len(part).to_bytes(4) + part for part in greetings),
            entropy=SystemEntropy(),
        )
        return SignedMeeting(start, self._epochs, epoch)

    def close(self) -> None:
        self._epochs.close()


class SignedMeeting:
    """See ``door.Meeting``. The number of the session is on disk before its secret is used: key blocks get their
    names from it."""

    def __init__(self, start: SignedStart, epochs: EpochBook, epoch: int) -> None:
        self._start, self._epochs, self._epoch = start, epochs, epoch

    @property
    def is_finished(self) -> bool:
        return self._start.is_finished

    def frames_to_send(self) -> list[bytes]:
        return self._start.frames_to_send()

    def receive(self, frame: bytes) -> None:
        self._start.receive(frame)

    def pool(self) -> AuthenticationPool:
        self._epochs.claim(self._epoch)
        return self._start.pool()
