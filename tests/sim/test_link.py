"""The statistical link: honest lengths, no key under attack, equal copies."""

from pathlib import Path

from qanat.core.ids import LinkId
from qanat.core.netfile import network_from_toml
from qanat.core.streams import Streams
from qanat.core.timebase import NS_PER_S
from qanat.physics.attack import Cut, InterceptResend
from qanat.sim.entropy import SimulatedEntropy
from qanat.sim.link import StatisticalLink, copy_of

TINY = network_from_toml((Path(__file__).parents[2] / "networks" / "tiny.toml").read_text(encoding="utf-8"))


def link(seed: int = 1) -> StatisticalLink:
    chosen, streams = TINY.links[LinkId("mitte-moabit")], Streams(seed=seed)
    return StatisticalLink(
        link=chosen,
        fibre=TINY.fibres[chosen.fibre],
        stream_seed=streams.seed_bytes("q", 32),
        entropy=SimulatedEntropy(streams, "k"),
    )


def test_a_quiet_link_makes_blocks_with_fewer_secret_than_sifted_bits() -> None:
    report, block_report, block = link().next_window(NS_PER_S, 5)
    assert block_report is not None
    assert block is not None
    assert block_report.aborted is None
    assert 0 < block_report.secret_bits == block.bits.size_bits < block_report.sifted_bits
    assert block_report.leak_bits > 0
    assert (block.start_ns, block.end_ns, report.made_at_ns) == (0, NS_PER_S, 5)
    assert block.provenance.simulated
    assert block.provenance.epsilon_total >= 1e-10


def test_intercept_resend_gives_a_quarter_of_errors_and_no_key() -> None:
    attacked = link()
    attacked.set_attacks((InterceptResend(1.0),))
    report, block_report, block = attacked.next_window(NS_PER_S, 0)
    assert report.qber is not None
    # About 7000 test bits: five standard deviations of 25 % are 2.6 %; misalignment adds 0.5 %.
    assert 0.22 < report.qber < 0.29
    assert block is None
    assert block_report is not None
    assert block_report.aborted is not None
    assert "QBER" in block_report.aborted


def test_a_cut_fibre_fills_no_block() -> None:
    dark = link()
    dark.set_attacks((Cut(),))
    report, block_report, block = dark.next_window(NS_PER_S, 0)
    assert (block_report, block) == (None, None)
    assert report.sifted_count < 10_000  # dark counts: 4e-6 per gate, 1e9 gates, half of them sifted


def test_the_copy_is_equal_and_wiped_apart() -> None:
    _, _, block = link().next_window(NS_PER_S, 0)
    assert block is not None
    other = copy_of(block)
    assert other.bits == block.bits
    block.bits.wipe()
    assert other.bits != block.bits


def test_the_same_seed_makes_the_same_link() -> None:
    first, second, other = link(1), link(1), link(2)
    windows = [[one.next_window(NS_PER_S, 0)[0] for _ in range(3)] for one in (first, second, other)]
    assert windows[0] == windows[1]
    assert windows[0] != windows[2]
