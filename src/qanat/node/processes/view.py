"""The public picture of the network: what the page, the metrics and the command line show. No secrets."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import asdict
from typing import Any

from qanat.core.ids import LinkId, SiteId
from qanat.core.report import BlockReport, LinkReport
from qanat.core.timebase import NS_PER_S
from qanat.core.topology import Link, Network
from qanat.node.processes.loop import Loop
from qanat.node.processes.stretch import Stretch

# Rates and QBER are averages over this much link time.
AVERAGE_NS = 2 * NS_PER_S

BLOCKS_KEPT = 1000  # key blocks per link whose derivation can be asked for: some 3 MB
BLOCKS_LISTED = 50


class LinkView:
    """Rolling statistics of one link."""

    def __init__(self) -> None:
        self.reports: deque[LinkReport] = deque()
        self.blocks: deque[BlockReport] = deque(maxlen=BLOCKS_KEPT)
        self.made_count = 0
        self.aborted_count = 0
        self.seen_ns = 0  # link time reported since the hub started

    def on_report(self, report: LinkReport) -> None:
        if self.reports and report.start_ns < self.reports[-1].start_ns:
            self.reports.clear()
        self.reports.append(report)
        self.seen_ns += report.duration_ns
        while self.reports[0].start_ns < report.start_ns - AVERAGE_NS:
            self.reports.popleft()

    def on_block(self, report: BlockReport) -> None:
        self.blocks.append(report)
        if report.aborted is None:
            self.made_count += 1
        else:
            self.aborted_count += 1

    @property
    def link_time_ns(self) -> int:
        return self.reports[-1].start_ns + self.reports[-1].duration_ns if self.reports else 0

    @property
    def qber(self) -> float | None:
        tests = sum(report.test_count for report in self.reports)
        return sum(report.error_count for report in self.reports) / tests if tests else None

    @property
    def sifted_bps(self) -> float | None:
        duration_ns = sum(report.duration_ns for report in self.reports)
        return sum(report.sifted_count for report in self.reports) * NS_PER_S / duration_ns if duration_ns else None

    @property
    def secret_bps(self) -> float | None:
        """Over the last few key blocks, aborted ones counted as nothing."""
        recent = [block for block in self.blocks if block.end_ns > self.link_time_ns - 5 * AVERAGE_NS]
        if not recent:
            return None
        span_ns = max(block.end_ns for block in recent) - min(block.start_ns for block in recent)
        return sum(block.secret_bits for block in recent) * NS_PER_S / span_ns if span_ns else None


def block_summary(report: BlockReport | None) -> dict[str, Any] | None:
    if report is None:
        return None
    whole = asdict(report) | {"epsilon_total": sum(report.epsilon.values())}
    del whole["terms"]  # asked for one block at a time
    return whole


class NetworkView:
    """Everything the snapshot is made from."""

    def __init__(self, network: Network, loop: Loop) -> None:
        self.network = network
        self._loop = loop
        self.links = {link: LinkView() for link in network.links}
        self.stores: dict[SiteId, dict[str, Any]] = {}
        self.sites_up: set[SiteId] = set()
        self.attacks: dict[LinkId, list[dict[str, Any]]] = {link: [] for link in network.links}
        self.cut: set[str] = set()
        self.stretch = Stretch()
        self._sequence = 0

    def on_report(self, report: LinkReport) -> None:
        self.links[report.link].on_report(report)
        slowest_ns = min(view.link_time_ns for view in self.links.values())
        if slowest_ns:
            self.stretch.observe(wall_ns=time.time_ns(), link_time_ns=slowest_ns)

    def snapshot(self) -> dict[str, Any]:
        self._sequence += 1
        network = self.network
        return {
            "sequence": self._sequence,
            "at_ns": time.time_ns(),
            "network": {"name": network.name, "is_simulation": network.is_simulation},
            "link_time_ns": max((view.seen_ns for view in self.links.values()), default=0),
            "stretch": self.stretch.value,
            "sites": [asdict(site) | {"is_up": site.id in self.sites_up} for site in network.sites.values()],
            "links": [self.link(link) for link in network.links.values()],
            "pairs": self._pairs(),
            "alarms": [asdict(alarm) for alarm in self._loop.alarms],
            "journal": [asdict(entry) for entry in self._loop.journal.newest],
            "totals": self._totals(),
            "kmes": list(self.stores.values()),
        }

    def link(self, link: Link) -> dict[str, Any]:
        view = self.links[link.id]
        fibre = self.network.fibres[link.fibre]
        made = [block for block in view.blocks if block.aborted is None]
        return {
            "id": link.id,
            "a": link.transmitter_site,
            "b": link.receiver_site,
            "fibre": link.fibre,
            "length_km": fibre.length_km,
            "loss_db": round(fibre.loss_db, 3),
            "state": str(self._loop.controller.link_state(link.id)),
            "qber": view.qber,
            "sifted_bps": view.sifted_bps,
            "secret_bps": view.secret_bps,
            "buffer_bits": min(self._buffer_bits(site, link.id) for site in link.sites),
            "quarantined_bits": {site: self._quarantined_bits(site, link.id) for site in link.sites},
            "blocks_made": view.made_count,
            "blocks_aborted": view.aborted_count,
            "last_block": block_summary(made[-1] if made else None),
            "last_abort": next((block.aborted for block in reversed(view.blocks) if block.aborted), None),
            "attacks": [entry["name"] for entry in self.attacks[link.id]],
            "is_cut": link.fibre in self.cut,
        }

    def _buffer_bits(self, site: SiteId, link: LinkId) -> int:
        held = {item["link"]: item["held_bits"] for item in self.stores.get(site, {}).get("links", ())}
        return int(held.get(link, 0))

    def _quarantined_bits(self, site: SiteId, link: LinkId) -> int:
        accounts = self.stores.get(site, {}).get("accounts", ())
        return sum(int(item["compromised_bits"]) for item in accounts if item["account"] == link)

    def _stored_keys(self, source: SiteId, target: SiteId) -> int:
        stored = {item["peer"]: item["stored_keys"] for item in self.stores.get(source, {}).get("pairs", ())}
        return int(stored.get(target, 0))

    def _pairs(self) -> list[dict[str, Any]]:
        rows = []
        for (source, target), route in sorted(self._loop.controller.routes.items()):
            stored = self._stored_keys(source, target)
            state = "no_route" if not route.links else "served" if stored else "filling"
            rows.append(
                {
                    "source": source,
                    "target": target,
                    "links": list(route.links),
                    "state": state,
                    "trusted_nodes": list(route.trusted_nodes),
                    "stored_keys": stored,
                }
            )
        return rows

    def _totals(self) -> dict[str, int]:
        """From the KMEs' ledgers. A key is delivered twice: to its master and to its slave."""
        accounts = [account for store in self.stores.values() for account in store["accounts"]]
        key_size_bits = self.network.policy.key_size_bits

        def total(name: str, prefix: str = "") -> int:
            return sum(int(account[name]) for account in accounts if str(account["account"]).startswith(prefix))

        return {
            "keys_delivered": total("delivered_bits") // key_size_bits,
            "keys_relayed": total("made_bits", "relay/") // (2 * key_size_bits),  # both ends book it
            "bits_quarantined": total("compromised_bits"),
            "burned": sum(int(store["burned_total"]) for store in self.stores.values()),
        }
