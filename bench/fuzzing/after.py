"""What must hold when the fuzzer is over: each door does what it is for, nothing fell, nothing grew."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

from support.load import connected, context_of, get, post

from fuzzing.answers import Line, judged, read_http
from fuzzing.psk_line import PskLine
from fuzzing.stage import LINK, PUSHED, SITES, Stage, own_mb
from qanat.core.ids import SaeId
from qanat.crypto.requests import new_key, request_for
from qanat.km.push_documents import PREFIX
from qanat.node.pki import Credentials
from qanat.sae.streams import KeyStream

GROWTH_MB_MAX = 128.0  # a KME keeps what was asked for and never fetched, or came from the partner: some 20,000 keys
LIMIT_S = 30.0


class After:
    """Asks what somebody with business at each door asks."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._before_mb = {name: own_mb(popen) for name, popen in stage.popens().items()}
        self.grown_mb: dict[str, float] = {}
        self._pids = {name: popen.pid for name, popen in stage.popens().items()}

    def failures(self) -> dict[str, str]:
        """By door or process, why it is not well; empty when all are."""
        for endpoint in self._stage.endpoints.values():
            endpoint.is_honest = True
        grown_mb = self.grown_mb = self._grown_mb()
        self._stage.kmes.feed(LINK, 5)
        checks: dict[str, Callable[[], str]] = {
            "014": self._keys,
            "skip": self._skip,
            "skip-psk": self._psk,
            "004": self._stream,
            "push": self._push,
            "020": lambda: self._seen(self._stage.partner, "border", get("/kmapi/versions"), "v1"),
            "admin": self._admin,
            "registrar": self._registrar,
            "renewal": self._renewal,
        }
        found = {name: _until(check) for name, check in checks.items()}
        for name, popen in self._stage.popens().items():
            is_same = popen.poll() is None and popen.pid == self._pids[name]
            found[f"process {name}"] = "" if is_same else f"ended with {popen.returncode}"
            if is_same and grown_mb[name] > GROWTH_MB_MAX:
                found[f"process {name}"] = f"grew by {grown_mb[name]:.0f} MB"
        found["logs"] = "; ".join(self._stage.troubles()[:5])
        return {name: why for name, why in found.items() if why}

    def _grown_mb(self) -> dict[str, float]:
        now = {name: own_mb(popen) for name, popen in self._stage.popens().items() if popen.poll() is None}
        return {name: round(size - self._before_mb[name], 1) for name, size in now.items()}

    def _line(self, files: Credentials, port: int) -> Line:
        return connected(port, context_of(files))

    def _seen(self, files: Credentials, place: str, request: bytes, wanted: str) -> str:
        return _said(self._line(files, self._stage.places[place]), request, wanted)

    def _keys(self) -> str:
        found = ""
        for sae, other in (("m1", "s1"), ("s1", "m1"), ("m0", "s0")):
            line = self._line(self._stage.kmes.credentials(sae), self._stage.kmes.port(self._site(sae)))
            found = found or _said(line, get(f"/api/v1/keys/{other}/enc_keys"), '"key_ID"')
        return found

    def _skip(self) -> str:
        ports = self._stage.ports.skip
        lines = [self._line(self._stage.kmes.credentials(sae), ports[self._site(sae)]) for sae in ("m1", "s1")]
        return _skip_key(lines)

    def _psk(self) -> str:
        ports, psks = self._stage.ports.skip_psk, self._stage.psks
        return _skip_key([PskLine(ports[self._site(sae)], f"router-{sae}".encode(), psks[sae]) for sae in ("m0", "s0")])

    def _stream(self) -> str:
        with self._pulled("m1", "s1") as one, self._pulled("s1", "m1", one.stream) as two:
            return "" if one.chunk(0).bits == two.chunk(0).bits else "the ends differ"

    def _pulled(self, me: str, peer: str, stream: uuid.UUID | None = None) -> KeyStream:
        files = self._stage.kmes.credentials(me)
        return KeyStream(
            me=SaeId(me), peer=SaeId(peer), host="127.0.0.1", port=self._stage.ports.streams[self._site(me)],
            certfile=files.certfile, keyfile=files.keyfile, cafile=files.cafile, stream=stream, bps_max=1_000_000,
        )  # fmt: skip

    def _push(self) -> str:
        """An application that has an endpoint gets chunks there; the fuzzer's own may have all the streams they may."""
        for sae in PUSHED[2:]:
            peer = sae.translate(str.maketrans("ms", "sm"))
            with self._pulled(peer, sae) as other:
                before = self._stage.endpoints[sae].counts["honest"]
                name = {"key_stream_id": str(other.stream)}
                uris = {"source": f"http://{sae}", "destination": f"http://{peer}", "qos": {}}
                found = self._rest(sae, "POST", "open-connect", uris | name) or self._rest(sae, "GET", "get-key", name)
                end_s = time.monotonic() + LIMIT_S / 2
                while not found and self._stage.endpoints[sae].counts["honest"] < before + 2:
                    time.sleep(0.05)
                    found = "no chunk comes" if time.monotonic() > end_s else ""
                if found := found or self._rest(sae, "PUT", "close", name):
                    return f"{sae}: {found}"
        return ""

    def _rest(self, sae: str, verb: str, call: str, body: dict[str, Any]) -> str:
        line = self._line(self._stage.kmes.credentials(sae), self._stage.ports.push[self._site(sae)])
        request = post(f"{PREFIX}/{call}", json.dumps(body).encode()).replace(b"POST", verb.encode(), 1)
        return _said(line, request, "")

    def _admin(self) -> str:
        found = ""
        for site in SITES:
            for path, wanted in (("/admin/v1/kme", '"is_sealed":false'), ("/admin/v1/network", '"links"')):
                found = found or self._seen(self._stage.operator(1), site, get(path), wanted)
        return found

    def _registrar(self) -> str:
        body = {"csr": request_for(new_key(), "any").decode(), "days": 3}
        request = post("/admin/v1/certificates/spare0/enroll", json.dumps(body).encode())
        listed = self._seen(self._stage.operator(1), "operators", get("/admin/v1/certificates"), "spare0")
        return self._seen(self._stage.operator(1), "operators", request, "BEGIN CERTIFICATE") or listed

    def _renewal(self) -> str:
        """By an application that the fuzzer let alone."""
        body = {"csr": request_for(new_key(), "any").decode(), "days": 3}
        request = post("/renew/v1/certificate", json.dumps(body).encode())
        return self._seen(self._stage.kmes.credentials("m3"), "applications", request, "BEGIN CERTIFICATE")

    def _site(self, sae: str) -> Any:
        return self._stage.kmes.network.saes[sae].site  # type: ignore[index]


