"""Tables of the SQLite key store.

``piece`` keeps what never changes (8 KiB of sealed bits), ``progress`` what changes with every key, so that
giving out a key rewrites a few bytes. The data key of a piece lies sealed beside it and goes with its row;
``secure_delete`` overwrites the row. ``data_key`` is a table of its own, so that another KEK rewrites some
60 bytes per piece. ``meta`` holds the check of the KEK (``kek``) and the mark of the last commit (``mark``).
"""

VERSION = 3  # 1 knew no authentication in provenance, 2 no mark, and kept data keys beside the bits

# Safe to run on a store of layout 2: nothing is lost, and its first commit raises a fence that was not there.
FROM_2 = """
CREATE TABLE data_key (name TEXT PRIMARY KEY, wrapped BLOB NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO data_key SELECT name, data_key FROM piece;
ALTER TABLE piece DROP COLUMN data_key;
"""

SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE piece (name TEXT PRIMARY KEY, bits BLOB NOT NULL) STRICT;
CREATE TABLE data_key (name TEXT PRIMARY KEY, wrapped BLOB NOT NULL) STRICT, WITHOUT ROWID;
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
