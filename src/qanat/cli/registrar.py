"""`qanat sae ...` from afar: an operator asks the registrar, or an application renews its own certificate there.

Keys are made here and stay here; only a request for them travels.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from qanat.cli.identities import print_revoked, print_rows, read_request
from qanat.cli.show import as_json_text
from qanat.core.errors import EnvironmentProblem, MisuseError

if TYPE_CHECKING:
    from qanat.node.admin_afar import Afar

CONFLICT = 409


def show(door: Afar, *, as_json: bool) -> int:
    return print_rows(door.get("/admin/v1/certificates"), "sae", as_json=as_json)


def revoke(door: Afar, name: str, *, as_json: bool) -> int:
    found = door.post(f"/admin/v1/certificates/{quote(name, safe='')}/revoke")
    return print_revoked("sae", name, int(found["revoked"]), psks=found["psks_removed"], as_json=as_json)


def enroll(door: Afar, name: str, *, days: int, out: Path | None, csr: Path | None, as_json: bool) -> int:
    """An operator gets an application a certificate; without a request the key is made here."""
    from cryptography import x509  # noqa: PLC0415

    from qanat.crypto.requests import new_key, request_for  # noqa: PLC0415
    from qanat.node.privatefile import private_folder, write_private  # noqa: PLC0415

    if out is None:
        raise MisuseError("say with --out where the certificate goes: the network's own folders are elsewhere")
    request, keyfile = read_request(csr), out / "key.pem"
    if request is None and (keyfile.exists() or (out / "cert.pem").exists()):
        raise MisuseError(f"{out} holds a key or a certificate already. Choose another folder with --out")
    private_folder(out)
    key = None
    if request is None:
        key = new_key(x509.load_pem_x509_certificate(door.files.certfile.read_bytes()))  # the network has one kind
        request = request_for(key, name)
    body = {"csr": request.decode("ascii", "replace"), "days": days}
    found = door.post(f"/admin/v1/certificates/{quote(name, safe='')}/enroll", body)
    if key is not None:
        write_private(keyfile, key)
    write_private(out / "cert.pem", found["certificate"].encode())
    if as_json:
        as_json_text({"sae": name, "folder": str(out), "days": days})
    else:
        print(f"{name}: certificate for {days} days in {out}")
    return 0


def renew_own(door: Afar, name: str, *, days: int, out: Path | None, as_json: bool) -> int:
    """The application itself: a new key and certificate in the place of the files that it shows.

    The new key lies beside the old one before it is asked for, and is used again after a failure: an answer that was
    lost is given again for the same key, and for no other.
    """
    if out is not None:
        raise MisuseError("an application renews its files in their place: leave --out away")
    files = door.files
    _finish(files.certfile, files.keyfile)
    _check_own(files.certfile, name)
    found = _asked(door, files.certfile, files.keyfile, name, days)
    if as_json:
        as_json_text(
            {"sae": name, "ends": found["ends"], "old_ends": found["old_ends"], "certfile": str(files.certfile)}
        )
        return 0
    ends, old_ends = (found[key][:16].replace("T", " ") for key in ("ends", "old_ends"))
    print(f"{name}: certificate until {ends} UTC in {files.certfile}, its key in {files.keyfile}")
    print(f"the one before ends at {old_ends} UTC wherever else it lies")
    return 0


def _asked(door: Afar, certfile: Path, keyfile: Path, name: str, days: int) -> dict[str, Any]:
    from cryptography import x509  # noqa: PLC0415

    from qanat.crypto.requests import new_key, request_for  # noqa: PLC0415
    from qanat.node.admin_afar import RefusedAfar  # noqa: PLC0415
    from qanat.node.api.registrar import RENEWAL_PATH  # noqa: PLC0415
    from qanat.node.privatefile import write_private  # noqa: PLC0415

    next_key = _next(keyfile)
    if not next_key.exists():
        write_private(next_key, new_key(x509.load_pem_x509_certificate(certfile.read_bytes())))
    body = {"csr": request_for(next_key.read_bytes(), name).decode(), "days": days}
    try:
        found: dict[str, Any] = door.post(RENEWAL_PATH, body)
    except RefusedAfar as error:
        if error.status_code == CONFLICT:  # this key will never be certified for the certificate that was shown
            next_key.unlink(missing_ok=True)
        raise
    write_private(_next(certfile), found["certificate"].encode())
    _finish(certfile, keyfile)
    return found


def _next(path: Path) -> Path:
    return path.with_name(f"{path.name}.next")


def _finish(certfile: Path, keyfile: Path) -> None:
    """Put a new pair in its place; also one that a crash left between."""
    next_cert, next_key = _next(certfile), _next(keyfile)
    if not next_cert.exists():
        return
    try:
        with suppress(FileNotFoundError):  # the key went first, and then the machine stopped
            os.replace(next_key, keyfile)
        os.replace(next_cert, certfile)
    except OSError as error:
        raise EnvironmentProblem(f"{next_cert} and {next_key} cannot take the place of the old ones: {error}") from None


def _check_own(certfile: Path, name: str) -> None:
    from qanat.node.admin_afar import certificate_name  # noqa: PLC0415

    role, own = certificate_name(certfile)
    if (role, own) != ("sae", name):
        raise MisuseError(f"{certfile} is the certificate of {role} {own}; an application renews only its own")


def is_own(door: Afar) -> bool:
    """Does the caller show an application's certificate?"""
    from qanat.node.admin_afar import certificate_name  # noqa: PLC0415

    return certificate_name(door.files.certfile)[0] == "sae"
