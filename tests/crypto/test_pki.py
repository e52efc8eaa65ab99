"""Certificates that real TLS accepts, and names that are read back strictly."""

import random
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from qanat.crypto.pki import (
    CertificateRefused,
    CertificateRole,
    Identity,
    IdentityError,
    identity_from_der,
    identity_from_urn,
    issue,
    make_ca,
    sign_request,
)

# TLS in the tests compares with the machine's clock, so the dates must be around it.
NOW = datetime.now(UTC).replace(microsecond=0)
CA = make_ca(common_name="metro CA", now=NOW, days=3650)
OTHER_CA = make_ca(common_name="metro CA", now=NOW, days=3650)


def leaf(role="kme", identity="lyon", hosts=("localhost", "127.0.0.1"), ca=CA, **changes):
    arguments = {"now": NOW, "days": 30} | changes
    return issue(ca_cert=ca[0], ca_key=ca[1], role=role, identity=identity, hosts=list(hosts), **arguments)


def parsed(pem):
    return x509.load_pem_x509_certificate(pem)


def der(pem):
    return parsed(pem).public_bytes(serialization.Encoding.DER)


def context(protocol, pair, tmp_path, *, ca=CA):
    made = ssl.SSLContext(protocol)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    made.load_verify_locations(cadata=ca[0].decode())
    file = tmp_path / f"{protocol.name}.pem"
    file.write_bytes(pair[0] + pair[1])
    made.load_cert_chain(file)
    return made


