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
from qanat.core.topology import Network, Registrar, host_and_port
from qanat.node.certificates import belongs_to, certificate_in, check_ca, check_kind, hosts_of, is_signed_by, urns_of
from qanat.node.holders import APPLICATIONS, KMES, OPERATORS, Holders
from qanat.node.instance import all_instances, site_of
from qanat.node.kek import provide_kek
from qanat.node.privatefile import private_folder, write_private
from qanat.node.statedir import StateDir

if TYPE_CHECKING:
    from cryptography import x509

    from qanat.crypto.pki import KeyKind, RoleName

CA_DAYS = 3650
LEAF_DAYS = 365
RENEW_BEFORE = timedelta(days=60)  # a network that is started every other month never meets an expired leaf
RENEW_PART = 6  # of a short-lived leaf: only its last sixth is too late
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
CONTROLLER, ADMIN, REGISTRAR = "controller", "admin", "registrar"
_SAE_URN = "urn:qanat:sae:"
BETWEEN_KMES = "ml-dsa-65-between-kmes"  # of ``Policy.pki``


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


def peer_credentials(state: StateDir, site: SiteId, pki: str) -> Credentials:
    """What a KME shows other KMEs, and the CA by which it knows them.

    Args:
        pki: The network's ``Policy.pki``.
    """
    if pki != BETWEEN_KMES:
        return kme_credentials(state, site)
    folder = state.node_to_peers(site)
    return Credentials(folder / "cert.pem", folder / "key.pem", state.peer_ca / "cert.pem")


def sae_credentials(state: StateDir, sae: SaeId) -> Credentials:
    return _credentials(state, state.sae(sae))


def admitting_ca(state: StateDir) -> Path:
    """What the doors for applications trust."""
    return state.sae_ca / "cert.pem"


def push_hosts(network: Network, sae: SaeId) -> list[str]:
    """Where an application serves: the host of its ``push_url``, if it has one."""
    url = network.saes[sae].push_url
    host = urlsplit(url or "").hostname
    return [] if host is None else [_one_spelling(host)]


def _one_spelling(host: str) -> str:
    """Of an address, as it is read back from a certificate."""
    with suppress(ValueError):
        return str(ip_address(host))
    return host


def identity_credentials(state: StateDir, name: str) -> Credentials:
    """Of ``CONTROLLER`` or ``ADMIN``."""
    return _credentials(state, state.identity(name))


def registrar_credentials(state: StateDir) -> Credentials:
    return _credentials(state, state.registrar)


