"""Random requests to the doors of operators (a KME's, the registrar's), and to the one where applications renew."""

from __future__ import annotations

import base64
import random
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from fuzzing.http_shapes import VERBS, Asked, http, query, strange_name, strange_path
from fuzzing.values import json_body, json_value, mutated

VERBS_OF_HUB: dict[str, list[str]] = {  # and their arguments
    "snapshot": [],
    "attack_start": ["link", "name"],
    "attack_stop": ["link"],
    "cut": ["fibre"],
    "mend": ["fibre"],
    "link_blocks": ["link"],
    "link_block": ["link", "block"],
    "sae": ["name"],
    "answer": ["request"],
}
PATHS_KME = ["/openapi.json", "/admin/v1/kme", "/admin/v1/network", "/admin/v1/kme/unseal", "/admin/v1", "/admin/v1/"]
PATHS_REGISTRAR = ["/openapi.json", "/admin/v1/certificates", "/admin/v1/certificates/spare/enroll", "/admin/v1/kme"]
RENEWAL = "/renew/v1/certificate"
ARGUMENTS: dict[str, list[Any]] = {
    "link": ["site0-site1", "site0-site1", "x"],
    "name": ["intercept-resend", "blinding", "m0", "x", ""],
    "fibre": ["duct-site0-site1", "x"],
    "block": ["last", "1", ""],
}
NAMES_HUB = [*ARGUMENTS, "self", "strength", "parameters", "request", "verb"]


def request_kme(rng: random.Random, _: object) -> Asked:
    """To the door of a KME."""
    kind = rng.random()
    if kind < 0.15:
        return http(rng, "GET" if rng.random() < 0.9 else rng.choice(VERBS), strange_path(rng, PATHS_KME), b"")
    if kind < 0.25:
        share = rng.choice(["", "x", "qanat-share-1", "a-" * 400, "\0", "1-2-3"])
        return http(rng, "POST", "/admin/v1/kme/unseal", json_body(rng, {"share": share}, ["share", "verb"]))
    if kind < 0.27:
        return http(
            rng, "POST", "/admin/v1/kme/rotate", json_body(rng, {"a": 1}, ["share"]) if rng.random() < 0.9 else b""
        )
    verb, wanted = rng.choice(list(VERBS_OF_HUB.items()))
    given = {name: rng.choice(ARGUMENTS.get(name, ["x"])) for name in wanted}
    if rng.random() < 0.3:
        given[rng.choice(NAMES_HUB)] = rng.choice([1e308, -1, 0.5, None, True, "x", 2**63, 2**64, -(2**63) - 1])
    if rng.random() < 0.1:
        verb = rng.choice(["x", "__init__", "a" * 40, "_cut", "%6d"])
    verb_http = "POST" if rng.random() < 0.95 else rng.choice(VERBS)
    return http(rng, verb_http, f"/admin/v1/network/{verb}", json_body(rng, given, NAMES_HUB))


def request_registrar(rng: random.Random, _: object) -> Asked:
    """To its door for operators. The applications "spare..." are there to be enrolled and revoked."""
    kind = rng.random()
    if kind < 0.15:
        return http(rng, "GET" if rng.random() < 0.8 else rng.choice(VERBS), strange_path(rng, PATHS_REGISTRAR), b"")
    name = rng.choice(["spare0", "spare1"]) if rng.random() < 0.7 else strange_name(rng, ["..", "site0", "admin"])
    call = rng.choices(["enroll", "revoke", "x"], (14, 3, 1))[0]
    path = f"/admin/v1/certificates/{name}/{call}" + (query(rng, ["days"]) if rng.random() < 0.03 else "")
    body = json_body(rng, _request(rng), ["csr", "days"]) if call == "enroll" or rng.random() < 0.2 else b""
    return http(rng, "POST", path, body)


def request_renewal(rng: random.Random, _: object) -> Asked:
    path = RENEWAL if rng.random() < 0.9 else strange_path(rng, [RENEWAL, "/openapi.json"])
    return http(
        rng, "POST" if rng.random() < 0.9 else rng.choice(VERBS), path, json_body(rng, _request(rng), ["csr", "days"])
    )


def _request(rng: random.Random) -> dict[str, Any]:
    members: dict[str, Any] = {"csr": _csr(rng)}
    if rng.random() < 0.4:
        members["days"] = rng.choice([1, 30, 30, 0, -1, 826, 10**6, 2**63, 10**30, 1.0, "30", None])
    return members if rng.random() < 0.95 else members | {"x": json_value(rng)}


def _csr(rng: random.Random) -> str:
    """A request as it should be, of a key that is not to be signed, or with bytes changed inside."""
    der = rng.choice(_requests())
    kind = rng.random()
    if kind < 0.4:
        der = mutated(rng, der)
    elif kind < 0.45:
        der = der[: rng.randrange(len(der))]
    text = base64.encodebytes(der).decode()
    label = (
        "CERTIFICATE REQUEST" if rng.random() < 0.95 else rng.choice(["NEW CERTIFICATE REQUEST", "CERTIFICATE", "X\0"])
    )
    pem = f"-----BEGIN {label}-----\n{text}-----END {label}-----\n"
    return pem if rng.random() < 0.95 else rng.choice([pem * 2, pem[:-9], text, "", "é" + pem, "\0"])


@cache
def _requests() -> tuple[bytes, ...]:
    """By keys of many kinds, in DER."""
    keys: list[Any] = [
        *(ec.generate_private_key(curve()) for curve in (ec.SECP256R1, ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)),
        ec.generate_private_key(ec.SECP256K1()),
        rsa.generate_private_key(65_537, 2048),
        rsa.generate_private_key(65_537, 1024),  # noqa: S505 - they are to be refused
        ed25519.Ed25519PrivateKey.generate(),
        dsa.generate_private_key(1024),  # noqa: S505
    ]
    made = []
    for key in keys:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "m0")])
        algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, algorithm)
        made.append(request.public_bytes(serialization.Encoding.DER))
    return tuple(made)
