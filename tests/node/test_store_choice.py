"""A site on PostgreSQL by its ``store.toml``: what the file may say, and that the rest of a KME's life goes on."""

import os
import subprocess
from pathlib import Path

import pytest
from pg8000.native import Connection
from postgres_server import PostgresServer
from tests.km.pairing import a_block, a_chain
from typer.testing import CliRunner

from qanat.cli.main import app
from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import SiteId
from qanat.crypto.shamir import joined
from qanat.km.kme import Kme
from qanat.node.audit.place import store_head
from qanat.node.audit.trail import FACT
from qanat.node.entropy import SystemEntropy
from qanat.node.kek import Sealed, provide_kek
from qanat.node.statedir import StateDir
from qanat.node.store.choice import choice_path, chosen_server
from qanat.node.store.leased import LeaseLost
from qanat.node.store.opening import commit_seal, finish, init_seal, open_store, rotate
from qanat.node.store.postgres import PostgresStore
from qanat.node.store.postgres_session import Session
from qanat.node.store.sqlite import SqliteStore, StoreIsOld

A = SiteId("a")


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    made = StateDir(tmp_path / "state")
    made.prepare()
    made.node(A).mkdir(mode=0o700, parents=True)
    provide_kek(made, A)
    return made


def choose(state: StateDir, text: str) -> None:
    choice_path(state, A).write_text(text)


def by_socket(database) -> str:
    return f'[postgresql]\nsocket = "{database.socket}"\ndatabase = "{database.database}"\nuser = "{database.user}"\n'


def opened(state: StateDir, **changes) -> PostgresStore:
    store = open_store(state, A, root=None, entropy=SystemEntropy(), patience_s=0, **changes)
    assert isinstance(store, PostgresStore)
    return store


def fill(state: StateDir, number: int) -> None:
    store = opened(state)
    kme = Kme(site=A, network=a_chain(1), store=store, entropy=SystemEntropy())
    with store.transaction():
        kme.add_block(a_block("a-b", number), 0)
    store.close()


def test_without_the_file_it_is_sqlite(state):
    store = open_store(state, A, root=None, entropy=SystemEntropy())
    assert isinstance(store, SqliteStore)
    store.close()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "missing required field `postgresql`"),
        ("[postgresql", "store.toml cannot be used"),
        ('[postgresql]\nhost = "h"\nuser = "u"', "missing required field `database`"),
        ('[postgresql]\nhost = "h"\nuser = "u"\ndatabase = "d"\npassword = "secret"', "unknown field `password`"),
        ('[postgresql]\nuser = "u"\ndatabase = "d"', "either socket or host"),
        ('[postgresql]\nuser = "u"\ndatabase = "d"\nhost = "h"\nsocket = "s"', "either socket or host"),
        ('[postgresql]\nuser = "u"\ndatabase = "d"\nhost = "h"\ncert_file = "c"', "both cert_file and key_file"),
        ('[postgresql]\nuser = "u"\ndatabase = "d"\nhost = "h"\npassword_file = "p"', "cannot be read"),
    ],
)
def test_a_file_that_is_wrong_is_told_in_a_sentence_and_never_falls_back_to_sqlite(state, text, said):
    choose(state, text)
    with pytest.raises(EnvironmentProblem, match=said):
        open_store(state, A, root=None, entropy=SystemEntropy())
    assert not state.store(A).exists()


def test_a_password_that_others_can_read_is_refused_and_none_is_shown(state):
    choose(state, '[postgresql]\nuser = "u"\ndatabase = "d"\nhost = "h"\npassword_file = "p"')
    file = state.node(A) / "p"
    file.write_text("a password\n")
    file.chmod(0o640)
    with pytest.raises(EnvironmentProblem, match="can be read by others"):
        chosen_server(state, A)
    file.chmod(0o600)
    server = chosen_server(state, A)
    assert server is not None
    assert server.password is not None
    assert server.password.reveal() == b"a password"
    assert "a password" not in repr(server) + str(server)


def test_a_sqlite_store_beside_the_file_is_not_passed_over(state, database):
    open_store(state, A, root=None, entropy=SystemEntropy()).close()
    choose(state, by_socket(database))
    with pytest.raises(EnvironmentProblem, match="has both"):
        opened(state)