def provision(
    state: StateDir, network: Network, now: datetime, *, hosts: Sequence[str] = LOOPBACK_HOSTS
) -> Provisioned:
    """Give every KME and SAE of the network, the controller and the admin a certificate.

    Three CAs sign: one for KMEs, one for applications, one for controller and admin. A door trusts the CA of those who
    may come in and no other, so a certificate of another kind does not get as far as being asked for its role. A fourth
    signs what KMEs show each other where the network file wants that to be ML-DSA and the rest P-256.

    Args:
        now: With a time zone.
        hosts: Names and addresses at which the KMEs and the controller are reached.

    Raises:
        EnvironmentProblem: the CA has expired, belongs to another network, is not of the kind that the network file
            asks for, or a file cannot be used.
    """
    state.prepare()
    done = Provisioned()
    pki = network.policy.pki
    kind: KeyKind = "ml-dsa-65" if pki == "ml-dsa-65" else "ecdsa-p256"
    ca = _Ca.load(state.ca, f"qanat network {network.name}", now, done, kind)
    applications = _Ca.load(state.sae_ca, f"qanat applications {network.name}", now, done, kind, before=ca)
    operators = _Ca.load(state.operator_ca, f"qanat operators {network.name}", now, done, kind, before=ca)
    ca.revoked, operators.revoked = _revoked(state, KMES), _revoked(state, OPERATORS)
    for instance in all_instances(network):
        site = site_of(instance)  # all instances bear its name, each with a private key of its own
        ca.provide(state.node(instance), "kme", site, _kme_hosts(network, site, hosts))
        provide_kek(state, instance)
    if pki == BETWEEN_KMES:
        peers = _Ca.load(state.peer_ca, f"qanat peers {network.name}", now, done, "ml-dsa-65")
        peers.revoked = ca.revoked
        for instance in all_instances(network):
            peers.provide(state.node_to_peers(instance), "kme", site_of(instance), list(hosts))
    if network.registrar is not None:
        ca.provide(state.registrar, "registrar", REGISTRAR, _registrar_hosts(network.registrar, hosts))
    applications.revoked = _revoked(state, APPLICATIONS)
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
    def load(
        cls, folder: Path, name: str, now: datetime, done: Provisioned, kind: KeyKind, before: _Ca | None = None
    ) -> _Ca:
        from qanat.crypto.pki import make_ca

        common_name = name[:64]
        private_folder(folder)
        certfile, keyfile = folder / "cert.pem", folder / "key.pem"
        if not certfile.exists():
            pem, key = make_ca(common_name=common_name, now=now, days=CA_DAYS, kind=kind)
            write_private(keyfile, key)
            write_private(certfile, pem)
            done.is_new_ca = True
        pem = certfile.read_bytes()
        certificate = certificate_in(certfile, pem)
        check_ca(folder, certificate, common_name, now)
        check_kind(folder, certificate, kind)
        key_or_none = keyfile.read_bytes() if keyfile.exists() else None
        if key_or_none is not None and not belongs_to(key_or_none, certificate):
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
        if not is_first and self._still_good(certfile, keyfile, urn) and self._names(certfile, hosts):
            self.done.kept.append(urn)
            return
        if not is_first and self._is_of_before(certfile):
            self.done.moved.append(urn)
        cert, key = self._issue(role, name, hosts)
        write_private(keyfile, key)
        write_private(certfile, cert)
        (self.done.made if is_first else self.done.renewed).append(urn)

    def _names(self, certfile: Path, hosts: list[str]) -> bool:
        """Does this leaf say all addresses at which its holder serves? One that was revoked is not made anew for it."""
        leaf = certificate_in(certfile, certfile.read_bytes())
        return leaf.serial_number in self.revoked or set(hosts) <= set(hosts_of(leaf))

    def _is_of_before(self, certfile: Path) -> bool:
        """Is this a leaf of the time when one CA served all roles?"""
        issuer = certificate_in(certfile, certfile.read_bytes()).issuer
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

    def _still_good(self, certfile: Path, keyfile: Path, urn: str) -> bool:
        """Raises:
        EnvironmentProblem: the certificate is another CA's, which is not ours to overwrite.
        """
        leaf = certificate_in(certfile, certfile.read_bytes())
        if self._is_of_before(certfile):
            return False
        if leaf.issuer != self.certificate.subject:
            raise EnvironmentProblem(
                f"{certfile} was issued by {leaf.issuer.rfc4514_string()}, not by this network's CA "
                f"({self.certificate.subject.rfc4514_string()}). Move it away to have a new one made."
            )
        if leaf.serial_number in self.revoked and is_signed_by(leaf, self.certificate):
            return True
        lifetime = leaf.not_valid_after_utc - leaf.not_valid_before_utc
        return (
            is_signed_by(leaf, self.certificate)
            and urns_of(leaf) == [urn]
            and leaf.not_valid_before_utc
            <= self.now
            < leaf.not_valid_after_utc - min(RENEW_BEFORE, lifetime / RENEW_PART)
            and keyfile.exists()
            and belongs_to(keyfile.read_bytes(), leaf)
        )


def _revoked(state: StateDir, holders: Holders) -> frozenset[int]:
    """Those that are taken back by now; one whose end was only brought forward is renewed as any other."""
    from datetime import UTC

    from qanat.node.revocation import revoked_serials

    now = datetime.now(UTC)
    return frozenset(serial for serial, since in revoked_serials(state, holders).items() if since <= now)


def _credentials(state: StateDir, folder: Path) -> Credentials:
    return Credentials(folder / "cert.pem", folder / "key.pem", state.ca / "cert.pem")


def _kme_hosts(network: Network, site: SiteId, hosts: Sequence[str]) -> list[str]:
    """At which applications, other KMEs and operators find it."""
    admin, reach = network.sites[site].admin, network.sites[site].applications
    named = ([host_and_port(admin)[0]] if admin else []) + ([reach.host] if reach is not None else [])
    return list(dict.fromkeys([*hosts, *_as_host(site, hosts), *map(_one_spelling, named)]))


def _registrar_hosts(registrar: Registrar, hosts: Sequence[str]) -> list[str]:
    own = [host_and_port(address)[0] for address in (registrar.operators, registrar.applications) if address]
    return list(dict.fromkeys([*hosts, *own]))


def _as_host(site: SiteId, hosts: Sequence[str]) -> list[str]:
    """The site's id as a host name, where it can be one: an underscore or a dot at the end cannot."""
    return [site.lower()] if site.replace("-", "").isalnum() and not site.endswith("-") and site not in hosts else []
