"""What a network is: sites, fibres, links, applications, demands, policy. Read from one network file."""

from __future__ import annotations

from dataclasses import dataclass, field

from qanat.core.ids import FibreId, LinkId, SaeId, SiteId
from qanat.core.trust import RELAYING, RelayRule, Trust


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How applications on other machines reach a site's KME.

    Attributes:
        host: The name or address by which they call; the KME's certificate holds it.
        listen: The address of its machine at which its doors listen, beside loopback; empty: the ``host``'s when that
            is an address, every one when it is a name.
        ports: By interface: "etsi014", "etsi004", "etsi004_push", "skip", "skip_psk". Further instances of the KME have
            the ones that follow. What is not named is chosen at the start.
    """

    host: str
    listen: str = ""
    ports: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A place with a KME and QKD modules: a QKD node.

    ``latitude_deg`` and ``longitude_deg`` are WGS 84. ``is_trusted`` says whether keys may be relayed
    through it at all, ``trust`` whose it is; ``label`` says both in one word. ``admin`` is where its KME answers
    operators over HTTPS, ``host:port``; empty: nowhere. ``kme_count`` is how many instances of its KME there are: one
    serves, the others wait to take over. ``applications`` is where applications on other machines find it; None: it
    listens on loopback only.
    """

    id: SiteId
    name: str
    latitude_deg: float
    longitude_deg: float
    is_trusted: bool = True
    trust: Trust = Trust.OWN
    admin: str = ""
    kme_count: int = 1
    applications: Reach | None = None

    @property
    def label(self) -> Trust:
        return self.trust if self.is_trusted else Trust.UNTRUSTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Fibre:
    """A dark fibre between two sites."""

    id: FibreId
    ends: tuple[SiteId, SiteId]
    length_km: float
    attenuation_db_per_km: float
    extra_loss_db: float = 0.0

    @property
    def loss_db(self) -> float:
        return self.length_km * self.attenuation_db_per_km + self.extra_loss_db


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The slow weather of a link that is simulated, and whether its receiver steers against it.

    Attributes:
        fibre: "indoor", "buried" or "aerial"; the kind's drift is in ``physics/drift/rotation.py``.
        rotation_rad_per_sqrt_s: How far the polarisation wanders in a second, standard deviation; None: the kind's.
        rotation_rad_per_k: By how much it turns with the air's temperature; None: the kind's.
        swing_k: The cabinets' daily swing around their mean, amplitude.
        noise_k, noise_time_s: Their noise on top: standard deviation and correlation time.
        is_controlled: Whether the receiver steers the polarisation back.
        control_interval_s: How often it does; also the grid on which all of this changes.
    """

    fibre: str = "buried"
    rotation_rad_per_sqrt_s: float | None = None
    rotation_rad_per_k: float | None = None
    swing_k: float = 2.0
    noise_k: float = 0.3
    noise_time_s: float = 1800.0
    is_controlled: bool = True
    control_interval_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A QKD link: a transmitter at one site, a receiver at another, one fibre between.

    Attributes:
        protocol: "decoy-bb84" is the one that runs live.
        transmitter, receiver: Names of module datasheets.
        clock_hz: Pulses per second.
        block_sifted_bits: X bits of one key block, on average.
        reconciliation: "auto", "cascade", "cascade-low-leak" or "ldpc".
        pulse_block_ns: Link time of one pulse block.
        epsilon_sec, epsilon_cor: Secrecy and correctness of one key block.
        environment: What weather a simulated link has; None: none at all, and nothing drifts.
    """

    id: LinkId
    transmitter_site: SiteId
    receiver_site: SiteId
    fibre: FibreId
    protocol: str
    transmitter: str
    receiver: str
    clock_hz: float
    block_sifted_bits: int
    pulse_block_ns: int
    epsilon_sec: float
    epsilon_cor: float
    reconciliation: str = "auto"
    environment: Environment | None = None

    @property
    def sites(self) -> tuple[SiteId, SiteId]:
        return (self.transmitter_site, self.receiver_site)

    def other_end(self, site: SiteId) -> SiteId:
        if site not in self.sites:
            raise ValueError(f"site {site} is not an end of link {self.id}")
        return self.sites[1] if site == self.sites[0] else self.sites[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sae:
    """An application: a secure application entity at one site.

    Attributes:
        rate_bits_per_s_max: Bits that it may take as a master in the long run; None: as many as there are.
        burst_bits: Bits at once after a pause; None: those of one second, or one key if that is more.
        push_url: Where it listens for chunks of its key streams, ``https://host:port``; no other place gets any.
    """

    id: SaeId
    site: SiteId
    rate_bits_per_s_max: float | None = None
    burst_bits: float | None = None
    push_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Two SAEs may share keys and want this many bits per second.

    ``relay_paths``, ``relay_threshold`` and ``relay_through`` replace the policy's for this pair; None: they hold.
    """

    saes: tuple[SaeId, SaeId]
    rate_bits_per_s: float
    relay_paths: int | None = None
    relay_threshold: int | None = None
    relay_through: tuple[Trust, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """Another operator's key management system, met at one trusted site (ETSI GS QKD 020).

    Attributes:
        id: The name in its certificate: ``urn:qanat:kme:<id>``.
        site: Ours, at which both meet.
        url: Where it listens, ``https://host:port``.
        own_url: Where it reaches us.
        standby_urls, own_standby_urls: The same of further instances of either KME, in their order.
        pairs: Our application, theirs.
    """

    id: str
    site: SiteId
    url: str
    own_url: str
    pairs: tuple[tuple[SaeId, SaeId], ...]
    standby_urls: tuple[str, ...] = ()
    own_standby_urls: tuple[str, ...] = ()

    @property
    def saes(self) -> frozenset[SaeId]:
        """Applications in its network that ours share keys with."""
        return frozenset(theirs for _, theirs in self.pairs)

    @property
    def callback_url(self) -> str:
        """Where it wants our acknowledgements; no other place is ever called."""
        return self.url + "/kmapi/v1/ext_keys/ack"

    @property
    def own_callback_url(self) -> str:
        return self.own_url + "/kmapi/v1/ext_keys/ack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registrar:
    """The process that holds the CA of applications and gives certificates out; addresses are ``host:port``.

    Attributes:
        operators: Where operators enrol and revoke applications.
        applications: Where applications renew their own certificates; empty: nowhere.
    """

    operators: str
    applications: str = ""


def host_and_port(address: str) -> tuple[str, int]:
    """The two parts of ``host:port``.

    Example:
        >>> host_and_port("kme.example:9443"), host_and_port("[::1]:9443")
        (('kme.example', 9443), ('::1', 9443))
    """
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Limits that hold for the whole network.

    Attributes:
        key_size_bits: Default key size of ETSI 014.
        buffer_keys: Keys of that size that every KM pair keeps in store for each direction.
        store_bits_max: A KME refuses blocks of a link beyond this.
        false_alarm_interval_s: Mean time between false alarms of one link's monitors, in link time.
        suspect_margin_s: Link time before the estimated start of an attack whose keys are suspected too: it
            may have begun below what a monitor can see.
        requalify_s: Link time of good blocks before a link that was alarmed serves again.
        max_trusted_nodes: Longest relay, in nodes between the ends.
        relay_paths, relay_threshold, relay_through: What relays use unless a demand says more; see ``RelayRule``.
        key_ttl_s: Wall clock from the making of a key to its destruction at both ends, delivered or not.
        redelivery_s: A KME keeps an answer with keys for so long in memory, so that the application whose
            connection broke may have the same keys again; 0 keeps none.
        pq_tls: "preferred": TLS agrees its keys by X25519MLKEM768 where the other end can; "required": KMEs close
            connections that do not.
        skip_psk: Routers may show a pre-shared key at SKIP doors of their own: "off", "forward_secret", or "plain",
            which adds the suite of TLS 1.2 that protects nothing recorded before the key is lost.
        pki: What certificates hold and are signed with: "ecdsa-p256"; "ml-dsa-65"; or "ml-dsa-65-between-kmes", where
            KMEs show each other ML-DSA-65, and applications P-256.
        calls_per_s: Calls of one SAE to one interface of its KME, with as many at once; None sets no limit.
        reserve_keys: Keys of the default size, for each direction of each SAE pair, that other pairs of the same two
            sites cannot take; 0: first come, first served.
    """

    key_size_bits: int = 256
    buffer_keys: int = 128
    store_bits_max: int = 16_000_000
    false_alarm_interval_s: float = 2_592_000.0  # 30 days
    suspect_margin_s: float = 2.0
    requalify_s: float = 1.0
    max_trusted_nodes: int = 4
    relay_paths: int = 1
    relay_threshold: int = 1
    relay_through: tuple[Trust, ...] = RELAYING
    key_ttl_s: float = 86_400.0  # a day
    redelivery_s: float = 0.0
    pq_tls: str = "preferred"
    skip_psk: str = "off"
    pki: str = "ecdsa-p256"
    calls_per_s: float | None = None
    reserve_keys: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One network file, checked."""

    name: str
    is_simulation: bool
    sites: dict[SiteId, Site]
    fibres: dict[FibreId, Fibre]
    links: dict[LinkId, Link]
    saes: dict[SaeId, Sae]
    demands: tuple[Demand, ...]
    policy: Policy = field(default_factory=Policy)
    partners: dict[str, Partner] = field(default_factory=dict)
    registrar: Registrar | None = None

    def links_at(self, site: SiteId) -> list[Link]:
        return [link for link in self.links.values() if site in link.sites]

    def links_between(self, a: SiteId, b: SiteId) -> list[Link]:
        return [link for link in self.links.values() if set(link.sites) == {a, b}]

    def may_pair(self, a: SaeId, b: SaeId) -> bool:
        """Policy: only pairs named in a demand share keys; an SAE may pair with itself."""
        return a == b or any(set(demand.saes) == {a, b} for demand in self.demands)

    def km_pairs(self) -> list[tuple[SiteId, SiteId]]:
        """Unordered site pairs that some demand needs, sorted, ends at one site left out."""
        pairs = {tuple(sorted(self.saes[sae].site for sae in demand.saes)) for demand in self.demands}
        return sorted((SiteId(a), SiteId(b)) for a, b in pairs if a != b)

    def relay_rule(self, a: SiteId, b: SiteId) -> RelayRule:
        """What relays between two sites must obey: the strictest of their demands, the policy where none says more.

        Keys of a pair of sites lie in one store, whichever demand they serve, so they are all made for the strictest.
        """
        policy, wanted = self.policy, {a, b}
        demands = [demand for demand in self.demands if {self.saes[sae].site for sae in demand.saes} == wanted]
        threshold = max((d.relay_threshold or policy.relay_threshold for d in demands), default=policy.relay_threshold)
        paths = max((d.relay_paths or policy.relay_paths for d in demands), default=policy.relay_paths)
        through = frozenset(policy.relay_through)
        if demands:
            through = frozenset.intersection(
                *(frozenset(policy.relay_through if d.relay_through is None else d.relay_through) for d in demands)
            )
        return RelayRule(paths=max(paths, threshold), threshold=threshold, through=through)

    def may_relay(self, site: SiteId, rule: RelayRule) -> bool:
        """Whether keys under this rule may cross the site."""
        return self.sites[site].is_trusted and self.sites[site].label in rule.through
