"""The OpenAPI document of the push mode: valid, served, AIT's in what both say, and kept under random requests."""

from __future__ import annotations

from collections import Counter

import openapi_spec_validator
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from live_pair import LivePair
from push_pair import ask
from schemathesis import GenerationMode

from qanat.node.api import openapi004
from qanat.node.api.etsi004_push import VERBS

SEED = 20_200_804
EXAMPLES = 40
CHECKED = ("status_code", "content_type", "response_headers", "response_schema")
DOCUMENT = openapi004.document()
PREFIX = "/api/v1/kms/etsi004"
# What AIT's documents of the QKD server (1.0.1) and the receiving side (1.0.0) name.
AIT = {
    "open-connect": ("post", {"201", "400", "503"}),
    "get-key": ("get", {"205", "400", "503"}),
    "close": ("put", {"204", "400", "503"}),
}
AIT_MEMBERS = {
    "OpenConnect": {"source", "destination", "key_stream_id", "qos"},
    "Opened": {"source", "destination", "key_stream_id", "qos", "status"},
    "GetKey": {"key_stream_id", "index", "metadata"},
    "Close": {"key_stream_id"},
    "KeyMaterial": {"status", "index", "key_buffer", "metadata"},
    "Qos": {"key_chunk_size", "max_bps", "min_bps", "jitter", "priority", "timeout", "ttl", "metadata_mimetype"},
    "Metadata": {"size", "buffer"},
    "ChunkMetadata": {"size", "buffer"},
}


def test_the_document_is_valid_openapi_3_1() -> None:
    openapi_spec_validator.OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_it_has_the_calls_and_members_of_the_published_documents() -> None:
    assert {name: verb.upper() for name, (verb, _) in AIT.items()} == VERBS
    for name, (verb, codes) in AIT.items():
        assert codes <= set(DOCUMENT["paths"][f"{PREFIX}/{name}"][verb]["responses"])
    for name, members in AIT_MEMBERS.items():
        assert set(DOCUMENT["components"]["schemas"][name]["properties"]) == members
    assert sorted(DOCUMENT["components"]["schemas"]["StreamStatus"]["enum"]) == list(range(9))
    assert set(DOCUMENT["webhooks"]["key-material"]["post"]["responses"]) == {"201"}


def test_any_sae_reads_it(pushing: LivePair) -> None:
    assert ask(pushing, "m2", "GET", "/openapi.json") == (200, DOCUMENT)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["fitting", "unfitting"])
@pytest.mark.parametrize("call", list(VERBS))
def test_random_requests_get_the_answers_that_the_document_names(
    pushing: LivePair,
    call: str,
    mode: GenerationMode,
) -> None:
    files, codes = pushing.kmes.credentials("m0"), Counter[int]()
    operation = schemathesis.openapi.from_dict(openapi004.document())[f"{PREFIX}/{call}"][VERBS[call]]
    session = requests.Session()
    identity = {"cert": (str(files.certfile), str(files.keyfile)), "verify": str(files.cafile)}
    base_url = f"https://127.0.0.1:{pushing.kmes.ports.push[pushing.site('m0')]}"

    @seed(SEED)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: schemathesis.Case) -> None:
        if call == "open-connect" and isinstance(case.body, dict) and sum(codes.values()) % 2:
            case.body |= {"source": "http://m0", "destination": "http://s0"}  # half of them get past the names
            if isinstance(case.body.get("qos"), dict):
                case.body["qos"].pop("timeout", None)  # a name that is given waits so long for the other end
        response = case.call(base_url=base_url, session=session, **identity)
        codes[response.status_code] += 1
        checks = [schemathesis.checks.CHECKS.get_one(f"{word}_conformance") for word in CHECKED]
        case.validate_response(response, checks=checks)
        if response.status_code == 201:
            name = {"key_stream_id": response.json()["key_stream_id"]}
            found = session.put(f"{base_url}{PREFIX}/close", json=name, **identity)
            assert found.status_code == 204

    send()
    assert sum(codes.values()) >= EXAMPLES
    if call == "open-connect" and mode is GenerationMode.POSITIVE:
        assert codes[201], f"no request got through: {codes}"
