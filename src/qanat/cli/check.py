"""``qanat check FILE``: is this network file right, and what does it describe?

Exit codes: 0 the file is right; 1 it has errors (all are listed); 3 it cannot be read.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qanat.core.errors import EnvironmentProblem, NetworkFileError
from qanat.core.netfile import Problem, network_from_toml, problems_of
from qanat.core.paths import disjoint_paths, shortest_path
from qanat.core.topology import Demand, Network

Row = tuple[str, ...]


def check(path: Path, as_json: bool) -> int:
    """Print what the file describes, or every error in it.

    Returns:
        0 if the file is right, 1 if it has errors.

    Raises:
        EnvironmentProblem: the file cannot be read (exit code 3).
    """
    try:
        network = load_network(path)
    except NetworkFileError as error:
        _print_problems(path, problems_of(error), as_json)
        return 1
    if as_json:
        print(json.dumps(summary(network), indent=2))
    else:
        print("\n".join(_lines(path, network)))
    return 0


def load_network(path: Path) -> Network:
    """The network in that file, with datasheet names checked. Every command reads its file here.

    Raises:
        NetworkFileError: the file has errors.
        EnvironmentProblem: the file cannot be read.
    """
    from qanat.physics.datasheet import receiver_names, transmitter_names  # noqa: PLC0415 - `--help` stays light
    from qanat.physics.families.pairs import misfit_by_name  # noqa: PLC0415

    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise EnvironmentProblem(f"cannot read network file {path}: {reason}") from error
    return network_from_toml(
        text,
        source=str(path),
        transmitters=transmitter_names(),
        receivers=receiver_names(),
        misfit=misfit_by_name,
    )


def summary(network: Network) -> dict[str, Any]:
    """What the network consists of, as plain data."""
    return {
        "is_correct": True,
        "name": network.name,
        "simulation": network.is_simulation,
        "sites": [{"id": s.id, "name": s.name, "trusted": s.is_trusted} for s in network.sites.values()],
        "links": [
            {
                "id": link.id,
                "from": link.transmitter_site,
                "to": link.receiver_site,
                "protocol": link.protocol,
                "clock_hz": link.clock_hz,
                "length_km": network.fibres[link.fibre].length_km,
                "loss_db": round(network.fibres[link.fibre].loss_db, 3),
            }
            for link in network.links.values()
        ],
        "demands": [_demand_summary(network, demand) for demand in network.demands],
        "notes": notes(network),
    }


def notes(network: Network) -> list[str]:
    """What is allowed but surprises people."""
    found = [] if network.is_simulation else ["simulation is not set: keys from simulated photons will be refused"]
    for demand in network.demands:
        done = _demand_summary(network, demand)
        pair = " and ".join(done["between"])
        if done["hops"] is None:
            found.append(f"no way of QKD links through trusted sites joins {pair}: they will get no key")
        elif done["hops"] - 1 > network.policy.max_trusted_nodes:
            found.append(f"{pair} are {done['hops']} hops apart, more than policy.max_trusted_nodes allows")
    lit = {site for link in network.links.values() for site in link.sites}
    found += [f"site {site} has no QKD link" for site in network.sites if site not in lit]
    used = {link.fibre for link in network.links.values()}
    return found + [f"fibre {fibre} carries no link" for fibre in network.fibres if fibre not in used]


def _demand_summary(network: Network, demand: Demand) -> dict[str, Any]:
    start, end = (network.saes[sae].site for sae in demand.saes)
    shortest = shortest_path(network, start, end)
    pair = disjoint_paths(network, start, end) if start != end else None
    return {
        "between": list(demand.saes),
        "sites": [start, end],
        "rate_bits_per_s": demand.rate_bits_per_s,
        "hops": len(shortest) - 1 if shortest else None,
        # Where two disjoint ways exist, the first of them: the shortest may block every other.
        "path": list(pair[0] if pair else shortest),
        "second_path": list(pair[1]) if pair else None,
    }


def _print_problems(path: Path, problems: list[Problem], as_json: bool) -> None:
    if as_json:
        listed = [{"place": p.place, "line": p.line, "message": p.message} for p in problems]
        print(json.dumps({"is_correct": False, "file": str(path), "problems": listed}, indent=2))
        return
    print(f"{path}: {len(problems)} error{'s' if len(problems) != 1 else ''}", file=sys.stderr)
    for problem in problems:
        print(f"  {problem}", file=sys.stderr)


def _lines(path: Path, network: Network) -> list[str]:
    done = summary(network)
    mark = "   SIMULATION: keys come from simulated photons" if network.is_simulation else ""
    lines = [f"{path}: correct", "", f"network {network.name}{mark}"]
    lines.append(f"  {len(network.sites)} sites, {len(network.links)} links, {len(network.saes)} applications (SAEs)")
    rows: list[Row] = [
        (item["id"], f"{item['from']} -> {item['to']}", f"{item['length_km']:g} km", f"{item['loss_db']:.1f} dB")
        for item in done["links"]
    ]
    lines += ["", *_table(("link", "from -> to", "fibre", "loss"), rows)]
    rows = [_demand_row(item) for item in done["demands"]]
    lines += ["", *_table(("demand", "bits/s", "hops", "path", "second path without its nodes"), rows)]
    return lines + [""] * bool(done["notes"]) + [f"note: {note}" for note in done["notes"]]


def _demand_row(item: dict[str, Any]) -> Row:
    between = " - ".join(item["between"])
    rate = f"{item['rate_bits_per_s']:g}"
    if item["hops"] is None:
        return (between, rate, "-", "none", "none")
    second = " - ".join(item["second_path"]) if item["second_path"] else "none: one failure can part them"
    return (between, rate, str(item["hops"]), " - ".join(item["path"]), "same site" if item["hops"] == 0 else second)


def _table(head: Row, rows: Sequence[Row]) -> list[str]:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    ruled = [head, tuple("-" * width for width in widths), *rows]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in ruled
    ]
