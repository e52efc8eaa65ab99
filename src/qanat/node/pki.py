"""The network's own certificates on the disk: made at the first start, reused, renewed before they end."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import SaeId, SiteId
from qanat.core.topology import Network
from qanat.node.kek import provide_kek
from qanat.node.privatefile import private_folder, write_private
from qanat.node.statedir import StateDir

if TYPE_CHECKING:
    from cryptography import x509

    from qanat.crypto.pki import RoleName

CA_DAYS = 3650
LEAF_DAYS = 365
RENEW_BEFORE = timedelta(days=60)  # a network that is started every other month never meets an expired leaf
RENEW_PART = 6  # of a short-lived leaf: only its last sixth is too late
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
CONTROLLER, ADMIN = "controller", "admin"
_SAE_URN = "urn:qanat:sae:"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The three files that a TLS end needs, all PEM."""

    certfile: Path
    keyfile: Path
    cafile: Path


@dataclass(slots=True)
class Provisioned:
    """What ``provision`` did, by the URN of each party.

    Attributes:
        moved: Those of ``renewed`` whose certificate came from the one CA that served all roles before.
    """

    is_new_ca: bool = False
    made: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """What whoever runs the network has to know: which applications hold a certificate that is not the last one."""
        moved = [urn.rpartition(":")[2] for urn in self.moved if urn.startswith(_SAE_URN)]
        renewed = [urn.rpartition(":")[2] for urn in self.renewed if urn.startswith(_SAE_URN) and urn not in self.moved]
        told = []
        if moved:
            told.append(
                f"new certificates, since applications have a CA of their own now: {', '.join(moved)}. The old ones "
                "are not admitted any more; give the new ones out"
            )
        if renewed:
            told.append(f"certificates renewed: {', '.join(renewed)}. Give them out before the old ones end")
        return told


def kme_credentials(state: StateDir, site: SiteId) -> Credentials:
    return _credentials(state, state.node(site))


def sae_credentials(state: StateDir, sae: SaeId) -> Credentials:
    return _credentials(state, state.sae(sae))


def admitting_ca(state: StateDir) -> Path:
    """What the doors for applications trust."""
    return state.sae_ca / "cert.pem"


def push_hosts(network: Network, sae: SaeId) -> list[str]:
    """Where an application serves: the host of its ``push_url``, if it has one."""
    url = network.saes[sae].push_url
    host = urlsplit(url or "").hostname
    if host is None:
        return []
    with suppress(ValueError):
        host = str(ip_address(host))  # one spelling of each, as it is read back from a certificate
    return [host]


def identity_credentials(state: StateDir, name: str) -> Credentials:
    """Of ``CONTROLLER`` or ``ADMIN``."""
    return _credentials(state, state.identity(name))


def provision(
    state: StateDir, network: Network, now: datetime, *, hosts: Sequence[str] = LOOPBACK_HOSTS
) -> Provisioned:
    """Give every KME and SAE of the network, the controller and the admin a certificate.

    Three CAs sign: one for KMEs, one for applications, one for controller and admin. A door trusts the CA of those who
    may come in and no other, so a certificate of another kind does not get as far as being asked for its role.

    Args:
        now: With a time zone.
        hosts: Names and addresses at which the KMEs and the controller are reached.

    Raises:
        EnvironmentProblem: the CA has expired, belongs to another network, or a file cannot be used.
    """
    state.prepare()
    done = Provisioned()
    ca = _Ca.load(state.ca, f"qanat network {network.name}", now, done)
    applications = _Ca.load(state.sae_ca, f"qanat applications {network.name}", now, done, before=ca)
    operators = _Ca.load(state.operator_ca, f"qanat operators {network.name}", now, done, before=ca)
    for site in network.sites:
        ca.provide(state.node(site), "kme", site, [*hosts, *_as_host(site, hosts)])
        provide_kek(state, site)
    applications.revoked = _revoked(state)
    for sae in network.saes:
        applications.provide(state.sae(sae), "sae", sae, push_hosts(network, sae))
    operators.provide(state.identity(CONTROLLER), "controller", CONTROLLER, list(hosts))
    operators.provide(state.identity(ADMIN), "admin", ADMIN, [])
    return done


