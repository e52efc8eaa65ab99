"""The link that tests of simulated modules share."""

from qanat.core.ids import FibreId, LinkId, SiteId
from qanat.core.topology import Link

LINK = Link(
    id=LinkId("a-b"),
    transmitter_site=SiteId("a"),
    receiver_site=SiteId("b"),
    fibre=FibreId("duct"),
    protocol="decoy-bb84",
    transmitter="decoy-1ghz",
    receiver="ingaas-gated",
    clock_hz=1e9,
    block_sifted_bits=200_000,
    pulse_block_ns=20_000_000,
    epsilon_sec=1e-9,
    epsilon_cor=1e-15,
)
