"""What the benches are held against, and a table of how far it is met. ``run_all.py`` prints it.

Run: python bench/targets.py     the table again, from the files in bench/results
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Target:
    """One line of the table.

    Attributes:
        bench: Name of the results file.
        what: For people.
        limit: The number to reach.
        is_least: At least the limit; else at most.
        value: The number, from what the bench printed.
    """

    bench: str
    what: str
    limit: float
    is_least: bool
    value: Callable[[Any], float]


def row(rows: Rows, **wanted: object) -> dict[str, Any]:
    """The row with these values."""
    return next(found for found in rows if all(found.get(name) == value for name, value in wanted.items()))


def _pulses(name: str) -> Callable[[Any], float]:
    return lambda found: float(found[name]["pulses_per_cpu_s"])


def _cascade_f(qber: float) -> Callable[[Any], float]:
    return lambda rows: float(row(rows, what="cascade", size_bits=1 << 22, pace="LOW_LEAK", qber=qber)["f_mean"])


def _few_rounds(rows: Rows) -> dict[str, Any]:
    return row(rows, what="cascade", size_bits=1_000_000, pace="FEW_ROUNDS", qber=0.02)


def _wire(rtt_ms: float) -> Callable[[Any], float]:
    return lambda rows: float(row(rows, rtt_ms=rtt_ms)["mbit_per_wall_s"])


def _link(length_km: float) -> Callable[[Any], float]:
    return lambda found: float(row(found["rows"], length_km=length_km)["link_s_per_wall_s"])


def _ldpc(name: str, size_bits: int) -> Callable[[Any], float]:
    """The worst of 2, 3 and 5 %."""
    worst = min if "mbit" in name else max
    return lambda rows: worst(float(row(rows, size_bits=size_bits, qber=qber)[name]) for qber in (0.02, 0.03, 0.05))


def _hash(size_bits: int, name: str) -> Callable[[Any], float]:
    return lambda found: float(row(found["rows"], size_bits=size_bits)[name])


def _key_rate(protocol: str, what: str) -> Callable[[Any], float]:
    return lambda rows: float(row(rows, protocol=protocol, what=what)["points_per_cpu_s"])


def _delivery(what: str, connections: int, name: str) -> Callable[[Any], float]:
    return lambda rows: float(row(rows, what=what, connections=connections)[name])


def _relay(what: str, shape: str, name: str) -> Callable[[Any], float]:
    return lambda rows: float(row(rows, what=what, shape=shape)[name])


def _fault(what: str, name: str) -> Callable[[Any], float]:
    return lambda rows: float(row(rows, what=what)[name])


def _soak_growth(rows: Rows) -> float:
    """Of the KME that grew more, by the straight line."""
    return max(float(found["line"]) for found in row(rows, what="soak, growth")["growth"].values())


def _race_lost(rows: Rows) -> float:
    found = row(rows, what="race")
    return float(found["rounds"] - found["exactly_one"])


def _kill_wrong(rows: Rows) -> float:
    found = row(rows, what="kill -9")
    return float(found["twice"] + found["different"] + found["lost"])


def _failover_s(what: str) -> Callable[[Any], float]:
    return lambda rows: float(row(rows, what=what)["next_key_s"]["max"])


def _failover_wrong(rows: Rows) -> float:
    names = ("twice", "different", "lost", "answered_by_the_woken")
    return float(sum(found[name] for found in rows for name in names))


def _rerouted(what: str, buffer: str, name: str) -> Callable[[Any], float]:
    """The slowest round; infinite where it did not happen."""

    def slowest(rows: Rows) -> float:
        value = row(rows, what=what, buffer=buffer)[name]["max"]
        return float("inf") if value is None else float(value)

    return slowest


def _reroute_wrong(rows: Rows) -> float:
    return float(sum(found["twice"] + found["different"] for found in rows))


SHARES = "2 of 3 shares, 2 hops each"
REROUTED = ("cut", "module killed", "module frozen", "kme killed", "kme frozen")
FINITE_OPTIMISED, FINITE_FIXED = "optimised, n_x 1e7", "fixed, n_x 1e7"
CASCADE_F = {0.01: 1.035, 0.02: 1.035, 0.03: 1.035, 0.05: 1.042, 0.08: 1.055}
TARGETS = (
    Target("photons", "dense, all effects, pulses / CPU-s", 5e7, True, _pulses("dense_25_km_all_effects")),
    Target("photons", "sparse at 25 km, pulses / CPU-s", 8e8, True, _pulses("sparse_25_km")),
    Target("photons", "sparse at 50 km, pulses / CPU-s", 3e9, True, _pulses("sparse_50_km")),
    Target("photons", "sparse at 100 km, pulses / CPU-s", 2e10, True, _pulses("sparse_100_km")),
    Target(
        "photons",
        "statistical, link seconds / CPU-s (windows of 1 s)",
        5e5,
        True,
        lambda found: float(found["statistical_windows_of_1_s"]["link_seconds_per_cpu_s"]),
    ),
    *(
        Target("cascade", f"Cascade f at {qber:.0%}, low leak", limit, False, _cascade_f(qber))
        for qber, limit in CASCADE_F.items()
    ),
    Target("cascade", "Cascade at 2 %, few rounds: f", 1.045, False, lambda rows: _few_rounds(rows)["f_mean"]),
    Target("cascade", "  and its round trips", 200, False, lambda rows: _few_rounds(rows)["rounds_mean"] / 2),
    Target("cascade", "  and Mbit / CPU-s", 80, True, lambda rows: _few_rounds(rows)["mbit_per_cpu_s"]),
    Target("cascade_wire", "Cascade, two processes, Mbit/s sifted", 80, True, _wire(0)),
    Target("cascade_wire", "Cascade with 10 ms round trip, Mbit/s", 50, True, _wire(10)),
    Target("cascade_wire", "Cascade with 100 ms round trip, Mbit/s", 20, True, _wire(100)),
    Target("ldpc", "LDPC, 1e6 bits, 2 to 5 %, Mbit / CPU-s", 4, True, _ldpc("mbit_per_cpu_s", 10**6)),
    Target("ldpc", "  and f", 1.08, False, _ldpc("f_mean", 10**6)),
    Target("ldpc", "  and f at 1e5 bits", 1.12, False, _ldpc("f_mean", 10**5)),
    Target("amplification", "privacy amplification, 1e6 bits, Mbit / CPU-s", 45, True, _hash(10**6, "mbit_per_cpu_s")),
    Target("amplification", "privacy amplification, 1e7 bits, Mbit / CPU-s", 15, True, _hash(10**7, "mbit_per_cpu_s")),
    Target("amplification", "  over three bare FFTs", 0.8, True, _hash(10**7, "three_ffts_over_hash")),
    Target(
        "photons_tiers", "tiers equal, largest z over 24 cells, 5 seeds", 4, False, lambda found: float(found["z_max"])
    ),
    Target("link", "1 GHz link at 10 km, link seconds / wall s", 0.3, True, _link(10)),
    Target("link", "1 GHz link at 50 km, link seconds / wall s", 1.5, True, _link(50)),
    Target("first_use", "all kernels compiled, wall s", 60, False, lambda found: float(found["cold"]["wall_s"])),
    Target("keyrate", "decoy BB84 optimised, points / CPU-s", 5000, True, _key_rate("decoy-bb84", "optimised")),
    Target(
        "keyrate", "decoy BB84, finite, optimised, points / CPU-s", 200, True, _key_rate("decoy-bb84", FINITE_OPTIMISED)
    ),
    Target("keyrate", "decoy BB84, finite, fixed, points / CPU-s", 5e5, True, _key_rate("decoy-bb84", FINITE_FIXED)),
    Target("keyrate", "CV Gaussian, points / CPU-s", 1e6, True, _key_rate("cv-gaussian", "fixed, at its defaults")),
    Target("keyrate", "CV QPSK, points / CPU-s", 500, True, _key_rate("cv-qpsk", "fixed, at its defaults")),
    Target("keyrate", "twin-field CAL, points / CPU-s", 5000, True, _key_rate("tf-cal", "fixed, at its defaults")),
    Target("keyrate", "import of qanat.keyrate, s", 0.3, False, lambda rows: float(rows[0]["wall_s"])),
    Target("relay", "relay over 3 hops, keys/s", 200, True, _relay("most", "one path, 3 hops", "keys_per_s")),
    Target("relay", "  and p99 from the buffer, ms", 20, False, _relay("paced", "one path, 3 hops", "p99_ms")),
    Target("relay", "  and 2 of 3 shares, keys/s", 200, True, _relay("most", SHARES, "keys_per_s")),
    Target("relay_6_hops", "relay over 6 hops, keys/s", 200, True, _relay("most", "one path, 6 hops", "keys_per_s")),
    Target("relay_6_hops", "  and p99 from the buffer, ms", 20, False, _relay("paced", "one path, 6 hops", "p99_ms")),
    Target("relay_6_hops", "  and nodes that a key names", 5, True, _relay("ends", "one path, 6 hops", "nodes_least")),
    *(
        Target("reroute", f"a new route over 6 hops, {what}, s", 2, False, _rerouted(what, "full", "route_s"))
        for what in REROUTED
    ),
    *(
        Target("reroute", f"  keys by it, buffer empty, {what}, s", 2, False, _rerouted(what, "empty", "key_s"))
        for what in REROUTED
    ),
    Target("reroute", "  keys twice or different at both ends", 0, False, _reroute_wrong),
    Target("kme", "enc_keys, 1 connection, /s", 800, True, _delivery("enc_keys", 1, "per_s")),
    Target("kme", "  over a bare server in the same run", 0.3, True, _delivery("over the ceiling", 1, "ratio")),
    Target("kme", "enc_keys, 8 connections, /s", 3000, True, _delivery("enc_keys", 8, "per_s")),
    Target("kme", "  p99, ms", 20, False, _delivery("enc_keys", 8, "p99_ms")),
    Target("kme", "  over a bare server in the same run", 0.3, True, _delivery("over the ceiling", 8, "ratio")),
    Target("kme", "128 keys per request, keys/s", 20_000, True, _delivery("enc_keys, 128 keys each", 8, "keys_per_s")),
    Target(
        "kme", "new connection each, 1 at once, /s", 100, True, _delivery("enc_keys, new connection each", 1, "per_s")
    ),
    Target(
        "kme", "new connection each, 8 at once, /s", 200, True, _delivery("enc_keys, new connection each", 8, "per_s")
    ),
    Target("kme", "memory of a KME at rest, MB", 80, False, lambda rows: float(rows[0]["pss_mb"])),
    Target("kme_faults", "race for one key_ID: rounds without exactly one", 0, False, _race_lost),
    Target("kme_faults", "kill -9 under load: keys twice, different or lost", 0, False, _kill_wrong),
    Target("kme_faults", "slowest answer while a KME dies, s", 5, False, _fault("deadline", "slowest_s")),
    Target("kme_faults", "known keys found on the disk", 0, False, _fault("search", "hits")),
    Target("kme_failover", "two KMEs on PostgreSQL, one killed: next key, s", 5, False, _failover_s("kill -9")),
    Target("kme_failover", "  one frozen", 5, False, _failover_s("freeze")),
    Target("kme_failover", "  the database restarted", 5, False, _failover_s("database restarted")),
    Target("kme_failover", "  keys twice, different, lost or by the woken", 0, False, _failover_wrong),
    Target("quarantine", "in effect at both ends of a link, s", 1, False, lambda rows: float(rows["max_s"])),
    Target("quarantine", "  keys that got out after it", 0, False, lambda rows: float(rows["escaped"])),
    Target("soak", "memory of a KME in an hour of load, growth", 0.05, False, _soak_growth),
    Target("first_use", "import qanat, s", 0.1, False, lambda found: float(found["import_qanat_s"])),
)


def judged(target: Target, folder: Path) -> tuple[str, str]:
    """What was measured, and the verdict; honest where there is nothing to judge."""
    path = folder / f"{target.bench}.json"
    try:
        value = target.value(json.loads(path.read_text())["results"])
    except OSError:
        return "-", "not measured"
    except (KeyError, StopIteration, TypeError, ValueError) as error:
        return "-", f"no such row ({type(error).__name__})"
    is_met = value >= target.limit if target.is_least else value <= target.limit
    return f"{value:.4g}", "met" if is_met else "MISSED"


def summary(folder: Path) -> str:
    """The table as text."""
    lines = [f"{'what':<56} {'target':>10} {'measured':>10}  verdict"]
    for target in TARGETS:
        value, verdict = judged(target, folder)
        sign = ">=" if target.is_least else "<="
        lines.append(f"{target.what:<56} {sign} {target.limit:>7.4g} {value:>10}  {verdict}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(summary(Path(__file__).parent / "results"))
