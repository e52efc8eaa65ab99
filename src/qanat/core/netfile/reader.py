"""The whole way: text, document, errors of shape and meaning, network."""

from __future__ import annotations

import tomllib

from qanat.core.ids import FibreId, LinkId, SaeId, SiteId
from qanat.core.netfile.document import EnvironmentDocument, LinkDocument, NetworkDocument, ReachDocument
from qanat.core.netfile.meaning import Known, meaning_problems
from qanat.core.netfile.places import Path, Places, place_text
from qanat.core.netfile.problems import Problem
from qanat.core.netfile.shape import shape_problems
from qanat.core.topology import Demand, Environment, Fibre, Link, Network, Partner, Policy, Reach, Registrar, Sae, Site
from qanat.core.trust import Trust


def read(text: str, known: Known) -> tuple[Network | None, list[Problem]]:
    """A network, or every error found, in the order of the text."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return None, [_syntax_problem(text, str(error))]
    typed, found = shape_problems(document)
    found += meaning_problems(document, known)
    if typed is not None and not found:
        return _network(typed), []
    places = Places(text)
    return None, sorted((_problem(places, *item) for item in dict.fromkeys(found)), key=lambda p: p.line or 0)


def _syntax_problem(text: str, message: str) -> Problem:
    # tomllib says "... (at line 3, column 7)" or "... (at end of document)".
    words, _, at = message.rpartition(" (at ")
    line = int(at.split()[1].rstrip(",")) if at.startswith("line ") else len(text.splitlines())
    return Problem(place="", line=line, message=f"not TOML: {words or message}")


def _problem(places: Places, path: Path, message: str) -> Problem:
    return Problem(place=place_text(path), line=places.line(path), message=message)


def _reach(d: ReachDocument) -> Reach:
    ports = d.model_dump(exclude={"host", "listen"}, exclude_none=True)
    return Reach(host=d.host, listen=d.listen or "", ports=ports)


def _network(d: NetworkDocument) -> Network:
    return Network(
        name=d.name,
        is_simulation=d.simulation,
        sites={
            SiteId(s.id): Site(
                id=SiteId(s.id),
                name=s.name or s.id,
                latitude_deg=s.latitude_deg,
                longitude_deg=s.longitude_deg,
                is_trusted=s.trusted and s.trust != "untrusted",
                trust=Trust(s.trust),
                admin=s.admin or "",
                kme_count=s.kme_count,
                applications=None if s.applications is None else _reach(s.applications),
            )
            for s in d.sites
        },
        fibres={
            FibreId(f.id): Fibre(
                id=FibreId(f.id),
                ends=(SiteId(f.between[0]), SiteId(f.between[1])),
                length_km=f.length_km,
                attenuation_db_per_km=f.attenuation_db_per_km,
                extra_loss_db=f.extra_loss_db,
            )
            for f in d.fibres
        },
        links={LinkId(item.id): _link(item) for item in d.links},
        saes={
            SaeId(s.id): Sae(
                id=SaeId(s.id),
                site=SiteId(s.site),
                rate_bits_per_s_max=s.rate_bits_per_s_max,
                burst_bits=s.burst_bits,
                push_url=s.push_url,
            )
            for s in d.saes
        },
        demands=tuple(
            Demand(
                saes=(SaeId(x.between[0]), SaeId(x.between[1])),
                rate_bits_per_s=x.rate_bits_per_s,
                relay_paths=x.relay_paths,
                relay_threshold=x.relay_threshold,
                relay_through=None if x.relay_through is None else tuple(map(Trust, x.relay_through)),
            )
            for x in d.demands
        ),
        policy=Policy(**d.policy.model_dump() | {"relay_through": tuple(map(Trust, d.policy.relay_through))}),
        partners={
            p.id: Partner(
                id=p.id,
                site=SiteId(p.site),
                url=p.url,
                own_url=p.own_url,
                standby_urls=tuple(p.standby_urls),
                own_standby_urls=tuple(p.own_standby_urls),
                pairs=tuple((SaeId(ours), SaeId(theirs)) for ours, theirs in p.pairs),
            )
            for p in d.partners
        },
        registrar=None
        if d.registrar is None
        else Registrar(operators=d.registrar.operators, applications=d.registrar.applications or ""),
    )


def _link(d: LinkDocument) -> Link:
    return Link(
        id=LinkId(d.id),
        transmitter_site=SiteId(d.from_site),
        receiver_site=SiteId(d.to_site),
        fibre=FibreId(d.fibre),
        protocol=d.protocol,
        transmitter=d.transmitter,
        receiver=d.receiver,
        clock_hz=d.clock_hz,
        block_sifted_bits=d.block_sifted_bits,
        reconciliation=d.reconciliation,
        pulse_block_ns=d.pulse_block_ns,
        epsilon_sec=d.epsilon_sec,
        epsilon_cor=d.epsilon_cor,
        environment=None if d.environment is None else _environment(d.environment),
    )


def _environment(d: EnvironmentDocument) -> Environment:
    values = d.model_dump()
    return Environment(is_controlled=values.pop("controlled"), **values)
