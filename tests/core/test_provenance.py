"""Labels that cannot lie: what a key rests on, and the weakest part of it."""

import itertools

import pytest

from qanat.core.ids import LinkId, SiteId
from qanat.core.provenance import Authentication, Origin, Provenance, joined, weakest

SIGNED = ("ML-DSA-87", "ML-KEM-1024+X25519")


def label(link="a-b", authentication=Authentication.PRE_SHARED, algorithms=(), **changes):
    values = {"origin": Origin.QKD, "links": (LinkId(link),), "epsilon_total": 1e-10, "simulated": False}
    return Provenance(**{**values, "authentication": authentication, "algorithms": algorithms, **changes})


def test_authentication_is_spelled_out_wherever_there_is_a_link():
    with pytest.raises(TypeError):
        Provenance(origin=Origin.QKD, links=(LinkId("a-b"),), epsilon_total=0.0, simulated=False)
    with pytest.raises(ValueError):
        label(authentication=None)
    with pytest.raises(ValueError):
        label(links=())
    local = label(origin=Origin.LOCAL, links=(), authentication=None)
    assert "authentication" not in local.sentence()


def test_a_signed_beginning_names_its_algorithms_and_no_other_does():
    assert (
        "authentication ml-dsa; rests on ML-DSA-87"
        in label(authentication=Authentication.ML_DSA, algorithms=SIGNED).sentence()
    )
    assert "authentication pre-shared" in label().sentence()
    with pytest.raises(ValueError):
        label(authentication=Authentication.ML_DSA)
    with pytest.raises(ValueError):
        label(authentication=Authentication.PRE_SHARED, algorithms=SIGNED)


def test_a_whole_is_as_weak_as_its_weakest_part_in_any_order():
    signed = label("b-c", Authentication.ML_DSA, SIGNED)
    for parts in itertools.permutations((label(), signed, label("c-d"))):
        whole = joined(parts, (SiteId("b"), SiteId("c")))
        assert whole.authentication is Authentication.ML_DSA
        assert whole.algorithms == SIGNED
    assert joined((label(), label("c-d")), (SiteId("b"),)).authentication is Authentication.PRE_SHARED
    assert weakest([None, None]) is None
    assert weakest([None, Authentication.PRE_SHARED]) is Authentication.PRE_SHARED
