"""Certificates on the disk: made once, kept, renewed in time, never mixed with another CA's."""

from __future__ import annotations

import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID

from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import SaeId, SiteId
from qanat.core.topology import Network, Policy, Sae, Site
from qanat.crypto.pki import issue, make_ca
from qanat.crypto.signing_keys import certificate_kind
from qanat.node.certificates import hosts_of
from qanat.node.enrolment import enrol
from qanat.node.kek import read_kek
from qanat.node.pki import (
    CA_DAYS,
    LEAF_DAYS,
    Credentials,
    identity_credentials,
    kme_credentials,
    peer_credentials,
    provision,
    sae_credentials,
)
from qanat.node.statedir import StateDir

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def network(name: str = "pair", *saes: str) -> Network:
    sites = {SiteId(site): Site(id=SiteId(site), name=site, latitude_deg=0, longitude_deg=0) for site in ("a", "b_1")}
    return Network(
        name=name,
        is_simulation=True,
        sites=sites,
        fibres={},
        links={},
        saes={SaeId(sae): Sae(id=SaeId(sae), site=SiteId("a")) for sae in (saes or ("app",))},
        demands=(),
    )


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return StateDir(tmp_path / "state")


def contents(state: StateDir) -> dict[str, bytes]:
    return {str(path.relative_to(state.path)): path.read_bytes() for path in state.path.rglob("*") if path.is_file()}


def leaf(credentials: Credentials) -> x509.Certificate:
    return x509.load_pem_x509_certificate(credentials.certfile.read_bytes())


def test_the_first_start_makes_everything_and_only_the_owner_can_read_it(state: StateDir) -> None:
    done = provision(state, network(), NOW)
    assert done.is_new_ca
    assert done.made == [
        f"urn:qanat:{who}" for who in ("kme:a", "kme:b_1", "sae:app", "controller:controller", "admin:admin")
    ]
    for path in state.path.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    issuers = {
        state.ca: kme_credentials(state, SiteId("a")),
        state.sae_ca: sae_credentials(state, SaeId("app")),
        state.operator_ca: identity_credentials(state, "admin"),
    }
    for folder, credentials in issuers.items():
        for other in issuers:
            ca = x509.load_pem_x509_certificate((other / "cert.pem").read_bytes())
            if other == folder:
                leaf(credentials).verify_directly_issued_by(ca)
            else:
                with pytest.raises((InvalidSignature, ValueError)):
                    leaf(credentials).verify_directly_issued_by(ca)
    names = leaf(kme_credentials(state, SiteId("a"))).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert {"localhost", "a"} <= set(names.value.get_values_for_type(x509.DNSName))


def test_a_second_start_changes_no_byte(state: StateDir) -> None:
    provision(state, network(), NOW)
    before = contents(state)
    done = provision(state, network(), NOW + timedelta(days=30))
    assert (done.is_new_ca, done.made, done.renewed, len(done.kept)) == (False, [], [], 5)
    assert contents(state) == before


def test_a_new_application_gets_a_certificate_and_the_others_keep_theirs(state: StateDir) -> None:
    provision(state, network(), NOW)
    done = provision(state, network("pair", "app", "second"), NOW)
    assert done.made == ["urn:qanat:sae:second"]
    assert done.renewed == []


def test_certificates_near_their_end_are_renewed_and_the_kek_is_not(state: StateDir) -> None:
    provision(state, network(), NOW)
    kek = (state.node(SiteId("a")) / "kek").read_bytes()
    later = NOW + timedelta(days=LEAF_DAYS - 10)
    done = provision(state, network(), later)
    assert len(done.renewed) == 5
    assert done.lines() == ["certificates renewed: app. Give them out before the old ones end"]
    assert leaf(sae_credentials(state, SaeId("app"))).not_valid_after_utc > later + timedelta(days=300)
    assert (state.node(SiteId("a")) / "kek").read_bytes() == kek


def test_a_certificate_without_its_own_key_is_made_anew(state: StateDir) -> None:
    provision(state, network(), NOW)
    app, kme = sae_credentials(state, SaeId("app")), kme_credentials(state, SiteId("a"))
    app.keyfile.write_bytes(kme.keyfile.read_bytes())
    assert provision(state, network(), NOW).renewed == ["urn:qanat:sae:app"]
    app.keyfile.write_text("nonsense")
    assert provision(state, network(), NOW).renewed == ["urn:qanat:sae:app"]


