"""An application renews its own certificate, and nobody else's; each certificate once; all of it written down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from qanat.core.errors import EnvironmentProblem, MisuseError
from qanat.core.ids import SaeId, SiteId
from qanat.core.topology import Network, Sae, Site
from qanat.crypto.pki import issue
from qanat.crypto.requests import new_key, request_for
from qanat.node.access import Admission
from qanat.node.audit.entry import Entry, entry_of
from qanat.node.audit.files import files_in, lines_of
from qanat.node.audit.place import REGISTRAR, audit_folder, key_in, store_head
from qanat.node.audit.verify import verify
from qanat.node.enrolment import enrol
from qanat.node.pki import provision
from qanat.node.revocation import end_early, issued, revoke
from qanat.node.self_renewal import OVERLAP, Renewal, RenewalRefused, renew_own
from qanat.node.statedir import StateDir

APP, TWO = SaeId("app"), SaeId("two")
NETWORK = Network(
    name="pair",
    is_simulation=True,
    sites={SiteId("a"): Site(id=SiteId("a"), name="a", latitude_deg=0, longitude_deg=0)},
    fibres={},
    links={},
    saes={name: Sae(id=name, site=SiteId("a")) for name in (APP, TWO)},
    demands=(),
)


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    made = StateDir(tmp_path / "state")
    provision(made, NETWORK, datetime.now(UTC))
    return made


def shown(state: StateDir, sae: SaeId = APP) -> x509.Certificate:
    return x509.load_pem_x509_certificate((state.sae(sae) / "cert.pem").read_bytes())


def renewed(state: StateDir, old: x509.Certificate, key: bytes, name: str = APP, days: int = 30) -> Renewal:
    return renew_own(state, name, old.public_bytes(Encoding.DER), request_for(key, "whoever"), days=days)


def written(state: StateDir) -> list[Entry]:
    entries = [entry_of(line) for line in lines_of(files_in(audit_folder(state, REGISTRAR)))]
    return [entry for entry in entries if entry.kind != "checkpoint"]


def is_admitted(state: StateDir, certificate: x509.Certificate, name: str = APP) -> bool:
    return Admission(state).admits(name, certificate.serial_number)


def test_the_new_certificate_has_the_same_name_a_new_key_and_a_short_life(state: StateDir) -> None:
    old, before = shown(state), datetime.now(UTC)
    leaf = x509.load_pem_x509_certificate(renewed(state, old, new_key()).certificate)
    assert leaf.subject == old.subject
    assert leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == (
        old.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    )
    assert leaf.public_key() != old.public_key()
    assert leaf.not_valid_after_utc <= before + timedelta(days=30, minutes=1)
    assert is_admitted(state, leaf)


def test_the_old_certificate_is_good_for_a_day_and_then_ends(state: StateDir) -> None:
    old = shown(state)
    made = renewed(state, old, new_key())
    assert is_admitted(state, old)
    assert abs(made.old_ends - datetime.now(UTC) - OVERLAP) < timedelta(minutes=1)
    assert {one.ends < made.old_ends + timedelta(seconds=1) for one in issued(state) if one.name == APP} == {
        True,
        False,
    }
    end_early(state, old.serial_number, datetime.now(UTC) - timedelta(seconds=2))  # as if the day were over
    assert not is_admitted(state, old)


def test_an_answer_that_was_lost_is_given_again_for_the_same_key_and_for_no_other(state: StateDir) -> None:
    old, key = shown(state), new_key()
    first, second = renewed(state, old, key), renewed(state, old, key)
    assert second.old_ends <= first.old_ends + timedelta(seconds=2)
    with pytest.raises(RenewalRefused, match="was renewed already, for another key"):
        renewed(state, old, new_key())


def test_a_second_renewal_does_not_lengthen_the_life_of_the_first_certificate(state: StateDir) -> None:
    old, key = shown(state), new_key()
    renewed(state, old, key)
    soon = datetime.now(UTC) + timedelta(minutes=5)
    end_early(state, old.serial_number, soon)
    assert renewed(state, old, key).old_ends <= soon
    (mine,) = [one for one in issued(state) if one.serial == old.serial_number]
    assert mine.ends <= soon


def test_keys_that_had_a_certificate_are_not_certified_again(state: StateDir) -> None:
    old, key = shown(state), (state.sae(APP) / "key.pem").read_bytes()
    with pytest.raises(RenewalRefused, match="make a new key"):
        renewed(state, old, key)
    with pytest.raises(RenewalRefused, match="had a certificate before"):
        renewed(state, old, (state.sae(TWO) / "key.pem").read_bytes())


def test_a_certificate_of_another_name_or_of_no_register_renews_nothing(state: StateDir) -> None:
    with pytest.raises(RenewalRefused, match="register"):
        renewed(state, shown(state, TWO), new_key(), name=APP)
    cert, key = ((state.sae_ca / name).read_bytes() for name in ("cert.pem", "key.pem"))
    stray, _ = issue(ca_cert=cert, ca_key=key, role="sae", identity=APP, hosts=[], now=datetime.now(UTC), days=9)
    with pytest.raises(RenewalRefused, match="register"):
        renewed(state, x509.load_pem_x509_certificate(stray), new_key())


@pytest.mark.parametrize("days", [0, 31, -1, 10**9])
def test_a_renewed_certificate_is_never_long_lived(state: StateDir, days: int) -> None:
    with pytest.raises(RenewalRefused, match="between 1 and 30"):
        renewed(state, shown(state), new_key(), days=days)


@pytest.mark.parametrize("csr", [b"", b"nonsense", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"])
def test_what_is_no_request_is_refused_and_leaves_no_trace(state: StateDir, csr: bytes) -> None:
    before = len(issued(state))
    with pytest.raises(MisuseError):
        renew_own(state, APP, shown(state).public_bytes(Encoding.DER), csr, days=1)
    assert len(issued(state)) == before


def test_revoking_a_name_takes_what_it_renewed_too(state: StateDir) -> None:
    leaf = x509.load_pem_x509_certificate(renewed(state, shown(state), new_key()).certificate)
    assert revoke(state, APP) == 2
    assert not is_admitted(state, leaf)
    assert not is_admitted(state, shown(state))


def test_all_that_a_ca_does_is_in_an_audit_that_verifies(state: StateDir) -> None:
    enrol(state, APP, days=2, folder=None, csr=None)
    renewed(state, shown(state), new_key())
    revoke(state, TWO)
    kinds = [entry.kind for entry in written(state)]
    assert kinds == ["enrolled", "renewed", "revoked"]
    assert written(state)[1].facts["by"] == "application app"
    head = store_head(state, REGISTRAR)
    assert head is not None
    verdict = verify(
        audit_folder(state, REGISTRAR), f"kme-{REGISTRAR}", key=key_in(audit_folder(state, REGISTRAR)), heads=[head]
    )
    assert verdict.is_whole
    assert verdict.unsigned_entries == 0


def test_what_cannot_be_written_down_does_not_happen(state: StateDir) -> None:
    enrol(state, APP, days=2, folder=None, csr=None)
    old, before = shown(state), len(issued(state))
    folder = audit_folder(state, REGISTRAR)
    folder.rename(folder.with_name("away"))
    folder.write_text("in the way")
    for change in (
        lambda: renewed(state, old, new_key()),
        lambda: revoke(state, TWO),
        lambda: enrol(state, TWO, days=1, folder=None, csr=None),
    ):
        with pytest.raises(EnvironmentProblem):
            change()
    assert len(issued(state)) == before
    assert is_admitted(state, shown(state, TWO), TWO)
    assert shown(state) == old
