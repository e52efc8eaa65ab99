"""Commands on an application's machine: no state directory; a certificate, its key, a CA file and KME addresses."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from memory_kme import Files, TwoKmes

from qanat.cli.application import Told, application
from qanat.core.errors import MisuseError
from qanat.core.ids import SaeId
from qanat.sae.errors import CertificateUnusable, KmeNotTrusted, KmeUnreachable
from qanat.sae.profile import ProfileUnusable, open_client, profile_text, read_profile

sys.path.insert(0, str(Path(__file__).parents[1] / "node"))

from live_network import Done, qanat_here

Run = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Commands as on a machine where no network ever ran."""
    monkeypatch.setenv("QANAT_STATE", str(tmp_path / "no-network-here"))
    return lambda *words: qanat_here(capsys, *map(str, words))


def profile_file(two: TwoKmes, sae: str, folder: Path, *more_kmes: str) -> Path:
    files: Files = two.saes[sae]
    named = {"certfile": str(files.cert), "keyfile": str(files.key), "cafile": str(files.ca)}
    path = folder / f"{sae}.toml"
    path.write_text(profile_text(SaeId(sae), (*more_kmes, two.url(two.pool.sites[SaeId(sae)])), named))
    return path


def unused_url() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"https://127.0.0.1:{free.getsockname()[1]}"


def test_a_key_goes_from_profile_to_profile(two: TwoKmes, tmp_path: Path, run: Run) -> None:
    alice, bob = (profile_file(two, sae, tmp_path) for sae in ("alice", "bob"))
    status = run("key", "status", "alice", "bob", "--profile", alice)
    assert status.code == 0, status.err
    assert (status.code, "400 keys of 256 bits wait" in status.out) == (0, True)
    sent = run("key", "get", "alice", "bob", "--profile", alice, "--json").json[0]
    got = run("key", "take", "bob", "alice", sent["key_ID"], "--profile", bob, "--json").json[0]
    assert got == sent
    two.pool.stock = 0
    assert run("key", "status", "alice", "bob", "--profile", alice).code == 1


def test_a_file_is_sealed_and_opened_without_saying_who_we_are_twice(two: TwoKmes, tmp_path: Path, run: Run) -> None:
    alice, bob = (profile_file(two, sae, tmp_path) for sae in ("alice", "bob"))
    plans = tmp_path / "plans.txt"
    plans.write_text("the plans")
    assert run("seal", plans, "--to", "bob", "--profile", alice).code == 0
    plans.unlink()
    sealed = tmp_path / "plans.txt.sealed"
    wrong = run("open", sealed, "--profile", alice)
    assert (wrong.code, "was sealed for bob, not for alice" in wrong.err) == (2, True)
    assert run("open", sealed, "--profile", bob).code == 0
    assert plans.read_text() == "the plans"


