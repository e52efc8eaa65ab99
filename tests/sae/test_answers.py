"""What the KME writes about a key is what the application reads."""

from __future__ import annotations

import json

import pytest

from qanat.core.ids import LinkId, SiteId
from qanat.core.provenance import Authentication, Origin, Provenance
from qanat.core.trust import Trust
from qanat.km.extensions import extension_from_provenance
from qanat.sae.answers import provenance_from_extension

A_B, B_C, B = LinkId("a-b"), LinkId("b-c"), SiteId("b")


@pytest.mark.parametrize(
    "provenance",
    [
        Provenance(
            origin=Origin.QKD,
            links=(A_B,),
            authentication=Authentication.PRE_SHARED,
            epsilon_total=1e-9,
            simulated=False,
        ),
        Provenance(
            origin=Origin.QKD,
            links=(A_B, B_C),
            trusted_nodes=(B,),
            authentication=Authentication.PRE_SHARED,
            epsilon_total=2e-9,
            simulated=True,
        ),
        Provenance(
            origin=Origin.QKD,
            links=(A_B, B_C),
            trusted_nodes=(B, SiteId("d")),
            trust=(Trust.OWN, Trust.LEASED),
            share_paths=((B,), (SiteId("d"),)),
            threshold=2,
            authentication=Authentication.PRE_SHARED,
            epsilon_total=4e-9,
            simulated=False,
        ),
        Provenance(
            origin=Origin.HYBRID,
            links=(A_B,),
            authentication=Authentication.PRE_SHARED,
            algorithms=("ML-KEM-768",),
            epsilon_total=0.0,
            simulated=False,
        ),
        Provenance(
            origin=Origin.PQC,
            links=(),
            authentication=None,
            algorithms=("ML-KEM-1024",),
            epsilon_total=0.0,
            simulated=False,
        ),
        Provenance(origin=Origin.LOCAL, links=(), authentication=None, epsilon_total=0.0, simulated=False),
    ],
    ids=lambda provenance: provenance.sentence(),
)
def test_a_label_survives_the_wire(provenance: Provenance) -> None:
    wire = json.loads(json.dumps(extension_from_provenance(provenance)))
    assert provenance_from_extension(wire) == provenance
    assert all(name.startswith("qanat_") for name in wire)  # the standard: a vendor's names carry its prefix


def test_another_makers_extension_is_no_label() -> None:
    assert provenance_from_extension({"acme_route": "direct"}) is None
