"""Applications in both directions that remember every key they were given, while KMEs come and go."""

from __future__ import annotations

import base64
import collections
import hashlib
import json
import ssl
import threading
import time
from collections import deque
from dataclasses import dataclass, field

from support.kmes import LiveKmes
from support.load import connected, context_of, get, post, read_answer

DEADLINE_S = 5.0


def digest_of(key: bytes) -> str:
    return hashlib.sha256(b"bench" + key).hexdigest()


@dataclass
class Memory:
    """What all applications saw, by key_ID. Digests, and the keys themselves for the search of the disk."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    sent: dict[str, tuple[str, str]] = field(default_factory=dict)  # key_ID -> (pair, digest) at masters
    got: dict[str, str] = field(default_factory=dict)  # key_ID -> digest at slaves
    seen_by: dict[str, collections.Counter[str]] = field(
        default_factory=lambda: collections.defaultdict(collections.Counter)
    )
    keys: list[bytes] = field(default_factory=list)
    twice: int = 0
    different: int = 0
    codes: collections.Counter[str] = field(default_factory=collections.Counter)
    unanswered_enc: int = 0
    unanswered_dec: collections.Counter[str] = field(default_factory=collections.Counter)
    slowest_s: float = 0.0

    def note(self, role: str, sae: str, pair: str, entry: dict[str, str]) -> None:
        """One key in an answer."""
        key, key_id = base64.b64decode(entry["key"]), entry["key_ID"]
        digest = digest_of(key)
        with self.lock:
            self.seen_by[sae][digest] += 1
            if self.seen_by[sae][digest] > 1:
                self.twice += 1
            if role == "master":
                self.sent[key_id] = (pair, digest)
                self.keys.append(key)
            else:
                self.got[key_id] = digest
            if key_id in self.got and key_id in self.sent and self.got[key_id] != self.sent[key_id][1]:
                self.different += 1


class Application:
    """One SAE with one connection that is made again when it breaks, to whichever instance of its KME listens."""

    def __init__(
        self, kmes: LiveKmes, name: str, site: str, memory: Memory, patience_s: float = 2 * DEADLINE_S
    ) -> None:
        self.name, self._memory, self._patience_s = name, memory, patience_s
        self._ports = deque(kmes.ports_of(site))  # the first one is in use, or to be tried next
        self._context: ssl.SSLContext = context_of(kmes.credentials(name))
        self._line: ssl.SSLSocket | None = None

    def ask(self, path: str, body: dict[str, object] | None) -> tuple[int, dict[str, object]] | None:
        """None: no answer, whatever became of the request."""
        start = time.monotonic()
        was_sent = False
        try:
            if self._line is None:
                self._line = connected(self._ports[0], self._context, self._patience_s)
            was_sent = True
            self._line.sendall(get(path) if body is None else post(path, json.dumps(body).encode()))
            code, answer = read_answer(self._line)
        except (OSError, ConnectionError):
            self.close()
            self._ports.rotate(-1)
            if not was_sent:
                time.sleep(0.02)
            return None
        finally:
            self._memory.slowest_s = max(self._memory.slowest_s, time.monotonic() - start)
        self._memory.codes[str(code)] += 1
        return code, json.loads(answer)

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


def exchange(master: Application, slave: Application, memory: Memory) -> None:
    """A key for the pair, fetched at both ends as far as the KMEs answer."""
    pair = f"{master.name}/{slave.name}"
    answer = master.ask(f"/api/v1/keys/{slave.name}/enc_keys", {"number": 1})
    if answer is None:
        memory.unanswered_enc += 1
        return
    if answer[0] != 200:
        time.sleep(0.01)
        return
    for entry in answer[1]["keys"]:  # type: ignore[attr-defined]
        memory.note("master", master.name, pair, entry)
        fetch(slave, master.name, entry["key_ID"], pair, memory)


def fetch(slave: Application, master: str, key_id: str, pair: str, memory: Memory) -> bool:
    answer = slave.ask(f"/api/v1/keys/{master}/dec_keys", {"key_IDs": [{"key_ID": key_id}]})
    if answer is None:
        memory.unanswered_dec[key_id] += 1
        return False
    if answer[0] == 503:  # the store failed under it: nobody knows whether its group was committed
        memory.unanswered_dec[key_id] += 1
    if answer[0] != 200:
        return False
    for entry in answer[1]["keys"]:  # type: ignore[attr-defined]
        memory.note("slave", slave.name, pair, entry)
    return True
