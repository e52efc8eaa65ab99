"""A ring of seven sites with two chords; golf is not trusted, so nothing may be relayed there."""

from __future__ import annotations

from itertools import pairwise

import pytest

from qanat.core.ids import FibreId, LinkId, SaeId, SiteId
from qanat.core.topology import Demand, Fibre, Link, Network, Policy, Sae, Site

NAMES = ("alfa", "bravo", "charlie", "delta", "echo", "foxtrot", "golf")
RING = [*pairwise(NAMES), ("alfa", "golf")]
CHORDS = [("alfa", "delta"), ("bravo", "echo")]
DEMANDS = [("alfa", "bravo"), ("alfa", "charlie"), ("bravo", "delta"), ("charlie", "foxtrot"), ("alfa", "golf")]


def build(
    edges: list[tuple[str, str]],
    demands: list[tuple[str, str]],
    *,
    untrusted: tuple[str, ...] = ("golf",),
    policy: Policy | None = None,
) -> Network:
    """A network of 20 km links named `a-b`, one SAE per site."""
    names = sorted({name for edge in edges for name in edge})
    return Network(
        name="test",
        is_simulation=True,
        sites={
            SiteId(name): Site(
                id=SiteId(name), name=name, latitude_deg=0.0, longitude_deg=0.0, is_trusted=name not in untrusted
            )
            for name in names
        },
        fibres={
            FibreId(f"{a}-{b}"): Fibre(
                id=FibreId(f"{a}-{b}"), ends=(SiteId(a), SiteId(b)), length_km=20.0, attenuation_db_per_km=0.2
            )
            for a, b in edges
        },
        links={
            LinkId(f"{a}-{b}"): Link(
                id=LinkId(f"{a}-{b}"),
                transmitter_site=SiteId(a),
                receiver_site=SiteId(b),
                fibre=FibreId(f"{a}-{b}"),
                protocol="decoy-bb84",
                transmitter="any",
                receiver="any",
                clock_hz=1e9,
                block_sifted_bits=1_000_000,
                pulse_block_ns=50_000_000,
                epsilon_sec=1e-9,
                epsilon_cor=1e-12,
            )
            for a, b in edges
        },
        saes={SaeId(f"sae-{name}"): Sae(id=SaeId(f"sae-{name}"), site=SiteId(name)) for name in names},
        demands=tuple(Demand(saes=(SaeId(f"sae-{a}"), SaeId(f"sae-{b}")), rate_bits_per_s=1000.0) for a, b in demands),
        policy=policy or Policy(),
    )


@pytest.fixture
def network() -> Network:
    return build(RING + CHORDS, DEMANDS)


@pytest.fixture
def building() -> object:
    """For tests that want another shape."""
    return build