def handshake(client, server, host):
    """Mutual TLS in memory; returns what each side learnt of the other."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    open_ends = list(ends)
    for _ in range(10):
        for end in list(open_ends):
            try:
                end.do_handshake()
                open_ends.remove(end)
            except ssl.SSLWantReadError:
                continue
    assert not open_ends
    return [end.getpeercert(binary_form=True) for end in ends]


def connect(tmp_path, client_pair, server_pair, *, host="localhost", client_ca=CA, server_ca=CA):
    return handshake(
        context(ssl.PROTOCOL_TLS_CLIENT, client_pair, tmp_path, ca=client_ca),
        context(ssl.PROTOCOL_TLS_SERVER, server_pair, tmp_path, ca=server_ca),
        host,
    )


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_sae_and_kme_meet_over_strict_mutual_tls(tmp_path, host):
    kme, sae = connect(tmp_path, leaf("sae", "vpn-a", ()), leaf(), host=host)
    assert identity_from_der(kme) == Identity(CertificateRole.KME, "lyon")
    assert identity_from_der(sae) == Identity(CertificateRole.SAE, "vpn-a")


def test_a_kme_also_calls_other_kmes(tmp_path):
    _, caller = connect(tmp_path, leaf("kme", "geneva"), leaf())
    assert identity_from_der(caller).name == "geneva"


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "elsewhere.example"},
        {"client_pair": leaf("sae", "vpn-a", (), ca=OTHER_CA)},
        {"server_pair": leaf(ca=OTHER_CA)},
        {"server_pair": leaf("sae", "vpn-b", ("localhost",))},  # an SAE cannot pose as a server
    ],
)
def test_tls_refuses_the_wrong_host_ca_or_usage(tmp_path, changes):
    arguments = {"client_pair": leaf("sae", "vpn-a", ()), "server_pair": leaf()} | changes
    with pytest.raises(ssl.SSLError):
        connect(tmp_path, **arguments)


def test_tls_refuses_an_expired_leaf(tmp_path):
    old = make_ca(common_name="old CA", now=NOW - timedelta(days=100), days=3650)
    expired = leaf("sae", "vpn-a", (), ca=old, now=NOW - timedelta(days=60), days=30)
    with pytest.raises(ssl.SSLError, match="expired"):
        connect(tmp_path, expired, leaf(ca=old), client_ca=old, server_ca=old)


def test_a_kme_leaf_has_the_layout_that_all_clients_accept():
    certificate = parsed(leaf(hosts=("kme.example", "10.0.0.7", "::1", "kme.example"))[0])
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["kme.example"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7", "::1"]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["urn:qanat:kme:lyon"]
    usage = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert usage == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert isinstance(certificate.public_key().curve, ec.SECP256R1)


@pytest.mark.parametrize(("role", "can_serve"), [("sae", False), ("admin", False), ("controller", True)])
def test_usage_follows_the_role(role, can_serve):
    certificate = parsed(leaf(role, "one", ("localhost",))[0])
    usage = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert ExtendedKeyUsageOID.CLIENT_AUTH in usage
    assert (ExtendedKeyUsageOID.SERVER_AUTH in usage) == can_serve
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "one"
    assert identity_from_der(der(leaf(role, "one", ())[0])) == Identity(CertificateRole(role), "one")


def test_a_leaf_ends_no_later_than_its_ca():
    short = make_ca(common_name="short", now=NOW, days=10)
    assert parsed(leaf(ca=short, days=30)[0]).not_valid_after_utc == parsed(short[0]).not_valid_after_utc
    assert parsed(leaf(days=30)[0]).not_valid_after_utc == NOW + timedelta(days=30)
    with pytest.raises(CertificateRefused, match="valid to"):
        leaf(ca=short, now=NOW + timedelta(days=11))


def test_keys_and_serials_come_from_the_entropy_given(stream_entropy):
    def made(name):
        return make_ca(common_name="metro CA", now=NOW, days=1, entropy=stream_entropy(name))

    assert made("a") == made("a")
    assert made("a")[1] != made("b")[1]
    assert parsed(made("a")[0]).serial_number != parsed(made("b")[0]).serial_number
    ca = made("a")
    assert leaf(ca=ca, days=1, entropy=stream_entropy("c")) == leaf(ca=ca, days=1, entropy=stream_entropy("c"))


def test_a_key_that_is_not_the_cas_cannot_issue():
    with pytest.raises(CertificateRefused, match="does not belong"):
        leaf(ca=(CA[0], OTHER_CA[1]))


@pytest.mark.parametrize("name", ["", ".", "-a", "a-", "a b", "a:b", "a/b", "a" * 65, "a\n", "ä", "a\x00b", "*"])
def test_names_that_could_mislead_are_refused(name):
    with pytest.raises(CertificateRefused):
        leaf("sae", name, ())
    with pytest.raises(IdentityError):
        identity_from_urn(f"urn:qanat:sae:{name}")


@pytest.mark.parametrize("name", ["a", "A1", "vpn-a.lyon_2", "a" * 64])
def test_usual_names_are_taken(name):
    assert identity_from_der(der(leaf("sae", name, ())[0])).name == name


@pytest.mark.parametrize("host", ["", "a..b", "-a.example", "a b", "*.example", "http://a", "a" * 64, "1.2.3.4.5/8"])
def test_hosts_that_are_none_are_refused(host):
    with pytest.raises(CertificateRefused):
        leaf(hosts=(host,))


def test_roles_dates_and_missing_hosts_are_refused():
    for wrong in ({"role": "root"}, {"hosts": ()}, {"days": 0}, {"now": NOW.replace(tzinfo=None)}):
        with pytest.raises(CertificateRefused):
            leaf(**wrong)
    for wrong in ({"common_name": ""}, {"common_name": "a" * 65}, {"now": NOW.replace(tzinfo=None)}, {"days": 0}):
        with pytest.raises(CertificateRefused):
            make_ca(**({"common_name": "metro CA", "now": NOW, "days": 1} | wrong))


@pytest.mark.parametrize(
    "uris",
    [
        [],
        ["urn:qanat:sae:a", "urn:qanat:sae:b"],
        ["urn:qanat:sae:a", "urn:other:sae:b"],
        ["urn:other:sae:a"],
        ["urn:qanat:root:a"],
        ["urn:qanat:sae"],
        ["urn:qanat:sae:"],
        ["urn:qanat:sae:a:b"],
        ["xurn:qanat:sae:a"],
        ["https://urn:qanat:sae:a"],
    ],
)
def test_a_certificate_with_other_names_is_nobody(uris):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vpn-a")])
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
    )
    if uris:
        names = [x509.UniformResourceIdentifier(uri) for uri in uris]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    with pytest.raises(IdentityError):
        identity_from_der(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER))


@pytest.mark.parametrize("der_bytes", [b"", b"\x30\x00", bytes(100)])
def test_what_is_no_certificate_is_nobody(der_bytes):
    with pytest.raises(IdentityError):
        identity_from_der(der_bytes)


@pytest.mark.parametrize("role", ["sae", "admin"])
def test_only_an_application_is_given_leave_to_serve(role):
    ca_cert, ca_key = make_ca(common_name="leave", now=datetime.now(UTC), days=2)
    cert, _ = issue(
        ca_cert=ca_cert, ca_key=ca_key, role=role, identity="one", hosts=["localhost"], now=datetime.now(UTC), days=1,
        is_serving=True,
    )  # fmt: skip
    usage = parsed(cert).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert (ExtendedKeyUsageOID.SERVER_AUTH in usage) == (role == "sae")


def a_request() -> bytes:
    """In DER."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    made = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return made.public_bytes(serialization.Encoding.DER)


def signed(request: bytes) -> bytes:
    pem = ssl.DER_cert_to_PEM_cert(request).replace("CERTIFICATE", "CERTIFICATE REQUEST").encode()
    return sign_request(ca_cert=CA[0], ca_key=CA[1], role="sae", identity="app", csr=pem, now=NOW, days=30)


def test_no_change_of_a_request_or_certificate_raises_anything_but_a_refusal():
    """Wrong versions, unknown curves and hashes: ``cryptography`` has a word of its own for each."""
    request, certificate, chance = a_request(), der(leaf()[0]), random.Random(11)
    assert b"BEGIN CERTIFICATE" in signed(request)
    wrong_version = request.replace(b"\x02\x01\x00", b"\x02\x01\x07", 1)
    with pytest.raises(CertificateRefused, match="no certificate request"):
        signed(wrong_version)
    refusals = 0
    for _ in range(3_000):
        changed = bytearray(request)
        for _ in range(chance.choice((1, 1, 2, 5))):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        try:
            signed(bytes(changed))
        except CertificateRefused:
            refusals += 1
        changed = bytearray(certificate)
        changed[chance.randrange(len(changed))] = chance.randrange(256)
        try:
            identity_from_der(bytes(changed))
        except IdentityError:
            refusals += 1
    assert refusals > 3_000
