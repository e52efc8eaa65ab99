"""SKIP (draft-cisco-skip-02) against two live KMEs over mutual TLS, beside ETSI 014 on the same store."""

from __future__ import annotations

import http.client
import re
import time
import uuid
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import pytest
from live_pair import LivePair, context_of, network_text

from qanat.core.ids import SaeId, SiteId
from qanat.core.netfile import network_from_toml
from qanat.core.topology import Demand
from qanat.km.skip_documents import capabilities, system_id
from qanat.node.pki import kme_credentials

HEX = re.compile(r"[0-9a-f]+")


def key_for(live: LivePair, master: str, query: str = "") -> dict[str, Any]:
    """A new key of a master; waits for the first ones to be agreed."""
    remote = live.skip(master, "/capabilities")[2]["remoteSystemID"][0]
    for _ in range(100):
        code, _, found = live.skip(master, f"/key?remoteSystemID={remote}{query}")
        if code != 503:
            break
        time.sleep(0.1)
    assert code == 200, found
    return dict(found)


def own_id(live: LivePair, sae: str) -> str:
    return str(live.skip(sae, "/capabilities")[2]["localSystemID"])


def test_capabilities_tell_what_the_draft_demands(live: LivePair) -> None:
    code, headers, found = live.skip("m0", "/capabilities")
    assert (code, headers["content-type"]) == (200, "application/json")
    assert (found["entropy"], found["key"]) == (True, True)
    assert len(found["algorithm"].encode()) >= 16
    assert len(found["localSystemID"].encode()) >= 32
    assert any(fnmatchcase(own_id(live, "s0"), glob) for glob in found["remoteSystemID"])
    assert not any(fnmatchcase(own_id(live, "s1"), glob) for glob in found["remoteSystemID"])


def test_both_encryptors_get_the_same_key_once(live: LivePair) -> None:
    sent = key_for(live, "m0")
    assert set(sent) == {"keyId", "key"}
    assert (len(sent["keyId"]), len(sent["key"])) == (32, 64)
    assert HEX.fullmatch(sent["keyId"] + sent["key"])
    path = f"/key/{sent['keyId']}?remoteSystemID={own_id(live, 'm0')}"
    assert live.skip("s0", path)[::2] == (200, sent)
    code, _, refused = live.skip("s0", path)
    assert code == 400
    assert "not found" in refused["message"]


@pytest.mark.parametrize("size", [128, 512, 4096])
def test_a_key_has_the_size_that_was_asked_for(live: LivePair, size: int) -> None:
    assert len(key_for(live, "m1", f"&size={size}")["key"]) * 4 == size


def test_a_key_taken_by_one_interface_is_gone_for_the_other(live: LivePair) -> None:
    sent = key_for(live, "m2")
    path = f"/key/{sent['keyId']}?remoteSystemID={own_id(live, 'm2')}"
    wanted = {"key_IDs": [{"key_ID": str(uuid.UUID(hex=sent["keyId"]))}]}
    code, _, got = live.etsi014("s2", "/api/v1/keys/m2/dec_keys", wanted)
    assert code == 200
    assert live.skip("s2", path)[0] == 400
    assert len(got["keys"]) == 1

    code, _, sent014 = live.etsi014("m2", "/api/v1/keys/s2/enc_keys", {"number": 1})
    assert code == 200
    key_id = sent014["keys"][0]["key_ID"]
    assert live.skip("s2", f"/key/{key_id.replace('-', '')}?remoteSystemID={own_id(live, 'm2')}")[0] == 200
    assert live.etsi014("s2", "/api/v1/keys/m2/dec_keys", {"key_IDs": [{"key_ID": key_id}]})[0] == 400


def test_an_application_that_was_not_meant_gets_nothing(live: LivePair) -> None:
    sent = key_for(live, "m0")
    path = f"/key/{sent['keyId']}?remoteSystemID="
    refused = live.skip("s1", path + own_id(live, "m0"))
    assert (refused[0], "capabilities" in refused[2]["message"]) == (400, True)
    assert live.skip("s1", path + own_id(live, "m1"))[0] in (400, 401)
    assert live.skip("s0", path + own_id(live, "m0"))[0] == 200


