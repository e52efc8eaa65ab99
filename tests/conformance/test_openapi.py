"""The OpenAPI document of ETSI 014: it is valid, it is served, and two live KMEs keep to it under random requests."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from typing import Any

import openapi_spec_validator
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from jsonschema import Draft202012Validator
from live_pair import LivePair
from schemathesis import GenerationMode

from qanat.core.secret import SecretBits
from qanat.km import documents
from qanat.km.documents import Key, KeyContainer, Status
from qanat.node.api import openapi
from qanat.node.api.request import VERBS
from qanat.node.pki import kme_credentials

SEED = 20_140_219
EXAMPLES = 50  # of each operation and mode
EXAMPLES_SLAVE = 25  # the KME waits half a second for an unknown key that may be on its way
REFUSALS = {"400", "401", "404", "405", "413", "429", "503"}
DOCUMENT = openapi.document()
OPERATIONS = [(path, verb) for path, item in DOCUMENT["paths"].items() for verb in ("get", "post") if verb in item]
RUNS = [
    pytest.param(path, verb, mode, id=f"{path}-{verb}-{word}")
    for path, verb in OPERATIONS
    for mode, word in ((GenerationMode.POSITIVE, "fitting"), (GenerationMode.NEGATIVE, "unfitting"))
    if mode is GenerationMode.POSITIVE or path != openapi.PATH  # that one takes nothing that could be wrong
]


def test_the_document_is_valid_openapi_3_1() -> None:
    openapi_spec_validator.OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_it_names_every_method_with_every_verb_and_every_refusal() -> None:
    described = {
        path.rpartition("/")[2]: tuple(verb.upper() for verb in ("get", "post") if verb in item)
        for path, item in DOCUMENT["paths"].items()
    }
    assert {name: verbs for name, verbs in described.items() if name in VERBS} == VERBS
    for path, verb in OPERATIONS:
        answers = DOCUMENT["paths"][path][verb]["responses"]
        assert set(answers) == {"200", *REFUSALS}
        for code in REFUSALS:
            assert answers[code]["content"]["application/json"]["schema"]["$ref"].endswith("/Error")
        assert all("Retry-After" in answers[code]["headers"] for code in ("429", "503"))


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("KeyContainer", KeyContainer(keys=[Key(key_id=uuid.UUID(int=7), key=SecretBits(b"12345678"))])),
        ("Error", documents.KeyDeliveryError(503, "none", [{"available": 0}]).document),
        (
            "Status",
            Status(
                source_kme_id="a",
                target_kme_id="b",
                master_sae_id="m",
                slave_sae_id="s",
                key_size=256,
                stored_key_count=0,
                max_key_count=1,
                max_key_per_request=1,
                max_key_size=4096,
                min_key_size=64,
            ),
        ),
    ],
)
def test_the_schemas_fit_what_is_encoded_and_nothing_with_a_member_missing(name: str, answer: Any) -> None:
    validator = Draft202012Validator({"$ref": f"#/components/schemas/{name}", **DOCUMENT})
    found = json.loads(documents.encode(answer))
    validator.validate(found)
    for member in found:
        is_optional = member not in DOCUMENT["components"]["schemas"][name]["required"]
        assert validator.is_valid({k: v for k, v in found.items() if k != member}) is is_optional


def test_any_sae_reads_it_at_its_kme_and_a_kme_does_not(live: LivePair) -> None:
    code, headers, found = live.etsi014("s1", "/openapi.json")
    assert (code, headers["content-type"], found) == (200, "application/json", DOCUMENT)
    code, headers, _ = live.etsi014("m0", "/openapi.json", {})
    assert (code, headers["allow"]) == (405, "GET")
    assert live.etsi014("m0", "/openapi.json?x=1")[0] == 400
    files = kme_credentials(live.kmes.state, live.site("m0"))
    with pytest.raises(OSError, match=r"(?i)alert|eof|reset|closed|broken"):  # another CA: the handshake ends
        live.call(live.kmes.port("site0"), files, "GET", "/openapi.json")


@pytest.mark.parametrize(("path", "verb", "mode"), RUNS)
def test_random_requests_get_the_answers_that_the_document_names(
    live: LivePair, path: str, verb: str, mode: GenerationMode
) -> None:
    is_slave = "master" in path
    examples = EXAMPLES_SLAVE if is_slave else EXAMPLES
    sae, site, other = ("s0", "site1", "m0") if is_slave else ("m0", "site0", "s0")
    files, codes = live.kmes.credentials(sae), Counter[int]()
    operation = schemathesis.openapi.from_dict(openapi.document())[path][verb.upper()]
    session = requests.Session()
    identity = {"cert": (str(files.certfile), str(files.keyfile)), "verify": str(files.cafile)}

    @seed(SEED)
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case) -> None:
        for name in case.path_parameters:
            if sum(codes.values()) % 2:  # half of them get past the SAE's name
                case.path_parameters[name] = other
        response = case.call(base_url=f"https://127.0.0.1:{live.kmes.port(site)}", session=session, **identity)
        codes[response.status_code] += 1
        assert response.status_code < 500 or response.status_code == 503, response.text
        case.validate_response(
            response,
            checks=[
                schemathesis.checks.CHECKS.get_one(name)
                for name in (
                    "status_code_conformance",
                    "content_type_conformance",
                    "response_headers_conformance",
                    "response_schema_conformance",
                )
            ],
        )

    ask()
    assert sum(codes.values()) >= (1 if path == openapi.PATH else examples)
    if mode is GenerationMode.POSITIVE and not is_slave:
        assert codes[200], f"no request got through: {codes}"
