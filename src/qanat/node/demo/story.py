"""The seven steps. Each does one thing to the network and checks what follows."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path

from qanat.core.errors import QanatError
from qanat.core.ids import LinkId
from qanat.core.paths import disjoint_paths, shortest_path
from qanat.core.topology import Demand, Network
from qanat.node.demo.applications import Load, Pair, Record
from qanat.node.demo.stage import Stage
from qanat.node.demo.teller import Teller
from qanat.node.statedir import StateDir
from qanat.sae.errors import KeysNotFound
from qanat.sae.keys import DeliveredKey
from qanat.sae.seal import open_file, seal_file

FIRST_KEY_S_MAX = 30.0
ALARM_S_MAX = 3.0
REROUTE_S_MAX = 1.0
# Keys made before the trouble are good and go out first: a whole buffer may have to be used up.
BUFFER_TRIES = 1_000
REFUSED_PAUSE_S = 0.1
BUFFER_PATIENCE_S = 30.0


class Story:
    """The demo's cast (two pairs of applications, one link for Eve) and its steps in order."""

    def __init__(self, network: Network, state: StateDir, stage: Stage, teller: Teller) -> None:
        self._stage, self._tell, self._network, self._state = stage, teller, network, state
        self.record = Record()
        near, far = cast(network)
        self.near = Pair(network, state, near.saes, self.record)
        self.far = Pair(network, state, far.saes, self.record)

    def run(self) -> None:
        self.distil()
        shared = self.fetch()
        self.seal(shared)
        self.eve()
        self.cut()
        self.kill()

    def distil(self) -> None:
        """Step 2."""
        tell, stage = self._tell, self._stage
        tell.step(2, "every link distils key from simulated clicks")
        took_s = stage.wait(lambda: all(item["blocks_made"] for item in stage.snapshot()["links"]), patience_s=90)
        snapshot = stage.snapshot()
        for item in snapshot["links"]:
            block = item["last_block"]
            if block is None:
                continue
            tell.say(
                f"  {item['id']:<24} {item['length_km']:5.1f} km  QBER {item['qber'] * 100:4.2f} %  "
                f"sifted {item['sifted_bps'] / 1e3:5.0f} kbit/s  block {block['sifted_bits']} bits  "
                f"leak {block['leak_bits']}  phase error <= {block['phase_error_bound'] * 100:.1f} %  "
                f"secret {block['secret_bits']} ({item['secret_bps'] / 1e3:.0f} kbit/s)  "
                f"epsilon {block['epsilon_total']:.1e}"
            )
        made = sum(item["blocks_made"] > 0 for item in snapshot["links"])
        tell.check("every link made a key block", took_s is not None, f"{made} of {len(snapshot['links'])} links")
        stretch = snapshot["stretch"]
        if stretch is not None:
            tell.say(
                f"  rates are per second of link time; it runs {max(1.0, stretch):.1f} x slower than the clock here"
            )

    def fetch(self) -> DeliveredKey:
        """Step 3. Returns nothing secret to anybody but step 4."""
        tell = self._tell
        tell.step(3, "applications fetch the same keys over ETSI GS QKD 014, each from its own KME")
        for name, pair in (("neighbours", self.near), ("two hops apart", self.far)):
            self._wait_served(pair)
            shared = pair.exchange()
            tell.say(f"  {name}: {pair.saes[0]} at {pair.sites[0]}, {pair.saes[1]} at {pair.sites[1]}")
            tell.say(f"    key_ID {shared.master.key_id}")
            tell.say(f"    digests {shared.master.digest} and {shared.slave.digest}")
            provenance = shared.slave.provenance
            tell.say(f"    provenance: {provenance.sentence() if provenance is not None else 'NONE'}")
            tell.check(
                f"{name} hold the same key and know what it rests on",
                shared.is_equal and provenance is not None and provenance == shared.master.provenance,
                f"{shared.master.bits.size_bits} bits, digests equal",
            )
        return shared.slave

    def _wait_served(self, pair: Pair) -> None:
        self._stage.wait(lambda: pair.try_exchange() is not None, patience_s=60)

    def first_key(self) -> None:
        """Step 1's promise: measured from the start of the processes to a key at two applications."""
        took_s = self._stage.wait(lambda: self.near.try_exchange() is not None, patience_s=90)
        is_met = took_s is not None and self._tell.elapsed_s <= FIRST_KEY_S_MAX
        self._tell.check(
            f"first key at two applications within {FIRST_KEY_S_MAX:g} s", is_met, f"{self._tell.elapsed_s:.1f} s"
        )

    def seal(self, _shared: DeliveredKey) -> None:
        """Step 4: a fresh key, a file, AES-256-GCM."""
        tell = self._tell
        tell.step(4, "a file sealed at one site with such a key and opened at the other (AES-256-GCM)")
        with tempfile.TemporaryDirectory() as folder:
            plain, sealed, opened = (Path(folder) / name for name in ("plan.txt", "plan.qanat", "plan.opened.txt"))
            plain.write_bytes(os.urandom(100_000))
            shared = self.far.exchange()
            seal_file(plain, sealed, shared.master)
            open_file(sealed, opened, lambda _master, _key_id: shared.slave)
            is_same = plain.read_bytes() == opened.read_bytes()
            is_hidden = plain.read_bytes()[:64] not in sealed.read_bytes()
            tell.check(
                "the opened file is the sealed one",
                is_same and is_hidden,
                f"{plain.stat().st_size} bytes, sealed {sealed.stat().st_size} bytes",
            )

    def _route_without(self, link: LinkId) -> bool:
        route = self._stage.route(*self.far.sites)
        return bool(route) and link not in route

    def _served_without(self, link: LinkId, pair: Pair) -> tuple[int, int, bool]:
        """Use up the pair's buffer until a key comes that does not rest on the link.

        Returns:
            Exchanges tried, exchanges refused, and whether such a key came.
        """
        refused = 0
        begun_s = time.monotonic()
        for tried in range(1, BUFFER_TRIES + 1):
            shared = pair.try_exchange()
            refused += shared is None
            provenance = shared.slave.provenance if shared is not None else None
            if provenance is not None and link not in provenance.links:
                return tried, refused, True
            if time.monotonic() - begun_s > BUFFER_PATIENCE_S:
                break
            self._stage.supervisor.watch(0 if shared is not None else REFUSED_PAUSE_S)
        return tried, refused, False

    def _trouble(self, link: LinkId, what: str) -> None:
        """Common to Eve and the cut: alarm, new route, service; each with its time."""
        tell, stage, begun_ns = self._tell, self._stage, time.time_ns()
        stage.wait(lambda: stage.first_alarm(link, is_raised=True, after_ns=begun_ns) is not None, patience_s=20)
        alarm = stage.first_alarm(link, is_raised=True, after_ns=begun_ns)
        if alarm is None:
            tell.check(f"alarm within {ALARM_S_MAX:g} s of {what}", False, "no alarm")
            return
        took_s = (alarm["at_ns"] - begun_ns) / 1e9
        for raised in stage.alarms(link, is_raised=True, after_ns=begun_ns):
            tell.say(f"  ALARM {raised['number']} ({raised['kind']}, {raised['severity']}): {raised['evidence']}")
        tell.check(f"alarm within {ALARM_S_MAX:g} s of {what}", took_s <= ALARM_S_MAX, f"{took_s:.2f} s")
        stage.wait(lambda: self._route_without(link), patience_s=10)
        rerouted_ns = time.time_ns()
        tell.say(f"  new route: {' -> '.join(stage.route(*self.far.sites)) or 'none'}")
        after_s = (rerouted_ns - alarm["at_ns"]) / 1e9
        tell.check(
            f"re-route within {REROUTE_S_MAX:g} s of the alarm",
            after_s <= REROUTE_S_MAX and self._route_without(link),
            f"{after_s:.2f} s, polling included",
        )
        for name, pair in (("neighbours", self.near), ("two hops apart", self.far)):
            tried, refused, is_new = self._served_without(link, pair)
            tell.check(
                f"{name} are still served, then over the new route",
                is_new,
                f"{tried - refused} of {tried} exchanges; the last key does not rest on {link}"
                if is_new
                else f"{tried - refused} of {tried} exchanges; none came over the new route",
            )

    def eve(self) -> None:
        """Step 5."""
        tell, stage = self._tell, self._stage
        link = stage.route(*self.far.sites)[0]
        tell.step(5, f"Eve measures and resends every pulse on {link}")
        before = stage.link(link)["quarantined_bits"]
        stage.ask("attack_start", link=link, name="intercept-resend", fraction=1.0)
        self._trouble(link, "a full intercept-resend")

        def gone() -> dict[str, int]:
            return {site: bits - before[site] for site, bits in stage.link(link)["quarantined_bits"].items()}

        stage.wait(lambda: all(gone().values()), patience_s=3)  # KMEs report twice a second
        tell.check(
            "suspect undelivered key of the link is quarantined at both ends",
            all(bits > 0 for bits in gone().values()),
            ", ".join(f"{bits} bits at {site}" for site, bits in gone().items()),
        )
        stage.wait(lambda: (stage.link(link)["qber"] or 0) > 0.2, patience_s=15)
        tell.say(
            f"  QBER on {link} is now {(stage.link(link)['qber'] or 0) * 100:.1f} %; "
            f"last block: {stage.link(link)['last_abort'] or 'none aborted yet'}"
        )
        stage.ask("attack_stop", link=link)
        tell.say("  Eve leaves")
        back_s = stage.wait(lambda: stage.link(link)["state"] == "up", patience_s=90)
        tell.check("the link is re-qualified and returns", back_s is not None, f"{back_s or 0:.1f} s after Eve left")

    def cut(self) -> None:
        """Step 6, first half."""
        tell, stage = self._tell, self._stage
        link = stage.route(*self.far.sites)[0]
        fibre = self._network.links[link].fibre
        tell.step(6, f"fibre {fibre} is cut, then a KME process is killed")
        stage.ask("cut", fibre=fibre)
        self._trouble(link, "the cut")
        stage.ask("mend", fibre=fibre)
        tell.say(f"  fibre {fibre} is mended")

    def kill(self) -> None:
        """Step 6, second half: SIGKILL under load; afterwards no key twice and none different."""
        tell, stage = self._tell, self._stage
        before = [shared for _ in range(20) if (shared := self.near.try_exchange()) is not None]
        load = Load(lambda: Pair(self._network, self._state, self.near.saes, self.record))
        load.start()
        stage.wait(lambda: load.count >= 10, patience_s=10)
        child = stage.kme(self.near.sites[0])
        pid = child.popen.pid if child.popen is not None else 0
        os.kill(pid, signal.SIGKILL)
        tell.say(f"  KME of {self.near.sites[0]}: process {pid} killed with SIGKILL while an application fetches keys")
        back_s = stage.wait(lambda: self.near.try_exchange() is not None, patience_s=30)
        load.stop()
        tell.check("the KME comes back and serves", back_s is not None, f"{back_s or 0:.1f} s")
        after = sum(self.near.try_exchange() is not None for _ in range(20))
        refused = sum(self._is_refused_again(shared.slave) for shared in before)
        tell.check(
            "no key is delivered twice",
            self.record.doubled == 0 and refused == len(before) > 0,
            f"{len(self.record.as_master)} keys, {self.record.doubled} twice, "
            f"{refused} of {len(before)} refused when asked for again",
        )
        tell.check(
            "no key differs between its two ends",
            self.record.different == 0 and after > 0,
            f"{self.record.compared} keys compared, {self.record.different} differ",
        )

    def _is_refused_again(self, key: DeliveredKey) -> bool:
        """The KME must say that it does not have the key; no other failure counts as that."""
        try:
            self.near.take(key.key_id)
        except KeysNotFound:
            return True
        except QanatError:
            return False
        return False


def cast(network: Network) -> tuple[Demand, Demand]:
    """A demand between neighbours and one two or more hops apart with a node-disjoint second path.

    Raises:
        QanatError: the network file has no such pair.
    """
    near = far = None
    for demand in network.demands:
        start, end = (network.saes[sae].site for sae in demand.saes)
        if start == end:
            continue
        path = shortest_path(network, start, end)
        if len(path) == 2:
            near = near or demand
        elif len(path) > 2 and disjoint_paths(network, start, end) is not None:
            far = far or demand
    if near is None or far is None:
        raise QanatError("the demo needs a demand between neighbours and one farther apart with a second path")
    return near, far
