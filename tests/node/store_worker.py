"""Child of the tests of stores: a KME that gives keys out until it is killed.

Arguments: the file of a SQLite store; or socket, database and fence of one on PostgreSQL, where it waits its turn.
"""

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
from qanat.node.store.postgres import PostgresStore  # noqa: E402
from qanat.node.store.postgres_session import Server  # noqa: E402
from qanat.node.store.sqlite import SqliteStore  # noqa: E402

KEK = bytes(range(32))
BLOCKS = 20
BLOCK_BYTES = 8192
KEYS_PER_BLOCK = BLOCK_BYTES // 32 // 4  # half of it is the other site's to give out, and some is to spare


def opened(path: str, database: str = "", fence: str = "") -> SqliteStore | PostgresStore:
    if not database:
        return SqliteStore(Path(path), kek=KEK, entropy=SystemEntropy())
    server = Server(database=database, user="qanat", socket=path)
    print("waiting", flush=True)
    return PostgresStore(server, site=SiteId("a"), kek=KEK, entropy=SystemEntropy(), fence=Path(fence))


def supply(kme: Kme, number: int) -> None:
    block = a_block("a-b", number, size_bytes=BLOCK_BYTES)
    kme.add_block(block, time.time_ns())
    kme._supply.on_have(SiteId("b"), Have(block.block, BLOCK_BYTES), time.time_ns())


def main(*place: str) -> None:
    store = opened(*place)
    kme = Kme(site=SiteId("a"), network=a_chain(1), store=store, entropy=SystemEntropy())
    with store.transaction():
        for number in range(BLOCKS):
            supply(kme, number)  # again after each restart: must have no effect
    print("ready", flush=True)
    count = int.from_bytes(store.load().facts.get(("test", "count"), b"\0"))
    while True:
        with store.transaction():
            container = kme.enc_keys(SaeId("a1"), SaeId("b1"), KeyRequest(number=4), time.time_ns())
            count += 4
            if count % KEYS_PER_BLOCK == 0:
                supply(kme, BLOCKS + count // KEYS_PER_BLOCK)
            store.put_fact("test", "count", count.to_bytes(8))
        for key in container.keys:
            print("digest", hashlib.sha256(key.key.reveal()).hexdigest(), ".", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
