"""ETSI GS QKD 020 between the live KMEs of two operators, each with a CA of its own, over mutual TLS."""

from __future__ import annotations

import http.client
import json
import shutil
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from live_pair import LiveKmes, LivePair, context_of

from qanat.core.ids import SiteId
from qanat.node.pki import Credentials, kme_credentials
from qanat.node.supervisor import free_ports

NETWORK = """
name = "{site}"
[[sites]]
id = "{site}"
latitude_deg = 52.5
longitude_deg = 13.4
[[saes]]
id = "{ours}"
site = "{site}"
[[partners]]
id = "{partner}"
site = "{site}"
url = "{url}"
own_url = "{own_url}"
pairs = [["{ours}", "{theirs}"]]
"""


@pytest.fixture(scope="module")
def operators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LivePair, LivePair]]:
    """``bank`` at the operator east and ``vault`` at the operator west share keys."""
    urls = [f"https://127.0.0.1:{port}" for port in islice(free_ports(), 40, 42)]  # beyond what both will choose
    texts = [
        NETWORK.format(site="east", ours="bank", partner="west", theirs="vault", url=urls[1], own_url=urls[0]),
        NETWORK.format(site="west", ours="vault", partner="east", theirs="bank", url=urls[0], own_url=urls[1]),
    ]
    east, west = (LiveKmes(tmp_path_factory.mktemp("operator"), text=text) for text in texts)
    for mine, theirs, name in ((east, west, "west"), (west, east, "east")):
        target = mine.state.partner_ca(name)
        target.parent.mkdir(parents=True)
        shutil.copy(theirs.state.ca / "cert.pem", target)
    with east:
        west.ports = type(west.ports)(**_free(west))
        with west:
            yield LivePair(east), LivePair(west)


def _free(kmes: LiveKmes) -> dict[str, Any]:
    """Ports that the other operator does not use already."""
    from qanat.node.supervisor import choose_ports  # noqa: PLC0415

    ports = choose_ports(kmes.network)
    return {name: getattr(ports, name) for name in ports.__struct_fields__}


def enc(pair: LivePair, sae: str, other: str, number: int = 1) -> dict[str, Any]:
    """Keys of a master, as soon as the other operator has confirmed some."""
    for _ in range(150):
        code, _, found = pair.etsi014(sae, f"/api/v1/keys/{other}/enc_keys", {"number": number})
        if code != 503:
            break
        time.sleep(0.1)
    assert code == 200, found
    return dict(found)


def dec(pair: LivePair, sae: str, other: str, keys: dict[str, Any]) -> tuple[int, Any]:
    wanted = {"key_IDs": [{"key_ID": key["key_ID"]} for key in keys["keys"]]}
    code, _, found = pair.etsi014(sae, f"/api/v1/keys/{other}/dec_keys", wanted)
    return code, found


def test_applications_of_two_operators_share_keys(operators: tuple[LivePair, LivePair]) -> None:
    east, west = operators
    for one, ours, two, theirs in ((east, "bank", west, "vault"), (west, "vault", east, "bank")):
        sent = enc(one, ours, theirs, 3)
        code, got = dec(two, theirs, ours, sent)
        assert code == 200
        assert [key["key"] for key in got["keys"]] == [key["key"] for key in sent["keys"]]
        assert got["keys"][0]["key_extension"]["qanat_key_origin"] == "external"
        assert dec(two, theirs, ours, sent)[0] == 400


def test_keys_survive_that_either_side_is_killed(operators: tuple[LivePair, LivePair]) -> None:
    east, west = operators
    sent = enc(east, "bank", "vault", 2)
    west.kmes.kill(SiteId("west"))
    west.kmes.start(SiteId("west"))
    code, got = dec(west, "vault", "bank", sent)
    assert code == 200
    assert [key["key"] for key in got["keys"]] == [key["key"] for key in sent["keys"]]
    east.kmes.kill(SiteId("east"))
    east.kmes.start(SiteId("east"))
    assert dec(west, "vault", "bank", enc(east, "bank", "vault"))[0] == 200


def border(pair: LivePair, files: Credentials, method: str, path: str, body: bytes = b"") -> tuple[int, str, Any]:
    port = int(next(iter(pair.kmes.network.partners.values())).own_url.rpartition(":")[2])
    line = http.client.HTTPSConnection("127.0.0.1", port, context=context_of(files), timeout=10)
    line.request(method, path, body)
    answer = line.getresponse()
    found = answer.read()
    line.close()
    return answer.status, answer.getheader("content-type") or "", json.loads(found) if found else None


def partner_files(operators: tuple[LivePair, LivePair]) -> Credentials:
    """West's certificate, and the CA by which east's server is checked."""
    mine = kme_credentials(operators[1].kmes.state, SiteId("west"))
    return Credentials(mine.certfile, mine.keyfile, operators[0].kmes.state.ca / "cert.pem")


def test_the_versions_are_told(operators: tuple[LivePair, LivePair]) -> None:
    code, kind, found = border(operators[0], partner_files(operators), "GET", "/kmapi/versions")
    assert (code, kind, found) == (200, "application/json", {"versions": ["v1"]})


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("GET", "/", b"", 404),
        ("GET", "/kmapi/v1/ext_keys", b"", 405),
        ("POST", "/kmapi/versions", b"", 405),
        ("POST", "/kmapi/v1/ext_keys", b"", 400),
        ("POST", "/kmapi/v1/ext_keys?x=1", b"{}", 400),
        ("POST", "/kmapi/v1/ext_keys", b"{}", 400),
        ("POST", "/kmapi/v1/ext_keys", b"[" * 5000, 400),
        ("POST", "/kmapi/v1/ext_keys", b" " * 70_000, 413),
        ("POST", "/kmapi/v1/ext_keys/ack", b"{}", 400),
        ("POST", "/kmapi/v1/ext_keys/void", b"{}", 400),
    ],
)
def test_errors_are_problem_documents(
    operators: tuple[LivePair, LivePair], method: str, path: str, body: bytes, code: int
) -> None:
    found = border(operators[0], partner_files(operators), method, path, body)
    assert (found[0], found[1]) == (code, "application/problem+json")
    assert set(found[2]) == {"type", "status", "title", "details"}
    assert found[2]["status"] == code


def test_neither_an_application_nor_our_own_kme_gets_in(operators: tuple[LivePair, LivePair]) -> None:
    east = operators[0]
    for files in (east.kmes.credentials("bank"), kme_credentials(east.kmes.state, SiteId("east"))):
        with pytest.raises(OSError, match=r"(?i)alert|eof|reset|closed|broken"):
            border(east, files, "GET", "/kmapi/versions")


def test_a_partner_s_certificate_is_no_application_s(operators: tuple[LivePair, LivePair]) -> None:
    east = operators[0]
    try:
        found = east.call(east.kmes.port("east"), partner_files(operators), "GET", "/api/v1/keys/vault/status")
    except OSError:
        return  # refused in the handshake: another CA
    assert found[0] == 401
