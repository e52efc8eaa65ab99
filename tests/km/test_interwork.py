"""ETSI GS QKD 020 between two operators' KMEs in one process: requests are lost, doubled and late, stores crash."""

from __future__ import annotations

import base64
import json
import random
import uuid
from dataclasses import replace
from typing import Any

import pytest
from tests.km.pairing import S, World, a_network, ids, survived

from qanat.core.ids import SaeId, SiteId
from qanat.core.topology import Partner
from qanat.km.documents import NOT_FOUND, KeyDeliveryError
from qanat.km.events import PartnerRefused
from qanat.km.interwork import documents as doc
from qanat.km.interwork.documents import InterworkError
from qanat.km.interwork.engine import ACK_TIMEOUT_NS, BUFFER_KEYS

HOME, AWAY = "https://home:1", "https://away:1"


class Border:
    """Two networks; ``a1`` of the one and ``b1`` of the other share keys. Each side's site has the same letter as its
    applications, so the helpers of ``World`` serve both."""

    def __init__(self) -> None:
        self.home = World(replace(a_network(["a-x"], []), partners=_partner("away", "a", AWAY, HOME, "a1", "b1")))
        self.away = World(replace(a_network(["b-y"], []), partners=_partner("home", "b", HOME, AWAY, "b1", "a1")))
        self.fate: Any = lambda: 1  # how often a request arrives; 0 loses it, and its answer may be lost too
        self.answers: Any = lambda: True
        self.codes: list[int] = []

    def side(self, name: str) -> tuple[World, str, World, str]:
        return (self.home, "a", self.away, "b") if name == "home" else (self.away, "b", self.home, "a")

    def carry(self, rounds: int = 4) -> None:
        """Each side's requests to the other, as hosts would send them."""
        for _ in range(rounds):
            for name in ("home", "away"):
                mine, site, theirs, their_site = self.side(name)
                mine.run(3 * S)
                with survived():
                    requests = mine.call(site, lambda kme, m=mine: kme.border.requests_to_send(m.now_ns))
                    for request in requests:
                        self._arrive(name, request, mine, site, theirs, their_site)

    def _arrive(self, name: str, request: Any, mine: World, site: str, theirs: World, their_site: str) -> None:
        code = 0
        for _ in range(self.fate()):
            code = self.given(theirs, their_site, name, request.path, request.body)
        if code and self.answers():
            with survived():
                mine.call(site, lambda kme: kme.border.answered(request.number, code))

    def given(self, world: World, site: str, partner: str, path: str, body: bytes) -> int:
        """What the door of ``node.api.etsi020`` does with a body."""
        try:
            if path == "/ack":
                acks = doc.acks_from_json(body)
                world.call(site, lambda kme: kme.border.on_acks(partner, acks))
                return 200
            if path == "/void":
                void = doc.void_from_json(body)
                world.call(site, lambda kme: kme.border.on_void(partner, void))
                return 202
            transfer = doc.transfer_from_json(body)
            world.call(site, lambda kme: kme.border.on_ext_keys(partner, transfer, world.now_ns))
            return 202
        except InterworkError as error:
            self.codes.append(error.status_code)
            return error.status_code
        except Exception as error:
            if type(error).__name__ == "StoreCrashed":
                return 0
            raise


def _partner(name: str, site: str, url: str, own: str, ours: str, theirs: str) -> dict[str, Partner]:
    pairs = ((SaeId(ours), SaeId(theirs)),)
    return {name: Partner(id=name, site=SiteId(site), url=url, own_url=own, pairs=pairs)}


def transfer_json(**changes: Any) -> bytes:
    body = {
        "keys": [{"key_id": str(uuid.UUID(int=7, version=4)), "value": base64.b64encode(bytes(range(32))).decode()}],
        "initiator_sae_id": "a1",
        "target_sae_ids": ["b1"],
        "ack_callback_url": HOME + "/kmapi/v1/ext_keys/ack",
    }
    return json.dumps(body | changes).encode()


def test_a_key_is_given_to_our_application_only_after_the_partner_has_it() -> None:
    border = Border()
    border.fate = lambda: 0
    border.carry()
    with pytest.raises(KeyDeliveryError) as caught:
        border.home.enc("a1", "b1")
    assert caught.value.status_code == 503
    border.fate = lambda: 1
    border.home.run(20 * S)
    border.carry()
    for _ in range(3):
        sent = border.home.enc("a1", "b1", number=2)
        got = border.away.dec("b1", "a1", ids(sent))
        assert [key.key for key in got.keys] == [key.key for key in sent.keys]
        assert sent.keys[0].key_extension["qanat_key_origin"] == "external"
    border.home.check_ledgers()
    border.away.check_ledgers()


