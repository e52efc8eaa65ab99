"""Streams that are pushed to hostile endpoints all the time, opened and closed at both ends and asked for again."""

from __future__ import annotations

import collections
import http.client
import json
import threading
import uuid
from typing import Any

from support.load import context_of

from fuzzing.stage import Stage
from qanat.km.push_documents import PREFIX

ASK_S, ROUNDS = 0.05, 60
PAIRS = (("m1", "s1"), ("s1", "m1"), ("m2", "s2")) * 3  # the first of each has an endpoint


class StreamsKept:
    """Asking again makes the KME try the chunk in flight at once: so the hostile endpoints have much to answer."""

    def __init__(self, stage: Stage, over: threading.Event) -> None:
        self._stage, self._over = stage, over
        self._lines: dict[str, http.client.HTTPSConnection] = {}
        self.counts: collections.Counter[str] = collections.Counter()

    def run(self) -> None:
        while not self._over.is_set():
            streams = [(me, peer, str(uuid.uuid4())) for me, peer in PAIRS]
            for me, peer, stream in streams:
                for one, two in ((me, peer), (peer, me)):
                    qos = {"key_chunk_size": 32, "max_bps": 100_000, "timeout": 20}
                    uris = {"source": f"http://{one}", "destination": f"http://{two}"}
                    self._ask(one, "POST", "open-connect", uris | {"qos": qos, "key_stream_id": stream})
            for _ in range(ROUNDS):
                for me, _, stream in streams:
                    self._ask(me, "GET", "get-key", {"key_stream_id": stream})
                if self._over.wait(ASK_S):
                    break
            for me, _, stream in streams:
                self._ask(me, "PUT", "close", {"key_stream_id": stream})

    def _ask(self, sae: str, verb: str, call: str, body: dict[str, Any]) -> None:
        site = self._stage.kmes.network.saes[sae].site  # type: ignore[index]
        line = self._lines.get(sae)
        if line is None:
            context = context_of(self._stage.kmes.credentials(sae))
            line = http.client.HTTPSConnection("127.0.0.1", self._stage.ports.push[site], context=context, timeout=15)
            self._lines[sae] = line
        try:
            try:
                answer = _answer(line, verb, call, body)
            except (OSError, http.client.HTTPException):  # unused for longer than the server keeps it
                line.close()
                answer = _answer(line, verb, call, body)
        except (OSError, http.client.HTTPException) as error:
            line.close()
            self.counts[f"broken: {call} {type(error).__name__}"] += 1
            return
        is_broken = answer.status >= 500 and answer.status != 503
        self.counts[f"{'broken: ' if is_broken else ''}{call} {answer.status}"] += 1


def _answer(line: http.client.HTTPSConnection, verb: str, call: str, body: dict[str, Any]) -> http.client.HTTPResponse:
    line.request(verb, f"{PREFIX}/{call}", json.dumps(body))
    answer = line.getresponse()
    answer.read()
    return answer