def _until(check: Callable[[], str]) -> str:
    """Why it fails after half a minute: a door may be busy with what came before, and counts calls."""
    end_s = time.monotonic() + LIMIT_S
    while True:
        try:
            found = check()
        except Exception as error:  # noqa: BLE001 - whatever it is, the door is not well
            found = f"{type(error).__name__}: {error}"
        if not found or time.monotonic() > end_s:
            return found
        time.sleep(0.5)


def _said(line: Line, request: bytes, wanted: str) -> str:
    try:
        line.sendall(request)
        head, body, _ = read_http(line, is_head=False)
    finally:
        line.close()
    code = judged(head, body, is_head=False)
    return "" if code.startswith("2") and wanted in body.decode() else f"{code} {body[:200].decode(errors='replace')}"


def _skip_key(lines: list[Line]) -> str:
    """A key at one end by its name from the other."""
    names, found = [], {}
    for line in lines:
        line.sendall(get("/capabilities"))
        names.append(json.loads(read_http(line, is_head=False)[1])["localSystemID"])
    for index, path in enumerate((f"/key?remoteSystemID={names[1]}", "/key/{keyId}?remoteSystemID=" + names[0])):
        lines[index].sendall(get(path.format(**found)))
        before, found = found, json.loads(read_http(lines[index], is_head=False)[1])
        if "key" not in found:
            return str(found.get("message"))
    for line in lines:
        line.close()
    return "" if before["key"] == found["key"] else "the ends differ"
