"""Certificates with ML-DSA-65: a whole chain of one kind, by the same calls as with ECDSA."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa

from qanat.crypto.pki import CertificateRefused, ca_kind, issue, make_ca, revocation_list, sign_request
from qanat.crypto.signing_keys import KEY_KINDS, certificate_kind, key_from_pem, key_kind

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MLDSA65 = "2.16.840.1.101.3.4.3.18"  # RFC 9881, id-ml-dsa-65
MLDSA65_SIGNATURE_BYTES, MLDSA65_PUBLIC_BYTES = 3309, 1952  # FIPS 204, table 2
CA = {kind: make_ca(common_name="metro CA", now=NOW, days=3650, kind=kind) for kind in KEY_KINDS}


class Counting:
    """Entropy that can be drawn twice."""

    def __init__(self) -> None:
        self.count = 0

    def random_bytes(self, size: int) -> bytes:
        self.count += 1
        return bytes((self.count * 37 + index) % 256 for index in range(size))


def parsed(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def leaf(kind: str = "ml-dsa-65", **changes: object) -> tuple[bytes, bytes]:
    made = {"role": "kme", "identity": "lyon", "hosts": ["localhost"], "now": NOW, "days": 30} | changes
    return issue(ca_cert=CA[kind][0], ca_key=CA[kind][1], **made)  # type: ignore[arg-type, index]


def request(key: object) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    algorithm = hashes.SHA256() if isinstance(key, ec.EllipticCurvePrivateKey) else None
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_a_leaf_is_of_its_cas_kind_and_signed_by_it(kind: str) -> None:
    cert, key = leaf(kind)
    assert certificate_kind(parsed(cert)) == ca_kind(CA[kind][0]) == kind  # type: ignore[index]
    assert key_from_pem(key).public_key() == parsed(cert).public_key()
    parsed(cert).verify_directly_issued_by(parsed(CA[kind][0]))  # type: ignore[index]
    other = next(pem for name, (pem, _) in CA.items() if name != kind)
    with pytest.raises((InvalidSignature, ValueError, TypeError)):
        parsed(cert).verify_directly_issued_by(parsed(other))


def test_key_and_signature_have_the_names_and_sizes_of_rfc_9881() -> None:
    cert, key = leaf()
    certificate = parsed(cert)
    assert certificate.signature_algorithm_oid.dotted_string == MLDSA65
    assert certificate.public_key_algorithm_oid.dotted_string == MLDSA65
    assert certificate.signature_algorithm_parameters is None
    assert len(certificate.signature) == MLDSA65_SIGNATURE_BYTES
    public = certificate.public_key()
    assert isinstance(public, mldsa.MLDSA65PublicKey)
    assert len(public.public_bytes_raw()) == MLDSA65_PUBLIC_BYTES
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    forbidden = (usage.key_encipherment, usage.data_encipherment, usage.key_agreement)  # RFC 9881, section 5
    assert not any(forbidden)
    assert len(key) < 200  # the seed alone, which is 32 bytes


def test_the_same_entropy_gives_the_same_keys() -> None:
    keys = [make_ca(common_name="a", now=NOW, days=9, kind="ml-dsa-65", entropy=Counting())[1] for _ in range(2)]
    assert keys[0] == keys[1]
    assert keys[0] != make_ca(common_name="a", now=NOW, days=9, kind="ml-dsa-65")[1]


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_a_revocation_list_is_signed_by_the_cas_own_kind(kind: str) -> None:
    cert, key = CA[kind]  # type: ignore[index]
    pem = revocation_list(ca_cert=cert, ca_key=key, serials=[7, 9], now=NOW, days=30)
    found = x509.load_pem_x509_crl(pem)
    assert found.is_signature_valid(parsed(cert).public_key())  # type: ignore[arg-type]
    assert {entry.serial_number for entry in found} == {7, 9}


@pytest.mark.parametrize(
    ("kind", "key", "is_signed"),
    [
        ("ecdsa-p256", ec.generate_private_key(ec.SECP256R1()), True),
        ("ecdsa-p256", ec.generate_private_key(ec.SECP384R1()), True),
        ("ecdsa-p256", mldsa.MLDSA65PrivateKey.generate(), False),
        ("ecdsa-p256", ed25519.Ed25519PrivateKey.generate(), False),
        ("ml-dsa-65", mldsa.MLDSA65PrivateKey.generate(), True),
        ("ml-dsa-65", mldsa.MLDSA87PrivateKey.generate(), True),
        ("ml-dsa-65", mldsa.MLDSA44PrivateKey.generate(), False),
        ("ml-dsa-65", ec.generate_private_key(ec.SECP256R1()), False),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_request_is_signed_when_its_key_is_of_the_cas_family_and_no_weaker(
    kind: str, key: object, is_signed: bool
) -> None:
    cert, ca_key = CA[kind]  # type: ignore[index]

    def sign() -> bytes:
        return sign_request(ca_cert=cert, ca_key=ca_key, role="sae", identity="app", csr=request(key), now=NOW, days=30)

    if is_signed:
        assert parsed(sign()).public_key() == key.public_key()  # type: ignore[attr-defined]
    else:
        with pytest.raises(CertificateRefused, match="which this CA signs"):
            sign()


def test_a_ca_of_a_kind_that_is_not_ours_signs_nothing() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    assert key_kind(key.public_key()) == "other"
    name = x509.Name([])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW.replace(year=2030))
    pem = builder.sign(key, None).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(CertificateRefused, match="none of ecdsa-p256, ml-dsa-65"):
        ca_kind(pem)
