"""How the ends of a link knew each other reaches the application, and the weakest hop decides."""

import pytest
from tests.km.pairing import MS, S, World, a_chain, ids

from qanat.km.documents import MANDATORY_UNMET, KeyDeliveryError


def a_world(hops: int, *signed: str) -> World:
    world = World(a_chain(hops))
    world.signed_links = set(signed)
    world.run(10 * MS)
    for link in world.network.links:
        world.distil(link, 3)
    if hops > 1:
        world.route("a", "abcdefgh"[hops], *world.network.links)
    world.run(S)
    return world


def labels(world: World, slave: str, **fields) -> set[tuple[str, tuple[str, ...]]]:
    """What master and slave read in their keys."""
    container = world.enc("a1", slave, 2, **fields)
    world.run(100 * MS)
    keys = [*container.keys, *world.dec(slave, "a1", ids(container)).keys]
    return {(k.key_extension["qanat_authentication"], tuple(k.key_extension["qanat_algorithms"])) for k in keys}


SIGNED = ("ml-dsa", ("ML-DSA-87", "ML-KEM-1024+X25519"))


def test_both_applications_read_how_the_link_began():
    assert labels(a_world(1), "b1") == {("pre-shared", ())}
    assert labels(a_world(1, "a-b"), "b1") == {SIGNED}


@pytest.mark.parametrize("hop", ["a-b", "b-c", "c-d"])
def test_one_signed_hop_makes_the_whole_relayed_key_signed(hop):
    assert labels(a_world(3), "d1") == {("pre-shared", ())}
    assert labels(a_world(3, hop), "d1") == {SIGNED}


def test_a_master_that_insists_on_pre_shared_secrets_gets_no_other_key():
    wish = {"extension_mandatory": [{"qanat_authentication": "pre-shared"}]}
    assert labels(a_world(1), "b1", **wish) == {("pre-shared", ())}
    world = a_world(1, "a-b")
    with pytest.raises(KeyDeliveryError) as caught:
        world.enc("a1", "b1", **wish)
    assert caught.value.status_code in {400, 503}
    assert labels(world, "b1", extension_mandatory=[{"qanat_authentication": ["ml-dsa", "pre-shared"]}]) == {SIGNED}


@pytest.mark.parametrize("wish", ["none", 7, ["pre-shared", "x"], []])
def test_a_wish_that_cannot_be_is_refused(wish):
    with pytest.raises(KeyDeliveryError, match=MANDATORY_UNMET):
        a_world(1).enc("a1", "b1", extension_mandatory=[{"qanat_authentication": wish}])


def test_keys_within_one_site_rest_on_no_link():
    container = a_world(1).enc("a1", "a2")
    assert container.keys[0].key_extension["qanat_authentication"] is None
