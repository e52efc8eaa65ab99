"""What a KME's events become in the journal: a few sentences a second, however many keys go out."""

from __future__ import annotations

from collections import Counter, deque

from qanat.km.events import (
    KeyDelivered,
    KeysDiscarded,
    KeysQuarantined,
    KmeEvent,
    PeerMisbehaved,
    RelayLost,
    StoreRestored,
)

# A hub that reads twice a second needs no more; a flood of peer nonsense must not fill memory.
SENTENCE_COUNT_MAX = 100


class Telling:
    """Gathers events, gives sentences."""

    def __init__(self) -> None:
        self._delivered: Counter[tuple[str, str, str]] = Counter()
        self._sentences: deque[tuple[str, str]] = deque(maxlen=SENTENCE_COUNT_MAX)

    def note(self, event: KmeEvent) -> None:
        match event:
            case KeyDelivered():
                self._delivered[event.role, event.caller, event.partner] += event.count
            case KeysQuarantined() if event.size_bits:
                self._sentences.append(
                    ("note", f"{event.size_bits} bits that rest on link {event.link} quarantined ({event.count} keys)")
                )
            case RelayLost():
                self._sentences.append(("note", f"a relay to {event.target} was lost: {event.reason}"))
            case PeerMisbehaved():
                self._sentences.append(("note", f"the KME of {event.peer} misbehaved: {event.reason}"))
            case StoreRestored():
                self._sentences.append(
                    (
                        "note",
                        f"the key store is an old copy ({event.reason}): no key leaves until it is recovered",
                    )
                )
            case KeysDiscarded():
                self._sentences.append(
                    ("note", f"{event.size_bits} bits shared with {event.peer} destroyed: {event.reason}")
                )
            case _:
                pass  # stored blocks and finished relays show in the store report

    def drain(self) -> list[tuple[str, str]]:
        """(kind, sentence) pairs since the last call."""
        for (role, caller, partner), count in self._delivered.items():
            self._sentences.append(
                ("delivery", f"{count} key{'s' * (count != 1)} to {caller} ({role}, with {partner})")
            )
        self._delivered.clear()
        told = list(self._sentences)
        self._sentences.clear()
        return told
