"""How strictly ETSI 014's JSON is read and written."""

import base64
import json
import uuid

import pytest

from qanat.core.secret import SecretBits
from qanat.km.documents import (
    ErrorDocument,
    Key,
    KeyContainer,
    KeyDeliveryError,
    encode,
    key_id_from_text,
    key_ids_from_json,
    key_request_from_json,
)

SOME_ID = "4f3d1c1e-8f1b-4e4b-9f0e-0123456789ab"

BAD_REQUESTS = [
    b"[]",
    b"3",
    b"null",
    b"{",
    b"\xff\xfe",
    b'{"number": 1} x',
    b'{"number": 1}{"number": 1}',
    b'{"number": 1, "number": 2}',
    b'{"number": 1, "x": {"a": 1, "a": 2}}',
    b'{"number": true}',
    b'{"number": "1"}',
    b'{"number": 1.0}',
    b'{"number": 1e0}',
    b'{"number": null}',
    b'{"number": NaN}',
    b'{"number": 1, "x": 1e400}',
    b'{"number": 1, "x": "\\ud800"}',
    b'{"number": 1, "\\udfff": 1}',
    b'{"number": [1]}',
    b'{"size": null}',
    b'{"size": 256.5}',
    b'{"size": false}',
    b'{"additional_slave_SAE_IDs": "b"}',
    b'{"additional_slave_SAE_IDs": [1]}',
    b'{"extension_mandatory": {"a": 1}}',
    b'{"extension_mandatory": ["a"]}',
    b'{"extension_optional": "a"}',
    b"[" * 60_000,
    b'{"number":' * 5000 + b"1" + b"}" * 5000,
]


@pytest.mark.parametrize("body", BAD_REQUESTS, ids=range(len(BAD_REQUESTS)))
def test_a_bad_key_request_is_a_400_with_a_sentence(body):
    with pytest.raises(KeyDeliveryError) as caught:
        key_request_from_json(body)
    assert caught.value.status_code == 400
    assert json.loads(encode(caught.value.document)).keys() == {"message"}


def test_a_body_above_64_kib_is_a_413():
    with pytest.raises(KeyDeliveryError) as caught:
        key_request_from_json(b'{"number": 1' + b" " * 65_536 + b"}")
    assert caught.value.status_code == 413


def test_huge_numbers_are_read_and_left_to_the_rules():
    assert key_request_from_json(b'{"number": 1000000000, "size": -8}').number == 1_000_000_000
    with pytest.raises(KeyDeliveryError):
        key_request_from_json(b'{"number": ' + b"9" * 5000 + b"}")


def test_unknown_members_are_ignored_and_defaults_hold():
    request = key_request_from_json(b'{"colour": "blue"}')
    assert (request.number, request.size) == (1, None)
    assert key_request_from_json(b"").number == 1
    assert key_request_from_json(b'{"size": 0}').size == 0


BAD_IDS = [
    b"",
    b"{}",
    b'{"key_IDs": {}}',
    b'{"key_IDs": ["%s"]}' % SOME_ID.encode(),
    b'{"key_IDs": [{"key_ID": 1}]}',
    b'{"key_IDs": [{"key_ID": "x"}]}',
    b'{"key_IDs": [{"key_ID": "%s"}]}' % SOME_ID.replace("-", "").encode(),
    b'{"key_IDs": [{"key_ID": "{%s}"}]}' % SOME_ID.encode(),
    b'{"key_IDs": [{"key_ID": "%s", "key_ID_extension": null}]}' % SOME_ID.encode(),
]


@pytest.mark.parametrize("body", BAD_IDS, ids=range(len(BAD_IDS)))
def test_bad_key_ids_are_a_400(body):
    with pytest.raises(KeyDeliveryError) as caught:
        key_ids_from_json(body)
    assert caught.value.status_code == 400


def test_key_ids_are_read_in_order():
    body = json.dumps({"key_IDs": [{"key_ID": SOME_ID}, {"key_ID": SOME_ID.upper(), "key_ID_extension": {}}]})
    assert key_ids_from_json(body.encode()) == [uuid.UUID(SOME_ID)] * 2
    assert key_id_from_text(SOME_ID) == uuid.UUID(SOME_ID)


def test_a_container_is_written_without_nulls_and_tells_no_secret_in_its_repr():
    secret = bytes(range(32))
    container = KeyContainer(keys=[Key(key_id=uuid.UUID(SOME_ID), key=SecretBits(secret))])
    assert json.loads(encode(container)) == {"keys": [{"key_ID": SOME_ID, "key": base64.b64encode(secret).decode()}]}
    assert repr(secret)[2:-1] not in repr(container)
    assert base64.b64encode(secret).decode() not in repr(container)
    container.wipe()
    assert base64.b64decode(json.loads(encode(container))["keys"][0]["key"]) == bytes(32)


def test_an_error_keeps_its_details():
    error = KeyDeliveryError(503, "not enough", [{"available": 1}], 250)
    assert json.loads(encode(error.document)) == {"message": "not enough", "details": [{"available": 1}]}
    assert encode(ErrorDocument(message="m")) == b'{"message":"m"}'
