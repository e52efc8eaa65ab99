"""What may be written in a network file. Shapes and ranges only; ``meaning.py`` looks across the parts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from qanat.core.topology import Environment, Policy
from qanat.core.trust import PATHS_MAX

# Ids become file names, parts of URLs, certificate names (at most 64 characters) and labels of metrics.
ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"

HOST_PATTERN = r"^([A-Za-z0-9.-]+|[0-9A-Fa-f:.]+)$"
ADDRESS_PATTERN = r"^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[1-9][0-9]{0,4}$"
URL_PATTERN = r"^https://[A-Za-z0-9.\[\]:-]+$"

Id = Annotated[str, Field(pattern=ID_PATTERN)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Url = Annotated[str, Field(pattern=URL_PATTERN)]
Pair = Annotated[list[str], Field(min_length=2, max_length=2)]
Through = Annotated[list[Literal["own", "partner", "leased"]], Field(min_length=1)]
Epsilon = Annotated[float, Field(gt=0, lt=1)]

_LIMITS = Policy()
_WEATHER = Environment()


class Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, title="")


class ReachDocument(Document):
    """Where applications on other machines find a site's KME; ports that are not named are chosen at the start."""

    host: str = Field(pattern=HOST_PATTERN, description="Name or address by which they call; its certificate holds it")
    listen: str | None = Field(
        default=None,
        pattern=HOST_PATTERN,
        description="Its machine's address to listen at beside loopback; by default host, or all if that is a name",
    )
    etsi014: Port | None = Field(default=None, description="TCP port of ETSI GS QKD 014")
    etsi004: Port | None = Field(default=None, description="TCP port of ETSI GS QKD 004")
    etsi004_push: Port | None = Field(default=None, description="TCP port of 004's push mode; needs a push_url here")
    skip: Port | None = Field(default=None, description="TCP port of SKIP by certificate")
    skip_psk: Port | None = Field(default=None, description="TCP port of SKIP by pre-shared key; needs policy.skip_psk")


class SiteDocument(Document):
    """A place with a KME and QKD modules."""

    id: Id
    name: str = Field(default="", max_length=100, description="For people; the id if left out")
    latitude_deg: float = Field(ge=-90, le=90, description="WGS 84")
    longitude_deg: float = Field(ge=-180, le=180, description="WGS 84")
    trusted: bool = Field(default=True, description="May keys of others be relayed through it?")
    trust: Literal["own", "partner", "leased", "untrusted"] = Field(
        default="own", description="Whose it is; untrusted: nothing is relayed through it"
    )
    admin: str | None = Field(
        default=None, pattern=ADDRESS_PATTERN, description="host:port where its KME answers operators over HTTPS"
    )
    kme_count: int = Field(
        default=1, ge=1, le=4, description="Instances of its KME; more than one needs a store on PostgreSQL"
    )
    applications: ReachDocument | None = Field(
        default=None, description="Where applications on other machines find its KME; loopback only if left out"
    )


class FibreDocument(Document):
    """A dark fibre between two sites."""

    id: Id
    between: Pair = Field(description="The two site ids")
    length_km: float = Field(gt=0, le=1000)
    attenuation_db_per_km: float = Field(default=0.20, gt=0, le=10, description="0.20 is G.652.D at 1550 nm")
    extra_loss_db: float = Field(default=0.0, ge=0, le=60, description="Splices, connectors, filters")


class EnvironmentDocument(Document):
    """The weather of a simulated link: what drifts, and whether the receiver steers against it."""

    fibre: Literal["indoor", "buried", "aerial"] = Field(
        default="buried", description="indoor, buried or aerial: sets its drift"
    )
    rotation_rad_per_sqrt_s: float | None = Field(
        default=None, ge=0, le=100, description="How far polarisation wanders in a second; by default as the fibre lies"
    )
    rotation_rad_per_k: float | None = Field(
        default=None, ge=-100, le=100, description="By how much it turns per kelvin; by default as the fibre lies"
    )
    swing_k: float = Field(default=_WEATHER.swing_k, ge=0, le=40, description="Daily swing of the cabinets, amplitude")
    noise_k: float = Field(default=_WEATHER.noise_k, ge=0, le=20, description="Their noise on top, standard deviation")
    noise_time_s: float = Field(default=_WEATHER.noise_time_s, gt=0, le=1e7, description="Its correlation time")
    controlled: bool = Field(default=True, description="Does the receiver steer polarisation back?")
    control_interval_s: float = Field(
        default=_WEATHER.control_interval_s, ge=0.05, le=3600, description="How often; weather changes in these steps"
    )


class LinkDocument(Document):
    """A QKD link: a transmitter, a receiver and one fibre."""

    id: Id
    from_site: str = Field(alias="from", description="Site of the transmitter")
    to_site: str = Field(alias="to", description="Site of the receiver")
    fibre: str
    protocol: str = Field(default="decoy-bb84")
    transmitter: str = Field(default="decoy-1ghz", description="Name of a transmitter datasheet")
    receiver: str = Field(default="ingaas-gated", description="Name of a receiver datasheet")
    clock_hz: float = Field(default=1e9, ge=1e3, le=1e11, description="Pulses per second")
    # Below 10 000 bits no proof gives key; above 4 million a Toeplitz seed does not fit one message (distill.plan).
    block_sifted_bits: int = Field(default=200_000, ge=10_000, le=4_000_000)
    reconciliation: Literal["auto", "cascade", "cascade-low-leak", "ldpc"] = Field(
        default="auto", description="How errors are corrected; auto: by the link's rate and round-trip time"
    )
    pulse_block_ns: int = Field(
        default=50_000_000, ge=1_000_000, le=10_000_000_000, description="Link time of one pulse block"
    )
    epsilon_sec: Epsilon = Field(default=1e-10, description="Secrecy of one key block")
    epsilon_cor: Epsilon = Field(default=1e-15, description="Correctness of one key block")
    environment: EnvironmentDocument | None = Field(
        default=None, description="Weather of a simulated link, `[links.environment]`; without it nothing drifts"
    )


