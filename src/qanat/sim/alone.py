"""One link of a network by itself: what ``run_sim`` would count on it, without key managers, applications and faults.

The glass and the proof are those of the whole rehearsal, with the same seed, so the totals are the same to the bit;
only nobody uses the keys.
"""

from __future__ import annotations

from qanat.core.ids import LinkId
from qanat.core.streams import Streams
from qanat.core.topology import Network
from qanat.sim.entropy import SimulatedEntropy
from qanat.sim.link import StatisticalLink
from qanat.sim.modules import LinkTotals
from qanat.sim.run import WINDOW_NS


def link_totals(
    network: Network, link_id: LinkId, *, duration_ns: int, seed: int, window_ns: int = WINDOW_NS
) -> LinkTotals:
    """Totals of one link after ``duration_ns`` of link time, in whole windows."""
    link, streams = network.links[link_id], Streams(seed=seed)
    statistical = StatisticalLink(
        link=link,
        fibre=network.fibres[link.fibre],
        stream_seed=streams.seed_bytes(f"quantum/{link.id}", 32),
        entropy=SimulatedEntropy(streams, f"link/{link.id}"),
    )
    totals = LinkTotals()
    for end_ns in range(window_ns, duration_ns + 1, window_ns):
        report, block_report, block = statistical.next_window(window_ns, end_ns)
        totals.windows += 1
        totals.tests += report.test_count
        totals.errors += report.error_count
        if block_report is not None:
            totals.blocks += block_report.aborted is None
            totals.aborted += block_report.aborted is not None
            totals.secret_bits += block_report.secret_bits
        if block is not None:
            block.bits.wipe()
    return totals