def test_a_certificate_that_speaks_for_somebody_else_is_made_anew(state: StateDir) -> None:
    provision(state, network("pair", "app", "other"), NOW)
    app, other = sae_credentials(state, SaeId("app")), sae_credentials(state, SaeId("other"))
    app.certfile.write_bytes(other.certfile.read_bytes())
    app.keyfile.write_bytes(other.keyfile.read_bytes())
    assert provision(state, network("pair", "app", "other"), NOW).renewed == ["urn:qanat:sae:app"]


def test_an_expired_ca_is_named_with_the_way_out_which_works(state: StateDir) -> None:
    provision(state, network(), NOW)
    later = NOW + timedelta(days=CA_DAYS + 1)
    with pytest.raises(EnvironmentProblem, match=r"expired on 2035.*Move that folder away"):
        provision(state, network(), later)
    for folder in (state.ca, state.sae_ca, state.operator_ca):
        folder.rename(state.path / f"old-{folder.name}")
    done = provision(state, network(), later)
    assert done.is_new_ca
    assert len(done.renewed) == 5


def test_a_clock_before_the_ca_is_named(state: StateDir) -> None:
    provision(state, network(), NOW)
    with pytest.raises(EnvironmentProblem, match="Set the clock"):
        provision(state, network(), NOW - timedelta(days=1))


def test_the_directory_of_another_network_is_refused_untouched(state: StateDir) -> None:
    provision(state, network(), NOW)
    before = contents(state)
    with pytest.raises(EnvironmentProblem, match=r"not the one of this network.*QANAT_STATE"):
        provision(state, network("another"), NOW)
    assert contents(state) == before


def test_a_foreign_leaf_is_not_overwritten(state: StateDir) -> None:
    provision(state, network(), NOW)
    ca_cert, ca_key = make_ca(common_name="Somebody Else", now=NOW, days=10)
    cert, key = issue(ca_cert=ca_cert, ca_key=ca_key, role="sae", identity="app", hosts=[], now=NOW, days=5)
    app = sae_credentials(state, SaeId("app"))
    app.certfile.write_bytes(cert)
    app.keyfile.write_bytes(key)
    with pytest.raises(EnvironmentProblem, match="issued by CN=Somebody Else"):
        provision(state, network(), NOW)
    assert app.certfile.read_bytes() == cert


def test_a_forger_with_the_same_ca_name_is_replaced(state: StateDir) -> None:
    provision(state, network(), NOW)
    ca_cert, ca_key = make_ca(common_name="qanat network pair", now=NOW, days=900)
    cert, key = issue(ca_cert=ca_cert, ca_key=ca_key, role="sae", identity="app", hosts=[], now=NOW, days=365)
    app = sae_credentials(state, SaeId("app"))
    app.certfile.write_bytes(cert)
    app.keyfile.write_bytes(key)
    assert provision(state, network(), NOW).renewed == ["urn:qanat:sae:app"]


def test_damaged_ca_files_are_named(state: StateDir) -> None:
    provision(state, network(), NOW)
    (state.ca / "key.pem").write_bytes(kme_credentials(state, SiteId("a")).keyfile.read_bytes())
    with pytest.raises(EnvironmentProblem, match=r"is not the private key of"):
        provision(state, network(), NOW)
    (state.ca / "cert.pem").write_text("nonsense")
    with pytest.raises(EnvironmentProblem, match="no certificate in PEM"):
        provision(state, network(), NOW)


def test_leaves_of_the_time_when_one_ca_served_all_are_made_anew(state: StateDir) -> None:
    provision(state, network(), NOW)
    for name in ("cert.pem", "key.pem"):
        (state.sae_ca / name).unlink()
    old, old_key = issue(
        ca_cert=(state.ca / "cert.pem").read_bytes(),
        ca_key=(state.ca / "key.pem").read_bytes(),
        role="sae",
        identity="app",
        hosts=[],
        now=NOW,
        days=300,
    )
    files = sae_credentials(state, SaeId("app"))
    files.certfile.write_bytes(old)
    files.keyfile.write_bytes(old_key)
    done = provision(state, network(), NOW)
    assert done.renewed == done.moved == ["urn:qanat:sae:app"]
    (line,) = done.lines()
    assert "app" in line
    assert "give the new ones out" in line
    assert provision(state, network(), NOW).lines() == []
    ca = x509.load_pem_x509_certificate((state.sae_ca / "cert.pem").read_bytes())
    leaf(files).verify_directly_issued_by(ca)


def test_a_ca_key_kept_elsewhere_is_missed_only_when_needed(state: StateDir) -> None:
    provision(state, network(), NOW)
    (state.sae_ca / "key.pem").unlink()
    assert provision(state, network(), NOW).made == []
    with pytest.raises(EnvironmentProblem, match="sae second is due"):
        provision(state, network("pair", "app", "second"), NOW)


