"""Commands that ask the running network: status, links, alarms, attacks, faults."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from qanat.cli.afar import asked
from qanat.cli.show import as_json_text, bits, percent, rate, simulation_mark, stretch_sentence, table
from qanat.cli.show_block import print_block
from qanat.core.errors import EnvironmentProblem


def _snapshot(state: Path | None) -> dict[str, Any]:
    found = asked(state, "snapshot")
    if not isinstance(found, dict):
        raise EnvironmentProblem("the hub answered something else than a snapshot")
    return found


def status(state: Path | None, as_json: bool) -> int:
    """Exit code 0 when every pair is served and no alarm is open, else 1."""
    snapshot = _snapshot(state)
    is_fine = not _open_alarms(snapshot) and all(pair["state"] == "served" for pair in snapshot["pairs"])
    if as_json:
        as_json_text(snapshot)
        return 0 if is_fine else 1
    print(f"network {snapshot['network']['name']}: {'fine' if is_fine else 'needs a look'}")
    print(simulation_mark(snapshot) + stretch_sentence(snapshot["stretch"]) + "\n")
    _print_links(snapshot)
    print()
    rows = [
        (
            p["source"],
            p["target"],
            p["state"],
            str(p["stored_keys"]),
            " -> ".join(p["links"]) or "none",
            ", ".join(p["trusted_nodes"]) or "-",
        )
        for p in snapshot["pairs"]
    ]
    table("", ("from", "to", "state", "stored keys", "route", "trusted nodes"), rows)
    totals = snapshot["totals"]
    print("\n" + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in totals.items()))
    return 0 if is_fine else 1


def _print_links(snapshot: dict[str, Any]) -> None:
    rows = [
        (
            item["id"],
            f"{item['length_km']:g} km",
            item["state"] + (" (cut)" if item["is_cut"] else ""),
            percent(item["qber"]),
            rate(item["sifted_bps"]),
            rate(item["secret_bps"]),
            bits(item["buffer_bits"]),
            str(item["blocks_made"]),
            ", ".join(item["attacks"]) or "-",
        )
        for item in snapshot["links"]
    ]
    columns = ("link", "fibre", "state", "QBER", "sifted", "secret", "relay buffer", "key blocks", "Eve")
    table("", columns, rows)


def link_list(state: Path | None, as_json: bool) -> int:
    snapshot = _snapshot(state)
    if as_json:
        as_json_text(snapshot["links"])
    else:
        print(simulation_mark(snapshot) + stretch_sentence(snapshot["stretch"]))
        _print_links(snapshot)
    return 0


def link_show(state: Path | None, name: str, as_json: bool) -> int:
    shown = asked(state, "link_blocks", link=name)
    if as_json:
        as_json_text(shown)
        return 0
    item = shown["link"]
    print(
        f"link {item['id']}: {item['a']} -> {item['b']}, {item['length_km']:g} km, {item['loss_db']:.1f} dB, "
        f"{item['state']}, QBER {percent(item['qber'])}"
    )
    rows = [
        (
            block["block"],
            str(block["sifted_bits"]),
            percent(block["qber_x"]),
            str(block["leak_bits"]),
            percent(block["phase_error_bound"]),
            f"{block['auth_bits']} {block['authentication']}",
            str(block["secret_bits"]),
            f"{block['epsilon_total']:.1e}",
            block["aborted"] or "made",
        )
        for block in shown["blocks"]
    ]
    columns = ("key block", "sifted X", "QBER X", "leak", "phase error <=", "auth", "secret", "epsilon", "end")
    table("", columns, rows)
    return 0


def link_block(state: Path | None, name: str, block: str, as_json: bool) -> int:
    """The derivation of one key block's length; exit code 1 when it gave none."""
    shown = asked(state, "link_block", link=name, block=block)
    if as_json:
        as_json_text(shown)
    else:
        print_block(shown)
    return 0 if shown["aborted"] is None else 1


def _open_alarms(snapshot: dict[str, Any]) -> list[dict[str, Any]]:
    """Newest word of each (link, kind), where that word is that it is raised."""
    newest: dict[tuple[str, str], dict[str, Any]] = {}
    for alarm in snapshot["alarms"]:
        newest.setdefault((alarm["link"], alarm["kind"]), alarm)
    return [alarm for alarm in newest.values() if alarm["raised"]]


def alarms(state: Path | None, as_json: bool) -> int:
    snapshot = _snapshot(state)
    if as_json:
        as_json_text(snapshot["alarms"])
    elif not snapshot["alarms"]:
        print("no alarm so far")
    else:
        rows = [
            (
                datetime.fromtimestamp(a["at_ns"] / 1e9).astimezone().strftime("%H:%M:%S"),
                a["link"],
                a["kind"],
                "raised" if a["raised"] else "over",
                a["severity"],
                a["evidence"],
            )
            for a in snapshot["alarms"]
        ]
        table("", ("time", "link", "kind", "", "severity", "evidence"), rows)
    return 1 if _open_alarms(snapshot) else 0


def change(state: Path | None, as_json: bool, verb: str, **arguments: Any) -> int:
    """Attacks and faults."""
    done = asked(state, verb, **arguments)
    if as_json:
        as_json_text(done)
    elif "fibre" in done:
        print(
            f"fibre {done['fibre']} is {'cut' if done['is_cut'] else 'mended'}; links on it: {', '.join(done['links'])}"
        )
    else:
        acts = ", ".join(entry["name"] for entry in done["attacks"])
        print(f"link {done['link']}: " + (f"Eve acts on the light: {acts}" if acts else "Eve has left"))
    return 0
