"""Events of the engines as lines of a trace: counts and names, nothing else."""

from __future__ import annotations

from qanat.core.alarms import Alarm, Command
from qanat.core.report import BlockReport
from qanat.core.timebase import NS_PER_S, text_from_ns
from qanat.km.events import (
    BlockRefused,
    BlockStored,
    CommandApplied,
    CommandIgnored,
    KeyDelivered,
    KeysBurned,
    KeysDiscarded,
    KeysExpired,
    KeysQuarantined,
    KmeEvent,
    PartnerRefused,
    PeerMisbehaved,
    RelayCompleted,
    RelayForwarded,
    RelayLost,
    StoreRestored,
)


def event_text(event: KmeEvent) -> str:
    """What a KME said happened."""
    match event:
        case KeyDelivered():
            return f"{event.count} keys of {event.size_bits} bits to {event.caller} as {event.role}"
        case BlockStored():
            return f"stored {event.block}, {event.size_bits} bits"
        case BlockRefused():
            return f"refused {event.block}, {event.size_bits} bits: {event.reason}"
        case KeysQuarantined():
            since = text_from_ns(event.since_ns)
            return f"quarantined {event.piece_count} pieces, {event.size_bits} bits, of {event.link} since {since}"
        case KeysExpired():
            return f"{event.size_bits} bits of {event.account} expired"
        case KeysBurned():
            return f"{event.count} keys burned"
        case RelayCompleted():
            took = text_from_ns(event.duration_ns)
            return f"{event.relay} reached {event.target}: {event.size_bits} bits by {_via(event.links)} in {took}"
        case RelayLost():
            return f"{event.relay} to {event.target} is lost: {event.reason}"
        case RelayForwarded():
            return f"{event.relay} passes, {event.origin} to {event.target}, {event.size_bits} bits"
        case PeerMisbehaved():
            return f"{event.peer} misbehaves: {event.reason}"
        case PartnerRefused():
            return f"partner {event.partner} refuses a request with {event.status_code}"
        case StoreRestored():
            return f"the store is an old copy: {event.reason}"
        case KeysDiscarded():
            return f"destroyed {event.size_bits} bits shared with {event.peer}: {event.reason}"
        case CommandApplied():
            return f"applied {command_text(event.command)}"
        case CommandIgnored():
            return f"ignored {command_text(event.command)}: {event.reason}"


def command_text(command: Command) -> str:
    """A command in a few words."""
    what = command.link or f"{command.source} -> {command.target} by {_via(command.links)}"
    since = f" from {command.since_ns / NS_PER_S:.3f} s" if command.since_ns else ""
    return f"{command.revision} {command.action} {what}{since}"


def alarm_text(alarm: Alarm) -> str:
    """An alarm with its evidence."""
    state = "raised" if alarm.raised else "over"
    return f"{alarm.number} {alarm.kind} {state} ({alarm.severity}): {alarm.evidence}"


def block_text(report: BlockReport) -> str:
    """How a key block ended."""
    if report.aborted is not None:
        return f"{report.block} aborted: {report.aborted}"
    qber = f", QBER {100 * report.qber_x:.2f} %" if report.qber_x is not None else ""
    return f"{report.block}: {report.secret_bits} secret bits from {report.sifted_bits} sifted{qber}"


def _via(links: tuple[str, ...]) -> str:
    return " + ".join(links) or "no way"