def test_the_key_is_changed_while_it_serves(state, database):
    choose(state, by_socket(database))
    fill(state, 1)
    store = opened(state)
    with store.transaction():
        assert rotate(state, A, store, None, SystemEntropy()) > 0
    finish(state, A)
    store.close()
    store = opened(state)
    piece = store.load().pieces[0][0].piece
    assert store.read_bits(piece).size_bytes > 0
    store.close()


def test_its_key_is_put_under_shares(state, database):
    choose(state, by_socket(database))
    fill(state, 1)
    store, kek, made = init_seal(state, A, shares=3, threshold=2)
    commit_seal(state, A, store, kek)
    store.close()
    with pytest.raises(Sealed):
        opened(state)
    root = joined(made[:2])
    store = open_store(state, A, root=root, entropy=SystemEntropy(), patience_s=0)
    assert store.read_bits(store.load().pieces[0][0].piece).size_bytes > 0
    store.close()


def test_the_audit_is_compared_with_the_database_also_while_it_is_in_use(state, database):
    choose(state, by_socket(database))
    assert store_head(state, A) is None
    store = opened(state)
    assert store_head(state, A) is None
    with store.transaction():
        store.put_fact(*FACT, b"\x92\x07\xa1h")  # (7, "h")
    assert store_head(state, A) == (7, "h")
    store.close()


def test_an_old_database_is_recovered_by_the_command(state, database, postgresql):
    choose(state, by_socket(database))
    fill(state, 1)
    name, copy = database.database, database.database + "_copy"
    postgresql.execute(f"CREATE DATABASE {copy} TEMPLATE {name}")
    fill(state, 2)
    postgresql.execute(f"DROP DATABASE {name} WITH (FORCE)")
    postgresql.execute(f"ALTER DATABASE {copy} RENAME TO {name}")
    with pytest.raises(StoreIsOld):
        opened(state)
    done = CliRunner().invoke(app, ["kme", "recover", "a", "--discard-keys", "--state", str(state.path)])
    assert done.exit_code == 0, done.output
    assert "16384 bits of key at a are destroyed" in done.output
    store = opened(state)
    assert store.load().pieces == []
    store.close()


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory):
    """A server with a TCP port on this machine, TLS only, and a password."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    server = PostgresServer(tls=(folder / "cert.pem", folder / "key.pem"))
    server.execute("ALTER USER qanat PASSWORD 'a password'")
    yield server, folder / "cert.pem"
    server.remove()


def over_tls(state: StateDir, server: PostgresServer, cafile: Path | None, password: str = "a password") -> None:
    file = state.node(A) / "p"
    file.write_text(password)
    file.chmod(0o600)
    choose(
        state,
        f'[postgresql]\nhost = "localhost"\nport = {server.port}\ndatabase = "postgres"\nuser = "qanat"\n'
        'password_file = "p"\n' + (f'ca_file = "{cafile}"\n' if cafile else ""),
    )


def test_towards_a_host_it_is_tls_and_the_server_is_checked(state, tls_server):
    server, cafile = tls_server
    over_tls(state, server, cafile)
    store = opened(state)
    assert store._run("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [["TLSv1.3"]]
    store.close()
    over_tls(state, server, None)  # the system's CAs do not know it
    with pytest.raises((EnvironmentProblem, LeaseLost)):
        opened(state)


def test_a_wrong_password_is_told_without_it(state, tls_server):
    server, cafile = tls_server
    over_tls(state, server, cafile, password="wrong words")
    with pytest.raises(EnvironmentProblem, match="password authentication failed") as told:
        opened(state)
    assert "wrong words" not in str(told.value)


def test_a_server_without_tls_gets_no_password(state, tls_server):
    server, cafile = tls_server
    over_tls(state, server, cafile)
    server.set("ssl", "off")
    try:
        with pytest.raises(EnvironmentProblem):
            Session(chosen_server(state, A))
    finally:
        server.set("ssl", "on")


def test_the_test_server_wants_tls(tls_server):
    server, _ = tls_server
    with pytest.raises(Exception, match="no encryption"):
        Connection("qanat", host="127.0.0.1", port=server.port, password=os.urandom(4).hex(), ssl_context=False)
