"""One run: a network file becomes a world, the world runs, the checker watches, a report remains."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field

from qanat.core.errors import MisuseError
from qanat.core.ids import LinkId, SiteId
from qanat.core.streams import Streams
from qanat.core.timebase import NS_PER_MS, NS_PER_S
from qanat.core.topology import Link, Network
from qanat.km.kme import Kme
from qanat.sim.applications import PairTotals, SimulatedPair
from qanat.sim.checker import Checker
from qanat.sim.disturb import Disturber
from qanat.sim.entropy import SimulatedEntropy
from qanat.sim.faults import Fault, faults_from_text
from qanat.sim.hub import SimulatedHub
from qanat.sim.invariants import InvariantBroken
from qanat.sim.link import StatisticalLink
from qanat.sim.modules import LinkTotals, SimulatedModules
from qanat.sim.network import SimulatedNetwork
from qanat.sim.site import KmeFactory, SimulatedSite
from qanat.sim.trace import Trace
from qanat.sim.world import World

# Statistical windows are longer than live pulse blocks (50 ms): that is most of what makes virtual time fast. Attacks
# and cuts begin and end with a window.
WINDOW_NS = 2 * NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A run that went wrong.

    Attributes:
        number: Of the invariant; 0 when an engine raised what it must not raise.
        text: In words.
        recent: The last lines of the trace.
    """

    number: int
    text: str
    step: int
    at_ns: int
    recent: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimReport:
    """What a run came to.

    Attributes:
        ended_ns: Virtual time reached; less than ``duration_ns`` where an invariant broke.
        faults: As they were scheduled, random ones included.
        checks: Observations that the checker judged.
        digest: SHA-256 of the trace.
        links, pairs: Totals by link, and by "sae - sae".
        routes: Now commanded, by "site -> site".
    """

    network: str
    seed: int
    duration_ns: int
    ended_ns: int
    window_ns: int
    faults: tuple[Fault, ...]
    steps: int
    checks: int
    digest: str
    trace_lines: int
    links: dict[LinkId, LinkTotals]
    pairs: dict[str, PairTotals]
    routes: dict[str, tuple[LinkId, ...]]
    alarms: dict[str, int]
    commands: dict[str, int]
    crashes: int
    frames_sent: int
    frames_lost: int
    frames_doubled: int
    violation: Violation | None = field(default=None)


class Simulation:
    """Everything of one run, wired up."""

    def __init__(
        self,
        network: Network,
        *,
        seed: int,
        trace: Callable[[str], None] | None = None,
        window_ns: int = WINDOW_NS,
        make_kme: KmeFactory = Kme,
    ) -> None:
        if not network.is_simulation:
            raise MisuseError(
                f"network {network.name} is not marked as a simulation, so its KMEs refuse simulated keys; set "
                "`simulation = true` in the network file to rehearse it"
            )
        self.topology, self.seed, self.window_ns = network, seed, window_ns
        self.streams = Streams(seed=seed)
        self.world = World()
        self.trace = Trace(self.world, sink=trace)
        self.checker = Checker(network)
        self.network = SimulatedNetwork(self.world, self.streams.seed_bytes("network", 32))
        self.sites = {site: self._site(site, make_kme) for site in network.sites}
        self.hub = SimulatedHub(
            topology=network, world=self.world, network=self.network, trace=self.trace, sites=self.sites,
            window_ns=window_ns,
        )  # fmt: skip
        self.modules = {link.id: self._modules(link) for link in network.links.values()}
        self.pairs = [
            SimulatedPair(
                demand, topology=network, world=self.world, network=self.network, trace=self.trace, sites=self.sites,
                tell=self.checker.tell,
            )
            for demand in network.demands
        ]  # fmt: skip

    def _site(self, site: SiteId, make_kme: KmeFactory) -> SimulatedSite:
        return SimulatedSite(
            site, topology=self.topology, world=self.world, network=self.network, trace=self.trace,
            entropy=SimulatedEntropy(self.streams, f"site/{site}"), tell=self.checker.tell, make_kme=make_kme,
        )  # fmt: skip

    def _modules(self, link: Link) -> SimulatedModules:
        statistical = StatisticalLink(
            link=link, fibre=self.topology.fibres[link.fibre],
            stream_seed=self.streams.seed_bytes(f"quantum/{link.id}", 32),
            entropy=SimulatedEntropy(self.streams, f"link/{link.id}"),
        )  # fmt: skip
        ends = (self.sites[link.transmitter_site], self.sites[link.receiver_site])
        return SimulatedModules(
            statistical, window_ns=self.window_ns, world=self.world, network=self.network, trace=self.trace,
            ends=ends, to_hub=self.hub.report, tell=self.checker.tell,
            seed=self.streams.seed_bytes(f"handover/{link.id}", 32),
        )  # fmt: skip

    def start(self, faults: list[Fault]) -> None:
        """Plan everybody's first action."""
        for site in self.sites.values():
            site.neighbours = self.sites
            site.on_restart = self.hub.resync
            site.start()
        self.hub.start()
        for modules in self.modules.values():
            modules.start()
        for pair in self.pairs:
            pair.start()
        Disturber(
            topology=self.topology, world=self.world, network=self.network, trace=self.trace, sites=self.sites,
            modules=self.modules, hub=self.hub, seed=self.streams.seed_bytes("disturber", 32),
        ).plan(faults)  # fmt: skip
        self.checker.check()

    def report(self, faults: list[Fault], duration_ns: int, violation: Violation | None) -> SimReport:
        """Totals so far."""
        return SimReport(
            network=self.topology.name,
            seed=self.seed,
            duration_ns=duration_ns,
            ended_ns=self.world.now_ns,
            window_ns=self.window_ns,
            faults=tuple(faults),
            steps=self.world.step,
            checks=self.checker.checks,
            digest=self.trace.digest,
            trace_lines=self.trace.count,
            links={link: modules.totals for link, modules in self.modules.items()},
            pairs={" - ".join(pair.demand.saes): pair.totals for pair in self.pairs},
            routes={f"{a} -> {b}": route.links for (a, b), route in sorted(self.hub.controller.routes.items())},
            alarms=dict(sorted(self.hub.alarm_count.items())),
            commands=dict(sorted(self.hub.command_count.items())),
            crashes=sum(site.crash_count for site in self.sites.values()),
            frames_sent=self.network.sent_count,
            frames_lost=self.network.lost_count,
            frames_doubled=self.network.doubled_count,
            violation=violation,
        )