def test_both_directions_have_a_buffer_that_is_filled_again() -> None:
    border = Border()
    border.carry()
    for world, ours, theirs in ((border.home, "a1", "b1"), (border.away, "b1", "a1")):
        status = world.call(ours[0], lambda kme, w=world, o=ours, t=theirs: kme.status(SaeId(o), SaeId(t), w.now_ns))
        assert status.stored_key_count == BUFFER_KEYS
        world.enc(ours, theirs, number=BUFFER_KEYS)
        border.carry()
        assert world.enc(ours, theirs, number=BUFFER_KEYS).keys


def test_a_slow_partner_is_waited_for_as_long_as_was_said() -> None:
    border = Border()
    border.home.run(S)
    (request,) = border.home.call("a", lambda kme: kme.border.requests_to_send(border.home.now_ns))
    border.home.run(ACK_TIMEOUT_NS - 5 * S)
    assert border.given(border.away, "b", "home", "", request.body) == 202
    border.carry()
    sent = border.home.enc("a1", "b1", number=16)
    assert border.away.dec("b1", "a1", ids(sent)).keys


def test_a_key_is_delivered_once_at_each_end() -> None:
    border = Border()
    border.carry()
    (name,) = ids(border.home.enc("a1", "b1"))
    border.away.dec("b1", "a1", [name])
    with pytest.raises(KeyDeliveryError, match=NOT_FOUND):
        border.away.dec("b1", "a1", [name])
    with pytest.raises(KeyDeliveryError):
        border.home.dec("a1", "b1", [name])


def test_an_unknown_void_leaves_a_tombstone_that_a_late_transfer_cannot_pass() -> None:
    border = Border()
    name = str(uuid.UUID(int=7, version=4))
    void = doc.void_json([uuid.UUID(name)], "a1", "b1", HOME + "/kmapi/v1/ext_keys/ack")
    assert border.given(border.away, "b", "home", "/void", void) == 202
    assert border.given(border.away, "b", "home", "", transfer_json()) == 202
    with pytest.raises(KeyDeliveryError, match=NOT_FOUND):
        border.away.dec("b1", "a1", [uuid.UUID(name)])
    requests = border.away.call("b", lambda kme: kme.border.requests_to_send(border.away.now_ns))
    acks = [json.loads(request.body)[0]["ack_status"] for request in requests if request.path == "/ack"]
    assert acks == ["key not present", "voided"]


def test_a_delivered_key_does_not_come_back_with_a_repeated_transfer() -> None:
    border = Border()
    for _ in range(2):
        assert border.given(border.away, "b", "home", "", transfer_json()) == 202
    name = uuid.UUID(int=7, version=4)
    border.away.dec("b1", "a1", [name])
    assert border.given(border.away, "b", "home", "", transfer_json()) == 202
    border.away.restart("b")
    assert border.given(border.away, "b", "home", "", transfer_json()) == 202
    with pytest.raises(KeyDeliveryError, match=NOT_FOUND):
        border.away.call("b", lambda kme: kme.dec_keys(SaeId("b1"), SaeId("a1"), [name], border.away.now_ns))


def test_what_nobody_acknowledged_is_voided_and_gone_at_both_ends() -> None:
    border = Border()
    border.answers = lambda: False
    mine, theirs = border.home, border.away
    requests = []
    mine.run(S)
    requests = mine.call("a", lambda kme: kme.border.requests_to_send(mine.now_ns))
    bodies = [request.body for request in requests if request.path == ""]
    assert all(border.given(theirs, "b", "home", "", body) == 202 for body in bodies)
    names = [key.key_id for key in doc.transfer_from_json(bodies[0]).keys]
    mine.run(ACK_TIMEOUT_NS + 20 * S)
    requests = mine.call("a", lambda kme: kme.border.requests_to_send(mine.now_ns))
    voids = [request.body for request in requests if request.path == "/void"]
    assert voids
    assert all(border.given(theirs, "b", "home", "/void", body) == 202 for body in voids)
    for name in names:
        with pytest.raises(KeyDeliveryError, match=NOT_FOUND):
            theirs.dec("b1", "a1", [name])
    mine.check_ledgers()
    theirs.check_ledgers()


