"""Which key exchanges and certificates the TLS connections of one KME use, and which handshakes it refused."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from qanat.node.api.handshake_told import NOISE, NOT_HYBRID, REASONS, Handshake, OnHandshake

LOG_INTERVAL_S = 60.0  # of the same reason at the same door: whoever knocks all day must not fill the disk
HOW_TO_ALLOW = ' Give it OpenSSL 3.5 or newer, or write pq_tls = "preferred" into the network file.'

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class TlsSeen:
    """Counts, and tells.

    Attributes:
        on_refused: Door, reason and what is known besides, for each refused handshake that is more than noise.
        on_peer: Another KME and how our line to it is protected, each time that differs from the time before.
        clock_s: Monotonic seconds.
        done: Handshakes by door, group and certificate.
        refused: By door and reason.
        peers: How the newest line to each other KME is protected.
    """

    on_refused: Callable[[str, str, str], None] = lambda _door, _reason, _detail: None
    on_peer: Callable[[str, Handshake], None] = lambda _peer, _handshake: None
    clock_s: Callable[[], float] = time.monotonic
    done: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    peers: dict[str, Handshake] = field(default_factory=dict)
    _logged_s: dict[tuple[str, str], float] = field(default_factory=dict)

    def at(self, door: str) -> OnHandshake:
        """What a door calls at the end of each handshake."""
        return lambda handshake: self._note(door, handshake)

    def line_stands(self, peer: str, handshake: Handshake) -> None:
        """We have connected to another KME."""
        if self.peers.get(peer) != handshake:
            self.peers[peer] = handshake
            self.on_peer(peer, handshake)

    def counts(self) -> dict[str, Any]:
        """For reports; JSON values only."""
        return {
            "done": [[*labels, count] for labels, count in sorted(self.done.items())],
            "refused": [[*labels, count] for labels, count in sorted(self.refused.items())],
            "peers": {
                peer: {"group": one.group, "certificate": one.certificate, "version": one.version}
                for peer, one in sorted(self.peers.items())
            },
        }

    def _note(self, door: str, handshake: Handshake) -> None:
        if not handshake.refused:
            self.done[door, handshake.group, handshake.certificate] += 1
            return
        self.refused[door, handshake.refused] += 1
        if handshake.refused in NOISE:
            return
        self.on_refused(door, handshake.refused, handshake.detail)
        self._log(door, handshake)

    def _log(self, door: str, handshake: Handshake) -> None:
        key, now_s = (door, handshake.refused), self.clock_s()
        if now_s - self._logged_s.get(key, -LOG_INTERVAL_S) < LOG_INTERVAL_S:
            return
        self._logged_s[key] = now_s
        detail = f" ({handshake.detail})" if handshake.detail else ""
        advice = HOW_TO_ALLOW if handshake.refused == NOT_HYBRID else ""
        _log.warning("TLS refused at door %s: %s%s.%s", door, REASONS[handshake.refused], detail, advice)


def protection(handshake: Handshake) -> str:
    """One line's protection, in a sentence.

    Example:
        >>> protection(Handshake(group="X25519MLKEM768", certificate="ml-dsa-65", version="TLSv1.3"))
        'TLSv1.3, key exchange X25519MLKEM768, certificate ml-dsa-65'
    """
    return f"{handshake.version}, key exchange {handshake.group}, certificate {handshake.certificate}"
