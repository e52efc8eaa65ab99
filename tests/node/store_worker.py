"""Child of ``test_store_sqlite``: a KME on a SQLite store that gives keys out until it is killed."""

import hashlib
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.km.pairing import a_block, a_chain  # noqa: E402

from qanat.core.ids import SaeId, SiteId  # noqa: E402
from qanat.km.documents import KeyRequest  # noqa: E402
from qanat.km.kme import Kme  # noqa: E402
from qanat.km.messages import Have  # noqa: E402
from qanat.node.entropy import SystemEntropy  # noqa: E402
from qanat.node.store.sqlite import SqliteStore  # noqa: E402


def main(path: str) -> None:
    store = SqliteStore(Path(path), kek=bytes(range(32)), entropy=SystemEntropy())
    kme = Kme(site=SiteId("a"), network=a_chain(1), store=store, entropy=SystemEntropy(), kme_id="a")
    with store.transaction():
        for number in range(20):
            block = a_block("a-b", number, size_bytes=8192)
            kme.add_block(block, time.time_ns())  # again after each restart: must have no effect
            kme._supply.on_have(SiteId("b"), Have(block.block, 8192), time.time_ns())
    print("ready", flush=True)
    count = int.from_bytes(store.load().facts.get(("test", "count"), b"\0"))
    while True:
        with store.transaction():
            container = kme.enc_keys(SaeId("a1"), SaeId("b1"), KeyRequest(number=4), time.time_ns())
            count += 4
            store.put_fact("test", "count", count.to_bytes(8))
        for key in container.keys:
            print("digest", hashlib.sha256(key.key.reveal()).hexdigest(), ".", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