def test_openssl_gets_its_session_file_by_options_and_by_environment(
    two: TwoKmes, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = two.saes["alice"], two.saes["bob"]
    options = ("--kme", two.url("a"), "--cert", alice.cert, "--key", alice.key, "--ca", alice.ca)
    mine = run("integrate", "openssl", tmp_path / "a.psk", "--peer", "bob", *options)
    assert mine.code == 0, mine.err
    for name, value in (("KME", two.url("b")), ("CERTFILE", bob.cert), ("KEYFILE", bob.key), ("CAFILE", bob.ca)):
        monkeypatch.setenv(f"QANAT_{name}", str(value))
    key_id = mine.out.split()[2]
    theirs = run("integrate", "openssl", tmp_path / "b.psk", "--peer", "alice", "--key-id", key_id)
    assert theirs.code == 0, theirs.err
    assert (tmp_path / "a.psk").read_bytes() == (tmp_path / "b.psk").read_bytes()


def test_options_go_before_a_profile_and_a_profile_before_the_environment(two: TwoKmes, tmp_path: Path) -> None:
    path = profile_file(two, "alice", tmp_path)
    environment = {"QANAT_PROFILE": str(path), "QANAT_KME": "https://env-one:1, https://env-two:2"}
    assert application(Told(), None, environment).kmes == ("https://env-one:1", "https://env-two:2")
    assert application(Told(profile=path), None, environment).kmes == (two.url("a"),)
    chosen = application(Told(profile=path, kmes=("https://typed:3",)), "alice", environment)
    assert (chosen.kmes, chosen.name) == (("https://typed:3",), "alice")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--kme", "https://x:1"), "give also --cert (QANAT_CERTFILE), --key (QANAT_KEYFILE), --ca (QANAT_CAFILE)"),
        (("--profile", "absent.toml"), "absent.toml: No such file"),
        (("--profile", "alice.toml", "--state", "x"), "give one kind"),
        (("--profile", "bob.toml"), "the profile is that of bob, not of alice"),
        (("--profile", "alice.toml", "--kme", "http://x"), "https://host:port"),
        (("--profile", "alice.toml", "--kme", "https://x:1", "--kme", "x"), "https://host:port"),
    ],
    ids=["incomplete", "absent", "two kinds", "another's", "no KME", "the second is no KME"],
)
def test_what_is_told_wrongly_is_misuse(
    two: TwoKmes, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for sae in ("alice", "bob"):
        profile_file(two, sae, tmp_path)
    done = run("key", "get", "alice", "bob", *words)
    assert (done.code, says in done.err) == (2, True), done.err


def test_without_anything_told_the_message_names_the_profile(run: Run) -> None:
    done = run("key", "get", "alice", "bob")
    assert done.code == 3
    assert "No network is running here" in done.err
    assert "--profile FILE" in done.err
    assert "Name it with --as" in run("integrate", "openssl", "x.psk", "--peer", "bob").err


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("kmes = [", "kmes = 7 # ["), "kmes is not a list of addresses"),
        (("kmes = [", "kmes = [] # ["), "kmes is not a list of addresses"),
        (("keyfile", "keyfil"), "keyfil, which nobody understands"),
        (("keyfile =", "# keyfile ="), "keyfile is missing"),
        (("sae =", "sae"), "Expected '='"),
        (('sae = "alice"', "sae = 5"), "sae is missing or no text"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_profile_that_cannot_be_read_names_the_place(
    two: TwoKmes, tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    path = profile_file(two, "alice", tmp_path)
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(ProfileUnusable, match=says):
        read_profile(path)


def test_names_in_a_profile_are_relative_to_its_folder(two: TwoKmes, tmp_path: Path) -> None:
    path = tmp_path / "application.toml"
    path.write_text('kmes = ["https://kme:1"]\ncertfile = "cert.pem"\nkeyfile = "sub/key.pem"\ncafile = "ca.pem"\n')
    found = read_profile(path)
    assert (found.certfile, found.keyfile, found.sae) == (tmp_path / "cert.pem", tmp_path / "sub" / "key.pem", None)


def test_a_key_that_others_can_read_is_not_used(two: TwoKmes, tmp_path: Path, run: Run) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes(two.saes["alice"].key.read_bytes())
    path = profile_file(two, "alice", tmp_path)
    path.write_text(path.read_text().replace(str(two.saes["alice"].key), "key.pem"))
    key.chmod(0o640)
    done = run("key", "get", "alice", "bob", "--profile", path)
    assert (done.code, "can be read by others (mode 0640)" in done.err) == (3, True)
    key.chmod(0o600)
    assert run("key", "get", "alice", "bob", "--profile", path).code == 0
    key.unlink()
    with pytest.raises(CertificateUnusable, match="No such file"):
        open_client(read_profile(path))


def test_the_first_kme_that_can_be_reached_is_asked(two: TwoKmes, tmp_path: Path) -> None:
    gone = unused_url()
    with open_client(read_profile(profile_file(two, "alice", tmp_path, gone))) as client:
        assert len(client.enc_keys(SaeId("bob"))) == 1
        assert client.kme_id == "a"
    path = tmp_path / "alice.toml"
    path.write_text(path.read_text().replace(two.url("a"), unused_url()))
    profile = replace(read_profile(path), kmes=(gone, unused_url()))
    with open_client(profile, timeout_s=1.0) as client, pytest.raises(KmeUnreachable):
        client.enc_keys(SaeId("bob"))


def test_a_kme_that_is_not_trusted_is_not_passed_over(two: TwoKmes, tmp_path: Path) -> None:
    path = profile_file(two, "alice", tmp_path, two.url("b"))
    path.write_text(path.read_text().replace(str(two.saes["alice"].ca), str(two.stranger.ca)))
    with open_client(read_profile(path)) as client, pytest.raises(KmeNotTrusted):
        client.enc_keys(SaeId("bob"))


def test_a_certificate_that_names_somebody_else_ends_it_before_a_key_is_asked_for(two: TwoKmes, tmp_path: Path) -> None:
    path = profile_file(two, "alice", tmp_path)
    path.write_text(path.read_text().replace(str(two.saes["alice"].cert), str(two.saes["bob"].cert)))
    with pytest.raises(MisuseError, match="certificate of bob, not of alice"):
        application(Told(profile=path), None, {})
    assert two.pool.stock == 400


def test_the_status_is_json_for_machines(two: TwoKmes, tmp_path: Path, run: Run) -> None:
    found = run("key", "status", "alice", "bob", "--profile", profile_file(two, "alice", tmp_path), "--json")
    assert json.loads(found.out)["stored_key_count"] == 400