@dataclass(slots=True)
class _Ca:
    """One CA as it lies in the state directory.

    Attributes:
        before: The CA that issued these leaves when one CA served all roles: such a leaf is made anew.
        key: None when its private key was taken elsewhere; then nothing can be made or renewed.
        revoked: Serial numbers. Such a leaf stays as it is: a new start must not give back what was taken.
    """

    folder: Path
    pem: bytes
    key: bytes | None
    certificate: x509.Certificate
    now: datetime
    done: Provisioned
    before: _Ca | None = None
    revoked: frozenset[int] = frozenset()

    @classmethod
    def load(cls, folder: Path, name: str, now: datetime, done: Provisioned, before: _Ca | None = None) -> _Ca:
        from qanat.crypto.pki import make_ca

        common_name = name[:64]
        private_folder(folder)
        certfile, keyfile = folder / "cert.pem", folder / "key.pem"
        if not certfile.exists():
            pem, key = make_ca(common_name=common_name, now=now, days=CA_DAYS)
            write_private(keyfile, key)
            write_private(certfile, pem)
            done.is_new_ca = True
        pem = certfile.read_bytes()
        certificate = _certificate(certfile, pem)
        _check_ca(folder, certificate, common_name, now)
        key_or_none = keyfile.read_bytes() if keyfile.exists() else None
        if key_or_none is not None and not _belongs(key_or_none, certificate):
            raise EnvironmentProblem(
                f"{keyfile} is not the private key of {certfile}. Put the right one back, or move {folder} away "
                "to begin with a new CA."
            )
        return cls(folder, pem, key_or_none, certificate, now, done, before)

    def provide(self, folder: Path, role: RoleName, name: str, hosts: list[str]) -> None:
        """Keep, renew or make one party's certificate."""
        private_folder(folder.parent)
        private_folder(folder)
        certfile, keyfile, urn = folder / "cert.pem", folder / "key.pem", f"urn:qanat:{role}:{name}"
        is_first = not certfile.exists()
        if not is_first and self._still_good(certfile, keyfile, urn, hosts if role == "sae" else []):
            self.done.kept.append(urn)
            return
        if not is_first and self._is_of_before(certfile):
            self.done.moved.append(urn)
        cert, key = self._issue(role, name, hosts)
        write_private(keyfile, key)
        write_private(certfile, cert)
        (self.done.made if is_first else self.done.renewed).append(urn)

    def _is_of_before(self, certfile: Path) -> bool:
        """Is this a leaf of the time when one CA served all roles?"""
        issuer = _certificate(certfile, certfile.read_bytes()).issuer
        return self.before is not None and issuer == self.before.certificate.subject

    def _issue(self, role: RoleName, name: str, hosts: list[str]) -> tuple[bytes, bytes]:
        from qanat.crypto.pki import issue
        from qanat.node.issued import note_issued

        if self.key is None:
            raise EnvironmentProblem(
                f"A certificate for {role} {name} is due and {self.folder / 'key.pem'} is not there. Bring the CA's "
                "private key back for this start."
            )
        cert, key = issue(
            ca_cert=self.pem,
            ca_key=self.key,
            role=role,
            identity=name,
            hosts=hosts,
            now=self.now,
            days=LEAF_DAYS,
            is_serving=bool(hosts),
        )
        note_issued(self.folder, cert)
        return cert, key

    def _still_good(self, certfile: Path, keyfile: Path, urn: str, hosts: list[str]) -> bool:
        """Raises:
        EnvironmentProblem: the certificate is another CA's, which is not ours to overwrite.
        """
        leaf = _certificate(certfile, certfile.read_bytes())
        if self._is_of_before(certfile):
            return False
        if leaf.issuer != self.certificate.subject:
            raise EnvironmentProblem(
                f"{certfile} was issued by {leaf.issuer.rfc4514_string()}, not by this network's CA "
                f"({self.certificate.subject.rfc4514_string()}). Move it away to have a new one made."
            )
        if leaf.serial_number in self.revoked and _is_signed_by(leaf, self.certificate):
            return True
        lifetime = leaf.not_valid_after_utc - leaf.not_valid_before_utc
        return (
            _is_signed_by(leaf, self.certificate)
            and _urns(leaf) == [urn]
            and set(hosts) <= hosts_of(leaf)
            and leaf.not_valid_before_utc
            <= self.now
            < leaf.not_valid_after_utc - min(RENEW_BEFORE, lifetime / RENEW_PART)
            and keyfile.exists()
            and _belongs(keyfile.read_bytes(), leaf)
        )


def _revoked(state: StateDir) -> frozenset[int]:
    from qanat.node.enrolment import revoked_serials

    return revoked_serials(state)


def _check_ca(folder: Path, certificate: x509.Certificate, common_name: str, now: datetime) -> None:
    names = [attribute.value for attribute in certificate.subject]
    if names != [common_name]:
        raise EnvironmentProblem(
            f"The CA in {folder} is {certificate.subject.rfc4514_string()}, not the one of this network "
            f"(CN={common_name}). Give this network its own directory with QANAT_STATE."
        )
    if now >= certificate.not_valid_after_utc:
        raise EnvironmentProblem(
            f"The CA in {folder} expired on {certificate.not_valid_after_utc:%Y-%m-%d}. Move that folder away and "
            "start again: a new CA and new certificates are made, stored keys stay. Applications then need the new "
            "CA file and certificates."
        )
    if now < certificate.not_valid_before_utc:
        raise EnvironmentProblem(
            f"The CA in {folder} is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC and this "
            f"machine's clock says {now:%Y-%m-%d %H:%M} UTC. Set the clock."
        )


def _credentials(state: StateDir, folder: Path) -> Credentials:
    return Credentials(folder / "cert.pem", folder / "key.pem", state.ca / "cert.pem")


def _as_host(site: SiteId, hosts: Sequence[str]) -> list[str]:
    """The site's id as a host name, where it can be one: an underscore or a dot at the end cannot."""
    return [site.lower()] if site.replace("-", "").isalnum() and not site.endswith("-") and site not in hosts else []


def _certificate(path: Path, pem: bytes) -> x509.Certificate:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise EnvironmentProblem(f"{path} is no certificate in PEM. Move it away to have a new one made.") from None


def _urns(certificate: x509.Certificate) -> list[str]:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return names.value.get_values_for_type(x509.UniformResourceIdentifier)


def hosts_of(certificate: x509.Certificate) -> set[str]:
    """Names and addresses at which its holder may serve."""
    from cryptography import x509

    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}


def _is_signed_by(leaf: x509.Certificate, ca: x509.Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        leaf.verify_directly_issued_by(ca)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _belongs(key_pem: bytes, certificate: x509.Certificate) -> bool:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError):
        return False
    return key.public_key() == certificate.public_key()