BAD = [
    ("GET", "/", 404),
    ("GET", "/keys", 404),
    ("GET", "/key/", 404),
    ("GET", "/key/a/b", 404),
    ("GET", "/Capabilities", 404),
    ("POST", "/capabilities", 405),
    ("POST", "/key?remoteSystemID=x", 405),
    ("DELETE", "/key/00000000000000000000000000000000", 405),
    ("HEAD", "/entropy", 405),
    ("GET", "/capabilities?x=1", 400),
    ("GET", "/key", 400),
    ("GET", "/key?remoteSystemID=nobody", 400),
    ("GET", "/key?remoteSystemID={remote}&size=0", 400),
    ("GET", "/key?remoteSystemID={remote}&size=-8", 400),
    ("GET", "/key?remoteSystemID={remote}&size=255", 400),
    ("GET", "/key?remoteSystemID={remote}&size=1e3", 400),
    ("GET", "/key?remoteSystemID={remote}&size=99999999999", 400),
    ("GET", "/key?remoteSystemID={remote}&size=256&size=256", 400),
    ("GET", "/key?remoteSystemID={remote}&number=2", 400),
    ("GET", "/key/00000000000000000000000000000000?remoteSystemID={remote}", 400),
    ("GET", "/key/0000?remoteSystemID={remote}", 400),
    ("GET", "/key/zz000000000000000000000000000000?remoteSystemID={remote}", 400),
    ("GET", "/key/%ff000000000000000000000000000000?remoteSystemID={remote}", 400),
    ("GET", "/entropy?minentropy=0", 400),
    ("GET", "/entropy?minentropy=99999", 400),
    ("GET", "/entropy?minentropy=x", 400),
]


@pytest.mark.parametrize(("method", "path", "code"), BAD)
def test_a_bad_request_is_told_in_json(live: LivePair, method: str, path: str, code: int) -> None:
    remote = live.skip("m3", "/capabilities")[2]["remoteSystemID"][0]
    found = live_head(live, path) if method == "HEAD" else live.skip("m3", path.format(remote=remote), method)
    assert found[0] == code
    if method != "HEAD":
        assert found[2]["message"]
    if code == 405:
        assert found[1]["allow"] == "GET"


def live_head(live: LivePair, path: str) -> tuple[int, dict[str, str], Any]:
    files = live.kmes.credentials("m3")
    line = http.client.HTTPSConnection("127.0.0.1", live.kmes.ports.skip[live.site("m3")], context=context_of(files))
    line.request("HEAD", path)
    answer = line.getresponse()
    answer.read()
    line.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, None


def test_entropy_comes_in_the_amount_asked_for(live: LivePair) -> None:
    for query, size_bits in (("", 256), ("?minentropy=1024", 1024), ("?minentropy=9", 16)):
        code, _, found = live.skip("m0", f"/entropy{query}")
        assert code == 200
        assert (found["minentropy"], 4 * len(found["randomStr"])) == (size_bits, size_bits)
    assert live.skip("m0", "/entropy")[2] != live.skip("m0", "/entropy")[2]


def test_refusals_come_into_the_audit(live: LivePair) -> None:
    assert live.skip("m1", "/key?remoteSystemID=somebody-else")[0] == 400
    folder = live.kmes.state.path
    for _ in range(300):
        lines = [line for path in folder.rglob("audit-*") if path.is_file() for line in path.read_text().splitlines()]
        if any("remoteSystemID" in line and '"m1"' in line for line in lines):
            break
        time.sleep(0.1)
    else:
        raise AssertionError("no entry within thirty seconds")


def test_a_key_manager_may_not_ask_for_keys(live: LivePair) -> None:
    files = kme_credentials(live.kmes.state, SiteId("site1"))
    try:
        code, _, found = live.call(live.kmes.ports.skip[SiteId("site0")], files, "GET", "/capabilities")
    except OSError:
        return  # refused in the handshake already: its certificate is another CA's
    assert (code, "SAE" in found["message"]) == (401, True)


def test_a_glob_in_an_application_s_name_matches_that_name_only() -> None:
    network = network_from_toml(network_text(2, 1))
    odd = SaeId("s[a-z]*")
    saes = network.saes | {odd: replace(network.saes[SaeId("s0")], id=odd)}
    pair = Demand(saes=(SaeId("m0"), odd), rate_bits_per_s=1.0)
    network = replace(network, saes=saes, demands=(pair,))
    (glob,) = capabilities(network, SaeId("m0")).remote_system_ids
    assert fnmatchcase(system_id(network, odd), glob)
    assert not fnmatchcase(system_id(network, odd).replace("[a-z]*", "b"), glob)