def test_each_site_has_its_own_kek_and_a_lost_one_is_not_replaced_beside_a_store(state: StateDir) -> None:
    provision(state, network(), NOW)
    a, b = read_kek(state, SiteId("a")), read_kek(state, SiteId("b_1"))
    assert a.size_bits == 256
    assert a != b
    assert "development" in (state.node(SiteId("a")) / "kek").read_text()
    state.store(SiteId("a")).write_bytes(b"store")
    (state.node(SiteId("a")) / "kek").unlink()
    with pytest.raises(EnvironmentProblem, match="missing or damaged"):
        provision(state, network(), NOW)
    (state.node(SiteId("a")) / "kek").write_text("development\nzz")
    with pytest.raises(EnvironmentProblem, match="missing or damaged"):
        provision(state, network(), NOW)


def with_pki(pki: str) -> Network:
    return replace(network(), policy=Policy(pki=pki))


def kinds(state: StateDir) -> dict[str, str]:
    return {
        str(path.parent.relative_to(state.path)): certificate_kind(x509.load_pem_x509_certificate(path.read_bytes()))
        for path in sorted(state.path.rglob("cert.pem"))
    }


def test_a_network_of_ml_dsa_holds_nothing_else(state: StateDir) -> None:
    provision(state, with_pki("ml-dsa-65"), NOW)
    assert set(kinds(state).values()) == {"ml-dsa-65"}
    assert peer_credentials(state, SiteId("a"), "ml-dsa-65") == kme_credentials(state, SiteId("a"))
    before = contents(state)
    assert len(provision(state, with_pki("ml-dsa-65"), NOW + timedelta(days=30)).kept) == 5
    assert contents(state) == before


def test_ml_dsa_between_kmes_is_added_to_a_state_directory_and_changes_nothing_that_applications_see(
    state: StateDir,
) -> None:
    provision(state, network(), NOW)
    before = contents(state)
    done = provision(state, with_pki("ml-dsa-65-between-kmes"), NOW)
    assert done.made == ["urn:qanat:kme:a", "urn:qanat:kme:b_1"]
    assert {name: data for name, data in contents(state).items() if name in before} == before
    new = {folder: kind for folder, kind in kinds(state).items() if kind == "ml-dsa-65"}
    assert set(new) == {"ca-peers", "nodes/a/peers", "nodes/b_1/peers"}
    shown = peer_credentials(state, SiteId("a"), "ml-dsa-65-between-kmes")
    leaf(shown).verify_directly_issued_by(x509.load_pem_x509_certificate(shown.cafile.read_bytes()))
    provision(state, network(), NOW)  # and back: they lie there unused
    assert peer_credentials(state, SiteId("a"), "ecdsa-p256") == kme_credentials(state, SiteId("a"))


@pytest.mark.parametrize(("first", "then"), [("ecdsa-p256", "ml-dsa-65"), ("ml-dsa-65", "ecdsa-p256")])
def test_whom_applications_trust_changes_only_by_a_persons_hand(state: StateDir, first: str, then: str) -> None:
    provision(state, with_pki(first), NOW)
    before = contents(state)
    with pytest.raises(EnvironmentProblem, match=f"is {first}, and the network file's policy.pki asks for {then}"):
        provision(state, with_pki(then), NOW)
    assert contents(state) == before
    for folder in (state.ca, state.sae_ca, state.operator_ca):
        folder.rename(folder.with_name(folder.name + ".old"))
    done = provision(state, with_pki(then), NOW)
    assert done.is_new_ca
    assert len(done.renewed) == 5
    assert {kind for folder, kind in kinds(state).items() if ".old" not in folder} == {then}
    kek = "nodes/a/kek"
    assert contents(state)[kek] == before[kek]


def test_an_application_that_is_given_a_place_gets_a_certificate_for_it_once(state: StateDir) -> None:
    plain = network()
    provision(state, plain, NOW)
    app = SaeId("app")
    for url, host in (("https://[0:0::1]:8443", "::1"), ("https://App.Example:1", "app.example")):
        placed = replace(plain, saes={app: replace(plain.saes[app], push_url=url)})
        assert provision(state, placed, NOW).renewed == ["urn:qanat:sae:app"]
        found = leaf(sae_credentials(state, app))
        assert hosts_of(found) == [host]
        usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert ExtendedKeyUsageOID.SERVER_AUTH in usage
        assert provision(state, placed, NOW).renewed == []
        folder = enrol(state, app, days=5, folder=None, csr=None)
        renewed = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
        assert hosts_of(renewed) == [host]  # a renewal by hand takes no place away