BAD: list[tuple[dict[str, Any], int]] = [
    ({"ack_callback_url": "https://elsewhere:1/kmapi/v1/ext_keys/ack"}, 400),
    ({"ack_callback_url": HOME + "/kmapi/v1/ext_keys/ack/"}, 400),
    ({"initiator_sae_id": "b1"}, 400),
    ({"initiator_sae_id": "z9"}, 400),
    ({"target_sae_ids": ["b2"]}, 400),
    ({"target_sae_ids": ["a1"]}, 400),
    ({"target_sae_ids": []}, 400),
    ({"target_sae_ids": ["b1", "b1"]}, 400),
    ({"keys": []}, 400),
    ({"keys": [{"key_id": "7", "value": "AAAAAAAAAAA="}]}, 400),
    ({"keys": [{"key_id": str(uuid.UUID(int=7)), "value": "AAAA"}]}, 400),
    ({"keys": [{"key_id": str(uuid.UUID(int=7)), "value": "?"}]}, 400),
    ({"keys": [{"key_id": str(uuid.UUID(int=7)), "value": 7}]}, 400),
    ({"keys": 2 * [{"key_id": str(uuid.UUID(int=7)), "value": "AAAAAAAAAAA="}]}, 400),
    ({"extension_mandatory": [{"E1_x": 1}]}, 400),
    ({"keys": 1025 * [{"key_id": str(uuid.UUID(int=7)), "value": "AAAAAAAAAAA="}]}, 400),
]


@pytest.mark.parametrize(("changes", "code"), BAD)
def test_a_transfer_that_is_not_right_is_refused_and_stores_nothing(changes: dict[str, Any], code: int) -> None:
    border = Border()
    assert border.given(border.away, "b", "home", "", transfer_json(**changes)) == code
    assert border.given(border.away, "b", "stranger", "", transfer_json()) == 401
    assert not border.away.call("b", lambda kme: kme.border._records.by_id(uuid.UUID(int=7, version=4)))


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"keys":[],"keys":[]}', transfer_json() + b"x", b"\xff", b"[" * 9000]
)
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    border = Border()
    assert border.given(border.away, "b", "home", "", body) == 400


@pytest.mark.parametrize("body", [b"", b"{}", b'[],"x":1', b"[{}]", b"[1]", b'[{"ack_status":"perhaps"}]', b"x"])
def test_acknowledgements_that_are_not_right_are_refused(body: bytes) -> None:
    assert Border().given(Border().away, "b", "home", "/ack", body) == 400


def test_another_value_under_a_known_name_is_a_conflict() -> None:
    border = Border()
    assert border.given(border.away, "b", "home", "", transfer_json()) == 202
    other = [{"key_id": str(uuid.UUID(int=7, version=4)), "value": base64.b64encode(bytes(32)).decode()}]
    assert border.given(border.away, "b", "home", "", transfer_json(keys=other)) == 409
    key = border.away.dec("b1", "a1", [uuid.UUID(int=7, version=4)]).keys[0]
    assert key.key.reveal() == bytes(range(32))


def test_a_forged_acknowledgement_releases_nothing_of_another_partner() -> None:
    border = Border()
    border.home.run(S)
    requests = border.home.call("a", lambda kme: kme.border.requests_to_send(border.home.now_ns))
    transfer = doc.transfer_from_json(requests[0].body)
    ack = json.dumps(
        [
            {
                "key_ids": [{"key_id": str(key.key_id)} for key in transfer.keys],
                "ack_status": "relayed",
                "initiator_sae_id": "a1",
                "target_sae_id": "b1",
            }
        ]
    ).encode()
    assert border.given(border.home, "a", "stranger", "/ack", ack) == 401
    with pytest.raises(KeyDeliveryError):
        border.home.enc("a1", "b1")
    assert border.given(border.home, "a", "away", "/ack", ack) == 200
    assert border.home.enc("a1", "b1").keys


def test_a_refusal_for_good_is_told_and_the_keys_are_destroyed() -> None:
    border = Border()
    border.home.run(S)
    requests = border.home.call("a", lambda kme: kme.border.requests_to_send(border.home.now_ns))
    border.home.call("a", lambda kme: kme.border.answered(requests[0].number, 400))
    assert border.home.of_kind("a", PartnerRefused)[0].status_code == 400
    border.home.check_ledgers()


@pytest.mark.parametrize("seed", range(10))
def test_no_schedule_of_losses_and_crashes_gives_a_key_twice_or_differently(seed: int) -> None:
    rng = random.Random(seed)
    border = Border()
    border.fate = lambda: rng.choice((0, 1, 1, 2))
    border.answers = lambda: rng.random() < 0.7
    delivered = 0
    for _ in range(25):
        for world, site in ((border.home, "a"), (border.away, "b")):
            if rng.random() < 0.3:
                world.stores[site].crash_at_commit(rng.randrange(5))
        border.carry(1)
        for one, ours, two, theirs in ((border.home, "a1", border.away, "b1"), (border.away, "b1", border.home, "a1")):
            with survived():
                try:
                    sent = one.enc(ours, theirs, number=rng.randrange(1, 4))
                except KeyDeliveryError:
                    continue
                two.given |= {key.key_id: key.key for key in sent.keys}
                with survived():
                    # Given out only after the partner had it: it must be there, whatever else was lost.
                    delivered += len(two.dec(theirs, ours, ids(sent)).keys)
    assert delivered, f"seed {seed}: nothing was delivered"
    border.home.check_ledgers()
    border.away.check_ledgers()