def run_sim(
    network: Network,
    *,
    duration_ns: int,
    seed: int,
    faults: str = "",
    trace: Callable[[str], None] | None = None,
    progress: Callable[[int], None] | None = None,
    window_ns: int = WINDOW_NS,
    make_kme: KmeFactory = Kme,
) -> SimReport:
    """Run a network in virtual time and judge every step.

    Args:
        faults: See ``faults.py``.
        trace: Takes each line of the trace.
        progress: Called with the virtual time after each virtual second.
        window_ns: Link time of one statistical window.
        make_kme: The engine under test.

    Returns:
        The report; ``violation`` says whether an invariant broke.

    Raises:
        MisuseError: the faults cannot be understood, a link's clock does not fit its module, or the network is not
            marked as a simulation.
    """
    streams = Streams(seed=seed)
    schedule = faults_from_text(faults, network, duration_ns=duration_ns, seed=streams.seed_bytes("faults", 32))
    if window_ns < NS_PER_MS:
        raise MisuseError(f"a window of {window_ns} ns is too short for counts; use at least 1 ms")
    simulation = Simulation(network, seed=seed, trace=trace, window_ns=window_ns, make_kme=make_kme)
    violation = None
    try:
        simulation.start(schedule)
        for until_ns in [*range(NS_PER_S, duration_ns, NS_PER_S), duration_ns]:
            simulation.world.run(until_ns=until_ns, after_step=simulation.checker.check)
            if progress is not None:
                progress(until_ns)
    except InvariantBroken as error:
        violation = _violation(simulation, error.invariant.value, error.detail)
    except Exception as error:  # noqa: BLE001 - an engine must not raise, whatever it raised is the run's result
        violation = _violation(simulation, 0, f"an engine or stand-in raised {_raised(error)}")
    return simulation.report(schedule, duration_ns, violation)


def _violation(simulation: Simulation, number: int, text: str) -> Violation:
    world = simulation.world
    recent = tuple(simulation.trace.recent)
    return Violation(number=number, text=text, step=world.step, at_ns=world.now_ns, recent=recent)


def _raised(error: Exception) -> str:
    """The exception and where it came from: without that, a rerun would be the only way to know."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f" in {frame.tb_frame.f_globals.get('__name__')}, line {frame.tb_lineno}" if frame else ""
    return f"{type(error).__name__}{place}: {error}"


def rerun_line(report: SimReport, *, path: str, faults: str) -> str:
    """The one command that runs this run again."""
    words = ["qanat", "sim", path, "--duration", f"{report.duration_ns / NS_PER_S:g}s", "--seed", str(report.seed)]
    return shlex.join([*words, "--faults", faults] if faults else words)
