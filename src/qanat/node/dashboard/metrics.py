"""The snapshot as Prometheus metrics. One table; the scrape and the documentation are both made from it.

Sizes are in bytes here, not in bits as everywhere else in qanat: bytes are Prometheus' base unit, and `promtool check
metrics` demands them. Rates are per second of link time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from qanat.node.dashboard.source import Snapshot

LINK_STATES = ("starting", "up", "alarmed", "requalifying", "silent")
REASONS = ("source", "all", "timeout", "failed")  # as in node/api/entrance.py, which a page need not load
PAIR_STATES = ("served", "no_route", "filling")
BYTE_BITS = 8
Sample = tuple[tuple[str, ...], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One metric: its name, meaning, labels, and its samples in a snapshot. A counter's name ends in ``_total``."""

    name: str
    help: str
    labels: tuple[str, ...]
    samples: Callable[[Snapshot], Iterable[Sample]]

    @property
    def kind(self) -> str:
        return "counter" if self.name.endswith("_total") else "gauge"


def _network(field: Callable[[Snapshot], float | None]) -> Callable[[Snapshot], Iterable[Sample]]:
    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        value = field(snapshot)
        if value is not None:
            yield (), float(value)

    return samples


def _each_link(field: Callable[[Snapshot], float | None]) -> Callable[[Snapshot], Iterable[Sample]]:
    """One sample per link that has the value: an unknown QBER is absent, not 0."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for link in snapshot["links"]:
            value = field(link)
            if value is not None:
                yield (link["id"], link["a"], link["b"]), float(value)

    return samples


def _bytes(bits: float | None) -> float | None:
    return None if bits is None else bits / BYTE_BITS


def _link_states(snapshot: Snapshot) -> Iterator[Sample]:
    for link in snapshot["links"]:
        for state in LINK_STATES:
            yield (link["id"], link["a"], link["b"], state), float(link["state"] == state)


def _pair_states(snapshot: Snapshot) -> Iterator[Sample]:
    for pair in snapshot["pairs"]:
        for state in PAIR_STATES:
            yield (pair["source"], pair["target"], state), float(pair["state"] == state)


def _raised_alarms(snapshot: Snapshot) -> Iterator[Sample]:
    newest: dict[tuple[str, str], float] = {}
    for alarm in snapshot["alarms"]:  # newest first: the first of a link and kind is its present state
        newest.setdefault((alarm["link"], alarm["kind"]), float(alarm["raised"]))
    yield from newest.items()


FATES = ("made", "delivered", "spent", "expired", "compromised", "destroyed")


def _fates(snapshot: Snapshot) -> Iterator[Sample]:
    for kme in snapshot.get("kmes", ()):
        for account in kme["accounts"]:
            for fate in FATES:
                yield (kme["site"], account["account"], fate), account[f"{fate}_bits"] / BYTE_BITS


def _held(snapshot: Snapshot) -> Iterator[Sample]:
    for kme in snapshot.get("kmes", ()):
        for account in kme["accounts"]:
            yield (kme["site"], account["account"]), account["held_bits"] / BYTE_BITS


def _keys_by_state(snapshot: Snapshot) -> Iterator[Sample]:
    for kme in snapshot.get("kmes", ()):
        for pair in kme["pairs"]:
            for state, field in (("active", "stored_keys"), ("granted", "granted_keys")):
                yield (kme["site"], pair["peer"], state), float(pair[field])


def _each_kme(field: Callable[[Snapshot], float]) -> Callable[[Snapshot], Iterable[Sample]]:
    return lambda snapshot: [((kme["site"],), float(field(kme))) for kme in snapshot.get("kmes", ())]


def _pushes(states: tuple[str, ...]) -> Callable[[Snapshot], Iterable[Sample]]:
    """Counts of ``Pushers.report``; a KME that has not yet said any is left out."""
    return lambda snapshot: [
        ((kme["site"], state), float(kme["push"][state]))
        for kme in snapshot.get("kmes", ())
        if "push" in kme
        for state in states
    ]


def _refusals(snapshot: Snapshot) -> Iterator[Sample]:
    for kme in snapshot.get("kmes", ()):
        for code, count in sorted(kme["audit"]["refused"].items()):
            yield (kme["site"], code), float(count)


def _turned_away(snapshot: Snapshot) -> Iterator[Sample]:
    for kme in snapshot.get("kmes", ()):
        for door, counts in sorted(kme.get("turned_away", {}).items()):
            for reason in REASONS:
                yield (kme["site"], door, reason), float(counts.get(reason, 0))


def _handshakes(kind: str) -> Callable[[Snapshot], Iterable[Sample]]:
    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for kme in snapshot.get("kmes", ()):
            for *labels, count in kme.get("tls", {}).get(kind, ()):
                yield (kme["site"], *labels), float(count)

    return samples


_LINK = ("link", "a", "b")

METRICS: tuple[Row, ...] = (
    Row(
        name="qanat_network_info",
        help="1; is_simulation tells whether the photons are simulated.",
        labels=("network", "is_simulation"),
        samples=lambda s: [((s["network"]["name"], str(bool(s["network"]["is_simulation"])).lower()), 1.0)],
    ),
    Row(
        name="qanat_snapshot_timestamp_seconds",
        help="Wall clock of the snapshot, seconds since 1970.",
        labels=(),
        samples=_network(lambda s: s["at_ns"] / 1e9),
    ),
    Row(
        name="qanat_link_time_seconds",
        help="Link time of the network.",
        labels=(),
        samples=_network(lambda s: s["link_time_ns"] / 1e9),
    ),
    Row(
        name="qanat_time_stretch_ratio",
        help="Seconds of wall clock per second of link time; 1 is real time.",
        labels=(),
        samples=_network(lambda s: s["stretch"]),
    ),
    Row(
        name="qanat_site_up",
        help="1 when the site's KME answers.",
        labels=("site",),
        samples=lambda s: [((site["id"],), float(site["is_up"])) for site in s["sites"]],
    ),
    Row(
        name="qanat_link_state",
        help="1 for the state that the link is in, 0 for the others.",
        labels=(*_LINK, "state"),
        samples=_link_states,
    ),
    Row(
        name="qanat_link_qber_ratio",
        help="Quantum bit error rate of the newest report; absent while unknown.",
        labels=_LINK,
        samples=_each_link(lambda link: link["qber"]),
    ),
    Row(
        name="qanat_link_sifted_bytes_per_second",
        help="Sifted key per second of link time; 8 bits to a byte.",
        labels=_LINK,
        samples=_each_link(lambda link: _bytes(link["sifted_bps"])),
    ),
    Row(
        name="qanat_link_secret_bytes_per_second",
        help="Secret key per second of link time; 8 bits to a byte.",
        labels=_LINK,
        samples=_each_link(lambda link: _bytes(link["secret_bps"])),
    ),
    Row(
        name="qanat_link_buffer_bytes",
        help="Secret key of the link in store, not yet spent.",
        labels=_LINK,
        samples=_each_link(lambda link: _bytes(link["buffer_bits"])),
    ),
    Row(
        name="qanat_link_loss_db",
        help="Loss of the link's fibre as configured.",
        labels=_LINK,
        samples=_each_link(lambda link: link["loss_db"]),
    ),
    Row(
        name="qanat_link_cut",
        help="1 while the fibre is cut by a rehearsed fault.",
        labels=_LINK,
        samples=_each_link(lambda link: link["is_cut"]),
    ),
    Row(
        name="qanat_link_blocks_made_total",
        help="Key blocks that yielded key.",
        labels=_LINK,
        samples=_each_link(lambda link: link["blocks_made"]),
    ),
    Row(
        name="qanat_link_blocks_aborted_total",
        help="Key blocks that were given up.",
        labels=_LINK,
        samples=_each_link(lambda link: link["blocks_aborted"]),
    ),
    Row(
        name="qanat_pair_stored_keys",
        help="Keys in store for a pair of sites.",
        labels=("source", "target"),
        samples=lambda s: [((pair["source"], pair["target"]), float(pair["stored_keys"])) for pair in s["pairs"]],
    ),
    Row(
        name="qanat_pair_trusted_nodes",
        help="Trusted nodes that the pair's route crosses.",
        labels=("source", "target"),
        samples=lambda s: [((p["source"], p["target"]), float(len(p["trusted_nodes"]))) for p in s["pairs"]],
    ),
    Row(
        name="qanat_pair_state",
        help="1 for the state that the pair is in, 0 for the others.",
        labels=("source", "target", "state"),
        samples=_pair_states,
    ),
    Row(
        name="qanat_alarm_raised",
        help="1 while an alarm of this kind is raised on the link, 0 once it is over.",
        labels=("link", "kind"),
        samples=_raised_alarms,
    ),
    Row(
        name="qanat_keys_delivered_total",
        help="Keys delivered to applications.",
        labels=(),
        samples=_network(lambda s: s["totals"]["keys_delivered"]),
    ),
    Row(
        name="qanat_keys_relayed_total",
        help="Keys relayed through trusted nodes.",
        labels=(),
        samples=_network(lambda s: s["totals"]["keys_relayed"]),
    ),
    Row(
        name="qanat_quarantined_bytes_total",
        help="Secret key put under quarantine after an alarm.",
        labels=(),
        samples=_network(lambda s: _bytes(s["totals"]["bits_quarantined"])),
    ),
    Row(
        name="qanat_burned_total",
        help="Keys burned: destroyed without delivery.",
        labels=(),
        samples=_network(lambda s: s["totals"]["burned"]),
    ),
    Row(
        name="qanat_kme_bytes_total",
        help="Key of one ledger account by fate; made = held + all the others.",
        labels=("site", "account", "fate"),
        samples=_fates,
    ),
    Row(
        name="qanat_kme_held_bytes",
        help="Key of one ledger account in the store, granted ones included.",
        labels=("site", "account"),
        samples=_held,
    ),
    Row(
        name="qanat_kme_keys",
        help="Keys for a peer site: active may be given to masters here, granted wait for their slave here.",
        labels=("site", "peer", "state"),
        samples=_keys_by_state,
    ),
    Row(
        name="qanat_kme_burned_total",
        help="Keys counted as delivered whose answer never left this KME.",
        labels=("site",),
        samples=_each_kme(lambda kme: kme["burned_total"]),
    ),
    Row(
        name="qanat_kme_refusals_total",
        help="Answers of the key delivery interface other than 200, by HTTP status, since the KME started.",
        labels=("site", "code"),
        samples=_refusals,
    ),
    Row(
        name="qanat_kme_pushes_total",
        help="Chunks of key streams pushed to applications: confirmed, offered again (retries), or burned unconfirmed.",
        labels=("site", "result"),
        samples=_pushes(("confirmed", "retries", "burned")),
    ),
    Row(
        name="qanat_kme_push_streams",
        help="Key streams that are pushed, and those of them that rest until their application calls again.",
        labels=("site", "state"),
        samples=_pushes(("streams", "resting")),
    ),
    Row(
        name="qanat_kme_handshakes_turned_away_total",
        help="Sockets that got no TLS connection: source or all (too many at once from there, or in all; the oldest "
        "made room), timeout, failed.",
        labels=("site", "door", "reason"),
        samples=_turned_away,
    ),
    Row(
        name="qanat_kme_handshakes_total",
        help="TLS connections that came in since the KME started, by door, key exchange and key of the caller's "
        "certificate; group unknown: Python's own ssl does not tell it.",
        labels=("site", "door", "group", "certificate"),
        samples=_handshakes("done"),
    ),
    Row(
        name="qanat_kme_handshakes_refused_total",
        help="TLS handshakes refused since the KME started, by door and reason.",
        labels=("site", "door", "reason"),
        samples=_handshakes("refused"),
    ),
    Row(
        name="qanat_audit_entries_total",
        help="Audit entries made durable since the KME started.",
        labels=("site",),
        samples=_each_kme(lambda kme: kme["audit"]["entries"]),
    ),
    Row(
        name="qanat_audit_failures_total",
        help="Groups not committed because the audit could not be written; alert on any.",
        labels=("site",),
        samples=_each_kme(lambda kme: kme["audit"]["failures"]),
    ),
)


class _SnapshotCollector(Collector):
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        for row in METRICS:
            family_of_kind = CounterMetricFamily if row.kind == "counter" else GaugeMetricFamily
            family = family_of_kind(row.name, row.help, labels=row.labels)
            for labels, value in row.samples(self._snapshot):
                family.add_metric(labels, value)
            yield family


def metrics_text(snapshot: Snapshot) -> tuple[bytes, str]:
    """The snapshot in Prometheus' text format, and its media type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_SnapshotCollector(snapshot))
    return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4


def metrics_table() -> str:
    """The metrics as a Markdown table, for the documentation."""
    lines = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for row in METRICS:
        labels = ", ".join(f"`{label}`" for label in row.labels) or "none"
        lines.append(f"| `{row.name}` | {row.kind} | {labels} | {row.help} |")
    return "\n".join(lines) + "\n"
