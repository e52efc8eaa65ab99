"""Tables of the SQLite key store.

``piece`` keeps what never changes (8 KiB of sealed bits), ``progress`` what changes with every key, so that
giving out a key rewrites a few bytes. The data key of a piece lies sealed beside it and goes with its row;
``secure_delete`` overwrites the row.
"""

VERSION = 2  # 1 knew no authentication in provenance

SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE piece (name TEXT PRIMARY KEY, data_key BLOB NOT NULL, bits BLOB NOT NULL) STRICT;
CREATE TABLE record (name TEXT PRIMARY KEY, record BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE progress (name TEXT PRIMARY KEY, next INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE waiting_key (key_id BLOB PRIMARY KEY, record BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE seen (number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE outbox (peer TEXT, number INTEGER, message BLOB NOT NULL, PRIMARY KEY (peer, number))
  STRICT, WITHOUT ROWID;
CREATE TABLE inbox (peer TEXT PRIMARY KEY, stream BLOB NOT NULL, number INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE fact (kind TEXT, name TEXT, value BLOB NOT NULL, PRIMARY KEY (kind, name)) STRICT, WITHOUT ROWID;
"""

# synchronous=FULL: a commit is on the disk when it returns. One connection, so exclusive locking costs nothing
# and keeps a second program out even if it ignores our lock file.
PRAGMAS = (
    "PRAGMA locking_mode=EXCLUSIVE",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA secure_delete=ON",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA journal_size_limit=4194304",
)
