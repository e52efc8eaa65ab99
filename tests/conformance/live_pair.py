"""Two live KMEs as processes with key between them, for tests of interfaces: the ones that the benches measure."""

from __future__ import annotations

import http.client
import json
import ssl
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from support.kmes import LiveKmes, network_text
from support.load import read_answer

from qanat.core.ids import LinkId
from qanat.crypto.tls_bytes import kind_in_file
from qanat.node.pki import Credentials
from qanat.sae.tls import client_context

__all__ = ["LINK", "LiveKmes", "LivePair", "context_of", "network_text", "read_answer"]

LINK = LinkId("site0-site1")


def context_of(files: Credentials) -> ssl.SSLContext:
    """Python's own TLS, another one than the KMEs'; where it cannot load ML-DSA, the one of our clients."""
    if kind_in_file(files.certfile) == "ml-dsa-65":
        return client_context(certfile=files.certfile, keyfile=files.keyfile, cafile=files.cafile)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_cert_chain(files.certfile, files.keyfile)
    context.load_verify_locations(files.cafile)
    return context


@dataclass
class LivePair:
    """SAEs m0 to m3 at the first site, s0 to s3 at the second; m<i> and s<i> may share keys."""

    kmes: LiveKmes

    def call(
        self, port: int, files: Credentials, method: str, path: str, body: Any = None
    ) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON body of one request on a connection of its own."""
        line = http.client.HTTPSConnection("127.0.0.1", port, context=context_of(files), timeout=10)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        line.request(method, path, data)
        answer = line.getresponse()
        found = answer.read()
        line.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, json.loads(found)

    def skip(self, sae: str, path: str, method: str = "GET", body: Any = None) -> tuple[int, dict[str, str], Any]:
        """A request of an SAE to the SKIP interface of its KME."""
        return self.call(self.kmes.ports.skip[self.site(sae)], self.kmes.credentials(sae), method, path, body)

    def etsi014(self, sae: str, path: str, body: Any = None) -> tuple[int, dict[str, str], Any]:
        """A request of an SAE to the 014 interface of its KME; POST where there is a body."""
        port = self.kmes.port(self.site(sae))
        return self.call(port, self.kmes.credentials(sae), "GET" if body is None else "POST", path, body)

    def wait_for_keys(self) -> None:
        """Both KMEs have found each other and agreed on key in both directions."""
        for sae, other in (("m0", "s0"), ("s0", "m0")):
            for _ in range(200):
                if self.etsi014(sae, f"/api/v1/keys/{other}/status")[2]["stored_key_count"]:
                    break
                time.sleep(0.05)
            else:
                raise AssertionError(f"no key for {sae} and {other} within ten seconds")

    def site(self, sae: str) -> Any:
        return self.kmes.network.saes[sae].site  # type: ignore[index]
