"""A running network of which one KME's key encryption key is guarded by a PKCS#11 token."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from live_network import Live, until
from softhsm import PIN, SoftHsm, write_pin

from qanat.core.ids import SiteId

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="counts processes in /proc (Linux)"),
]
SITE = "mitte"


def gives_a_key(live: Live) -> bool:
    return live.run("key", "get", "alice", "bob").code == 0


def killed(live: Live) -> None:
    """kill -9 of the KME, and its next process."""
    first = live.kme(SITE)
    os.kill(first, signal.SIGKILL)
    until(lambda: live.kme(SITE) != first, patience_s=30)


def test_a_kme_serves_from_its_token_is_killed_and_starts_again_sealed_while_the_token_is_gone(
    tmp_path: Path, softhsm: SoftHsm
) -> None:
    live = Live(tmp_path, ("--isolate",)).start()
    live.stop()
    pin_file = softhsm.name_in(live.state, SiteId(SITE))
    done = live.run("kme", "init-token", SITE)
    assert done.code == 0, done.err
    live.start()
    try:
        until(lambda: gives_a_key(live), patience_s=40)
        assert live.run("kme", "status", SITE, "--json").json["state"] == "open"
        killed(live)
        until(lambda: gives_a_key(live), patience_s=30)

        softhsm.unplug()
        assert gives_a_key(live)  # an open KME needs its token no more
        failed = live.run("kme", "rotate", SITE)
        assert (failed.code, "no token vault is there" in failed.err) == (3, True)
        killed(live)
        status = until(lambda: (found := live.run("kme", "status", SITE)).code == 1 and found, patience_s=30)
        assert f"{SITE}: sealed" in status.out
        assert "no token vault is there" in status.out
        refused = live.run("key", "get", "alice", "bob")
        assert "this KME is sealed: its token has not opened it yet" in refused.err
        sealed = live.kme(SITE)

        softhsm.plug_in()
        write_pin(pin_file, "999999")
        wrong = live.run("kme", "unseal", SITE)
        assert (wrong.code, "refused the PIN" in wrong.err) == (3, True)
        again = live.run("kme", "unseal", SITE)
        assert "did not change: not tried" in again.err
        assert live.kme(SITE) == sealed  # it stays: a restart would be another try
        write_pin(pin_file, PIN)
        opened = live.run("kme", "unseal", SITE)
        assert opened.code == 0, opened.err
        until(lambda: gives_a_key(live), patience_s=30)

        rotated = live.run("kme", "rotate", SITE, "--json")
        assert (rotated.code, rotated.json["guard"]) == (0, "pkcs11"), rotated.err
        killed(live)
        until(lambda: gives_a_key(live), patience_s=30)
        assert live.run("audit", "verify").code == 0
    finally:
        live.stop()
    assert "Traceback" not in live.err()
    for log in (live.state.path / "logs").rglob("*"):
        assert PIN not in log.read_text(errors="replace")
    assert PIN not in live.err()