class SaeDocument(Document):
    """An application: a secure application entity."""

    id: Id
    site: str
    rate_bits_per_s_max: float | None = Field(default=None, gt=0, le=1e12)
    burst_bits: float | None = Field(default=None, gt=0, le=1e12)
    push_url: str | None = Field(
        default=None,
        pattern=URL_PATTERN,
        description="Where it listens for pushed chunks of key streams: https://host:port; opens that interface",
    )


class DemandDocument(Document):
    """Two SAEs may share keys and want this rate."""

    between: Pair = Field(description="The two SAE ids")
    rate_bits_per_s: float = Field(gt=0, le=1e9)
    relay_paths: int | None = Field(default=None, ge=1, le=PATHS_MAX, description="As in `[policy]`, for this pair")
    relay_threshold: int | None = Field(default=None, ge=1, le=PATHS_MAX, description="As in `[policy]`, for this pair")
    relay_through: Through | None = Field(default=None, description="As in `[policy]`, for this pair")


class PartnerDocument(Document):
    """Another operator's key management system, met at one of our sites (ETSI GS QKD 020)."""

    id: Id = Field(description="The name in its certificate, urn:qanat:kme:<id>")
    site: str = Field(description="Our site at which both meet")
    url: str = Field(pattern=URL_PATTERN, description="Where it listens: https://host:port")
    own_url: str = Field(pattern=URL_PATTERN, description="Where it reaches our KME")
    standby_urls: list[Url] = Field(default=[], max_length=4, description="Its further addresses, tried in this order")
    own_standby_urls: list[Url] = Field(
        default=[], max_length=3, description="Where it reaches the further instances of our KME, in their order"
    )
    pairs: list[Pair] = Field(min_length=1, description="Our SAE at that site, and theirs")


class PolicyDocument(Document):
    """Limits that hold for the whole network."""

    key_size_bits: int = Field(default=_LIMITS.key_size_bits, ge=64, le=4_096, multiple_of=8)
    buffer_keys: int = Field(default=_LIMITS.buffer_keys, ge=1, le=1_000_000)
    store_bits_max: int = Field(default=_LIMITS.store_bits_max, ge=100_000, le=10**12)
    false_alarm_interval_s: float = Field(default=_LIMITS.false_alarm_interval_s, ge=60, le=1e10)
    suspect_margin_s: float = Field(default=_LIMITS.suspect_margin_s, ge=0, le=1e7)
    requalify_s: float = Field(default=_LIMITS.requalify_s, gt=0, le=1e7)
    max_trusted_nodes: int = Field(default=_LIMITS.max_trusted_nodes, ge=0, le=64)
    relay_paths: int = Field(
        default=_LIMITS.relay_paths,
        ge=1,
        le=PATHS_MAX,
        description="Node-disjoint paths that a relayed key is split over",
    )
    relay_threshold: int = Field(
        default=_LIMITS.relay_threshold,
        ge=1,
        le=PATHS_MAX,
        description="Shares that give the key back; 1: no splitting",
    )
    relay_through: Through = Field(
        default=["own", "partner", "leased"], description="Labels that nodes between may have"
    )
    key_ttl_s: float = Field(default=_LIMITS.key_ttl_s, ge=60, le=31_536_000)
    redelivery_s: float = Field(default=_LIMITS.redelivery_s, ge=0, le=60)
    pq_tls: Literal["preferred", "required"] = Field(
        default="preferred",
        description="required: doors for applications and between KMEs close TLS without post-quantum key exchange",
    )
    skip_psk: Literal["off", "forward_secret", "plain"] = Field(
        default="off",
        description="SKIP doors for pre-shared keys; plain: also TLS 1.2 without an ephemeral key exchange",
    )
    pki: Literal["ecdsa-p256", "ml-dsa-65-between-kmes", "ml-dsa-65"] = Field(
        default="ecdsa-p256",
        description="Certificates: ML-DSA-65 between KMEs only, or everywhere, where applications need OpenSSL 3.5",
    )
    calls_per_s: float | None = Field(default=_LIMITS.calls_per_s, ge=1, le=1e6)
    reserve_keys: int = Field(default=_LIMITS.reserve_keys, ge=0, le=1_000_000)


class RegistrarDocument(Document):
    """The process that holds the CA of applications, and gives certificates out over HTTPS."""

    operators: str = Field(pattern=ADDRESS_PATTERN, description="host:port for operators: enrol, list, revoke")
    applications: str | None = Field(
        default=None, pattern=ADDRESS_PATTERN, description="host:port where applications renew their own certificates"
    )


class NetworkDocument(Document):
    """A qanat network: sites, fibres, QKD links, applications and what they need."""

    model_config = ConfigDict(title="qanat network file")

    name: str = Field(min_length=1, max_length=100)
    simulation: bool = Field(
        default=False, description="Must be true for keys from simulated photons to be accepted; then all see it"
    )
    sites: list[SiteDocument] = Field(min_length=1)
    fibres: list[FibreDocument] = []
    links: list[LinkDocument] = []
    saes: list[SaeDocument] = []
    demands: list[DemandDocument] = []
    policy: PolicyDocument = PolicyDocument()
    partners: list[PartnerDocument] = []
    registrar: RegistrarDocument | None = None
