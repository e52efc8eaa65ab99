"""Tables of the PostgreSQL key store: those of SQLite, and who may write.

``lease`` has one row, locked by every transaction: the epoch of the instance that may write, and the number of
the last commit. ``life`` remembers of every epoch how far it came, so that a fence of any instance, however
old, finds the commit that it knows, or proves that it is gone.
"""

LAYOUT = b"1"

# Of the database, hence one database per site. The numbers are "qanat" as bytes, and the one after it.
ACTIVE_LOCK = int.from_bytes(b"qanat")
SCHEMA_LOCK = ACTIVE_LOCK + 1

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BYTEA NOT NULL);
CREATE TABLE IF NOT EXISTS lease (one BOOLEAN PRIMARY KEY CHECK (one), epoch BIGINT NOT NULL, count BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS life (epoch BIGINT PRIMARY KEY, name BYTEA NOT NULL UNIQUE, last BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS piece (name TEXT PRIMARY KEY, number BIGINT GENERATED ALWAYS AS IDENTITY,
  bits BYTEA NOT NULL);
CREATE TABLE IF NOT EXISTS data_key (name TEXT PRIMARY KEY, wrapped BYTEA NOT NULL);
CREATE TABLE IF NOT EXISTS record (name TEXT PRIMARY KEY, record BYTEA NOT NULL);
CREATE TABLE IF NOT EXISTS progress (name TEXT PRIMARY KEY, next BIGINT NOT NULL) WITH (fillfactor=70);
CREATE TABLE IF NOT EXISTS waiting_key (key_id BYTEA PRIMARY KEY, record BYTEA NOT NULL);
CREATE TABLE IF NOT EXISTS seen (number BIGINT GENERATED ALWAYS AS IDENTITY, name TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS outbox (peer TEXT, number BIGINT, message BYTEA NOT NULL, PRIMARY KEY (peer, number));
CREATE TABLE IF NOT EXISTS inbox (peer TEXT PRIMARY KEY, stream BYTEA NOT NULL, number BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS fact (kind TEXT, name TEXT, value BYTEA NOT NULL, PRIMARY KEY (kind, name));
INSERT INTO lease VALUES (true, 0, 0) ON CONFLICT DO NOTHING;
"""

SILENCE_S_MAX = 3  # after it the server ends the session of an instance that hangs, and another takes over
# An instance whose turn begins reads the whole store and builds its engine from it, and says nothing meanwhile.
BUILDING_S_MAX = 120

SILENCE_IS_SHORT = f"SET idle_session_timeout = '{SILENCE_S_MAX}s'"
SILENCE_IS_LONG = f"SET idle_session_timeout = '{BUILDING_S_MAX}s'"

# synchronous_commit=on: a commit is on the server's disk, and on a synchronous standby's where there is one.
# The server judges silence by its own clock; no clock of an instance matters.
SETTINGS = (
    "SET synchronous_commit = on",
    SILENCE_IS_SHORT,
    f"SET idle_in_transaction_session_timeout = '{SILENCE_S_MAX}s'",
    "SET tcp_keepalives_idle = 1",
    "SET tcp_keepalives_interval = 1",
    "SET tcp_keepalives_count = 2",
    f"SET tcp_user_timeout = '{SILENCE_S_MAX}s'",
)
