"""What each event of a KME becomes in the audit. The key IDs of a delivery enter only under a keyed hash."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any

from qanat.core.ids import KeyId
from qanat.km.events import (
    BlockRefused,
    BlockStored,
    CommandApplied,
    CommandIgnored,
    KeyDelivered,
    KeysBurned,
    KeysExpired,
    KeysQuarantined,
    RelayAltered,
    RelayCompleted,
    RelayForwarded,
    RelayLost,
)
from qanat.node.audit.entry import Value

Row = tuple[str, dict[str, Value]]
KEY_HASH_BYTES = 16  # 128 bits: no two of any number of keys that a KME can deliver meet

# What the log itself writes, beside the kinds below.
OWN_KINDS = {
    "started": "The KME opened its audit: version, certificate, the key that signs.",
    "stopped": "It closed it in good order.",
    "checkpoint": "Signature over everything before it.",
    "refused": "Answers other than 200, counted per caller and status since the last such entry.",
    "peer": "What another KME did against the protocol, counted likewise.",
    "void": "The entries named were written, but their group was never committed: nothing of it left.",
    "recovered": "The last line was torn when the process died; its bytes are removed and described.",
    "restored": "Lines that the file had lost, with the power as a rule, were put back from the key store.",
    "broken": "The files ended before what the key store remembers: lines were cut off or files taken away.",
}


def key_hash(secret: bytes, key_id: KeyId) -> str:
    """A key ID as the audit names it; whoever has the KME's audit key can tell which key it was."""
    return hmac.digest(secret, key_id.bytes, "sha256")[:KEY_HASH_BYTES].hex()


def _delivered(event: KeyDelivered, secret: bytes) -> dict[str, Value]:
    return {
        "role": event.role,
        "caller": event.caller,
        "partner": event.partner,
        "count": event.count,
        "size_bits": event.size_bits,
        "keys": [key_hash(secret, key_id) for key_id in event.key_ids],
    }


def _quarantined(event: KeysQuarantined, _: bytes) -> dict[str, Value]:
    by = event.told_by or "command"
    return {"link": event.link, "since_ns": event.since_ns, "size_bits": event.size_bits, "by": by}


def _command(event: CommandApplied | CommandIgnored, _: bytes) -> dict[str, Value]:
    command = event.command
    facts: dict[str, Value] = {
        "revision": command.revision,
        "action": command.action.value,
        "why": command.reason[:200],
    }
    if command.link is not None:
        facts["link"] = command.link
    if command.links:
        facts["route"] = [str(link) for link in command.links]
    if isinstance(event, CommandIgnored):
        facts["ignored"] = event.reason
    return facts


def _altered(event: RelayAltered, _: bytes) -> dict[str, Value]:
    return {
        "relay": event.relay,
        "origin": event.origin,
        "target": event.target,
        "suspects": [str(site) for site in event.suspects],
        "certain": str(event.is_certain).lower(),
    }


def _plain(*names: str) -> Callable[[Any, bytes], dict[str, Value]]:
    def facts(event: Any, _: bytes) -> dict[str, Value]:
        return {name: getattr(event, name) for name in names if getattr(event, name) is not None}

    return facts


KINDS: dict[type, tuple[str, str, Callable[[Any, bytes], dict[str, Value]]]] = {
    KeyDelivered: ("delivered", "Keys left to an application, once for each role.", _delivered),
    KeysQuarantined: ("quarantined", "Keys were condemned; by a command, or told by a KME of the link.", _quarantined),
    KeysExpired: ("expired", "Bits of an account came to the end of their lifetime.", _plain("account", "size_bits")),
    KeysBurned: ("burned", "Keys counted as delivered whose answer never left.", _plain("count")),
    BlockStored: ("block_taken", "A key block came from a QKD module.", _plain("block", "link", "size_bits")),
    BlockRefused: ("block_refused", "A key block was refused.", _plain("block", "link", "size_bits", "reason")),
    RelayCompleted: ("relayed", "Keys reached the other end of a relay.", _plain("relay", "target", "size_bits")),
    RelayForwarded: (
        "relay_passed",
        "Keys of two other sites, or one share of them, were in this node in clear.",
        _plain("relay", "origin", "target", "size_bits"),
    ),
    RelayLost: ("relay_lost", "A relay did not arrive.", _plain("relay", "target", "reason")),
    RelayAltered: ("relay_altered", "Somebody on the way changed relayed keys, or a share of them.", _altered),
    CommandApplied: ("command", "A command of the controller was obeyed.", _command),
    CommandIgnored: ("command_ignored", "A command of the controller was not obeyed.", _command),
}


def row_of(event: object, secret: bytes) -> Row | None:
    """None for what is counted elsewhere (``refusals.py``)."""
    found = KINDS.get(type(event))
    if found is None:
        return None
    kind, _, facts = found
    return kind, facts(event, secret)
