"""Two ends that hold copies of one pre-shared secret: each shows it by an HMAC over both greetings.

Only then a slice of the secret is spent, its number being the later of the two ends' next ones: a stranger can
neither spend slices nor name their number. The HMAC guards the reserve and gives clear sentences; the keys'
authenticity rests on the tags of every key block, not on this.
"""

from __future__ import annotations

import hmac
from pathlib import Path

import msgspec

from qanat.core.errors import RemoteProtocolError
from qanat.core.ids import LinkId
from qanat.core.provenance import Authentication
from qanat.core.records import Role
from qanat.core.secret import SecretBits
from qanat.crypto.wegman_carter import AuthenticationPool
from qanat.node.module.door import Meeting, PeerUnproven
from qanat.node.module.secretfile import SecretFile
from qanat.node.processes.auth_reserve import AuthReserve
from qanat.node.wire import Codec


class Proof(msgspec.Struct, tag="proof", frozen=True):
    """Second frame of each end: HMAC-SHA256 under the door key."""

    tag: bytes


PROOF: Codec[Proof] = Codec(Proof)


class SecretStarter:
    """One end's copy of the secret. See ``door.Starter``."""

    authentication = Authentication.PRE_SHARED
    sentence = "pre-shared secret"

    def __init__(self, path: Path) -> None:
        self._file = SecretFile(path)
        self.reserve = self._file.reserve

    @property
    def last_epoch(self) -> int:
        return self.reserve.last_epoch

    def meeting(self, *, role: Role, link: LinkId, epoch: int, own: bytes, other: bytes) -> Meeting:
        return SecretMeeting(self.reserve, role=role, epoch=epoch, own=own, other=other)

    def close(self) -> None:
        self._file.close()


class SecretMeeting:
    """See ``door.Meeting``. Bound to the prover's role and both greetings, so that no proof serves another end or
    another time."""

    def __init__(self, reserve: AuthReserve, *, role: Role, epoch: int, own: bytes, other: bytes) -> None:
        self._reserve, self._epoch = reserve, epoch
        self.is_finished = False
        door_key = reserve.door_key()
        peer = Role.RECEIVER if role is Role.TRANSMITTER else Role.TRANSMITTER
        self._expected = _proof(door_key, peer, other, own)
        self._out = [PROOF.encode(Proof(_proof(door_key, role, own, other)))]
        door_key.wipe()

    def frames_to_send(self) -> list[bytes]:
        out, self._out = self._out, []
        return out

    def receive(self, frame: bytes) -> None:
        try:
            tag = PROOF.decode(frame).tag
        except RemoteProtocolError:
            tag = b""
        if not hmac.compare_digest(tag, self._expected):
            raise PeerUnproven("the two ends do not hold copies of one pre-shared secret")
        self.is_finished = True

    def pool(self) -> AuthenticationPool:
        return AuthenticationPool(self._reserve.claim(self._epoch), authentication=Authentication.PRE_SHARED)


def _proof(door_key: SecretBits, role: int, own: bytes, other: bytes) -> bytes:
    said = b"".join(len(part).to_bytes(4) + part for part in (b"qanat door", bytes([role]), own, other))
    return hmac.digest(door_key.reveal(), said, "sha256")
