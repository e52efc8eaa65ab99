"""What an operator reads of a KME's keys and audit, by site and state, without a name of a key."""

from __future__ import annotations

import msgspec
from tests.km.pairing import World, a_chain

from qanat.km.report import AccountReport
from qanat.node.api.entrance import REASONS
from qanat.node.dashboard.metrics import FATES, METRICS


def test_fates_accounts_refusals_and_the_audit_are_exported() -> None:
    world = World(a_chain(1))
    world.distil("a-b", 2)
    world.run(5 * 10**9)
    world.enc("a1", "b1", 3)
    kme = msgspec.to_builtins(world.report("a")) | {
        "audit": {"entries": 7, "failures": 1, "refused": {"400": 2, "503": 1}},
        "turned_away": {"etsi014": {"source": 5}, "skip": {}},
    }
    rows = {
        row.name: dict(row.samples({"kmes": [kme]}))
        for row in METRICS
        if row.name.startswith(("qanat_kme", "qanat_a"))
        if row.name != "qanat_alarm_raised"
    }
    assert rows["qanat_kme_bytes_total"]["a", "a-b", "delivered"] == 3 * 32
    made = sum(
        value
        for (_, account, fate), value in rows["qanat_kme_bytes_total"].items()
        if account == "a-b" and fate != "made"
    )
    assert rows["qanat_kme_bytes_total"]["a", "a-b", "made"] == made + rows["qanat_kme_held_bytes"]["a", "a-b"]
    assert rows["qanat_kme_refusals_total"] == {("a", "400"): 2.0, ("a", "503"): 1.0}
    assert rows["qanat_audit_entries_total"] == {("a",): 7.0}
    turned_away = rows["qanat_kme_handshakes_turned_away_total"]
    assert (turned_away["a", "etsi014", "source"], turned_away["a", "skip", "timeout"]) == (5.0, 0.0)
    assert {reason for _, _, reason in turned_away} == set(REASONS)
    assert rows["qanat_audit_failures_total"] == {("a",): 1.0}


def test_every_fate_of_the_ledger_is_in_the_metrics() -> None:
    fields = {name.removesuffix("_bits") for name in AccountReport.__struct_fields__ if name.endswith("_bits")}
    assert set(FATES) == fields - {"held"}
