"""Two live KMEs some of whose applications get their key streams pushed, and REST calls to them."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from live_pair import LINK, LiveKmes, LivePair, context_of, network_text

from qanat.km.push_documents import PREFIX
from qanat.node.supervisor import free_ports

PUSHED = ("m0", "s0", "m1", "s2", "m3")  # m2, s1 and s3 have no push_url
ENDPOINTS: dict[str, int] = {}


@contextmanager
def a_pushing_pair(folder: Path) -> Iterator[LivePair]:
    text = network_text(2, 4)
    ENDPOINTS.update(zip(PUSHED, islice(free_ports(), 60, 60 + len(PUSHED)), strict=True))
    for sae, port in ENDPOINTS.items():
        text = text.replace(f'id = "{sae}"\n', f'id = "{sae}"\npush_url = "https://127.0.0.1:{port}"\n')
    with LiveKmes(folder, text=text) as kmes:
        kmes.feed(LINK, 4)
        pair = LivePair(kmes)
        pair.wait_for_keys()
        yield pair


def ask(pair: LivePair, sae: str, verb: str, call: str, body: Any = None) -> tuple[int, Any]:
    """One REST call; an answer without content is None."""
    context = context_of(pair.kmes.credentials(sae))
    line = http.client.HTTPSConnection("127.0.0.1", pair.kmes.ports.push[pair.site(sae)], context=context, timeout=15)
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    line.request(verb, call if call.startswith("/") else f"{PREFIX}/{call}", data)
    answer = line.getresponse()
    found = answer.read()
    line.close()
    return answer.status, json.loads(found) if found else None
