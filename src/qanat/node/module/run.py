"""`qanat module`: from options to a running end, and to an exit code."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qanat.core.errors import MisuseError
from qanat.core.ids import LinkId
from qanat.core.netfile.problems import near_miss
from qanat.core.records import Role
from qanat.core.topology import Link, Network
from qanat.distill.sifting import FOUR_STATES, THREE_STATES
from qanat.node.drivers.ports import LightContext, ReceiverDriver, TransmitterDriver, WrongLight
from qanat.node.drivers.registry import open_receiver, open_transmitter
from qanat.node.module.door import WORDS, Starter
from qanat.node.module.end import ModuleEnd
from qanat.node.module.host import Ending, Host, Task
from qanat.node.module.keys import Counted, KeySink, ToKme
from qanat.node.module.telling import Teller
from qanat.node.processes.link_end import session_plan


class RecordedKeys(MisuseError):
    """Key from a recording of real light is for study only: replayed once more, the same bits would be disclosed in
    other parities. Leave --kme-socket out; the keys are counted and destroyed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleOptions:
    """What the user asked for.

    Attributes:
        light: URI of this end's light.
        starter: What this end knows the other by; opened before the light, closed after it.
        is_compared: Show a digest of each key block before it is destroyed.
        kme_sockets: Hand keys to the KME there, several for the instances of one KME; none: count and destroy them.
    """

    link: LinkId
    role: Role
    task: Task
    light: str
    starter: Callable[[], Starter]
    is_compared: bool
    kme_sockets: tuple[Path, ...]
    is_json: bool


def run_module(network: Network, options: ModuleOptions, progress: Callable[[str], None]) -> int:
    """Run until the end; the exit code.

    Raises:
        QanatError: an option, a file, the secret or the light cannot be used.
    """
    began_s = time.monotonic()
    link = link_of(network, options.link)
    sink = _sink(options, link)
    starter = options.starter()
    teller = Teller(options.is_json)
    context = LightContext(link=link, fibre=network.fibres[link.fibre])
    _warm_up(options, progress)
    light = _light(options, context)
    transmitter = light if options.role is Role.TRANSMITTER else None
    end = ModuleEnd(
        link=link,
        role=options.role,
        starter=starter,
        sink=sink,
        teller=teller,
        transmitter=transmitter,  # type: ignore[arg-type]
    )

    async def work() -> Ending:
        host = Host(task=options.task, end=end, light=light, sink=sink, teller=teller)
        return await host.run(lambda listening: _say_ready(teller, options, light, sink, starter, listening))

    try:
        ending = asyncio.run(work())
    finally:
        light.close()
        starter.close()
    teller.ended(ending.sentence, ending.exit_code, wall_s=time.monotonic() - began_s, cpu_s=_cpu_s())
    return ending.exit_code


def link_of(network: Network, name: str) -> Link:
    """Raises: MisuseError: the network file has no such link."""
    if name not in network.links:
        known = sorted(network.links)
        raise MisuseError(f"no link is called {name!r}{near_miss(name, known)}; known: {', '.join(known)}")
    return network.links[LinkId(name)]


def _sink(options: ModuleOptions, link: Link) -> KeySink:
    if not options.kme_sockets:
        return Counted(is_compared=options.is_compared)
    if options.is_compared:
        raise MisuseError("--keys compare destroys the keys it shows digests of; it does not go with --kme-socket")
    site = link.transmitter_site if options.role is Role.TRANSMITTER else link.receiver_site
    return ToKme([str(path) for path in options.kme_sockets], site)


def _light(options: ModuleOptions, context: LightContext) -> ReceiverDriver | TransmitterDriver:
    light = (open_receiver if options.role is Role.RECEIVER else open_transmitter)(options.light, context)
    try:
        if options.role is Role.TRANSMITTER:
            check_law(light, context.link, options.light)  # type: ignore[arg-type]
        if options.kme_sockets and light.is_recorded and not light.is_simulated:
            raise RecordedKeys(options.light)
    except MisuseError:
        light.close()
        raise
    return light


def check_law(light: TransmitterDriver, link: Link, name: str) -> None:
    """The proof computes with what the datasheet says; the transmitter must have drawn by exactly that.

    Raises:
        WrongLight: it did not.
    """
    plan = session_plan(link, 0, is_simulated=True)
    p_zero = THREE_STATES if plan.is_three_state else FOUR_STATES
    pairs = {
        "intensities": (tuple(light.intensities), plan.intensities),
        "p_intensities": (tuple(light.p_intensities), plan.p_intensities),
        "p_x": (light.p_x, plan.p_x),
        "p_zero": (tuple(getattr(light, "p_zero", FOUR_STATES)), p_zero),
    }
    for what, (drawn, planned) in pairs.items():
        if drawn != planned:
            raise WrongLight(f"{name} drew with {what} {drawn}; datasheet {link.transmitter!r} has {planned}")


def _warm_up(options: ModuleOptions, progress: Callable[[str], None]) -> None:
    from qanat.distill.warm_up import warm_up as distill
    from qanat.sim.module import warm_up as light

    if options.light.startswith("sim:"):
        light(progress)
    distill(progress)


def _say_ready(
    teller: Teller,
    options: ModuleOptions,
    light: ReceiverDriver | TransmitterDriver,
    sink: KeySink,
    starter: Starter,
    listening: str | None,
) -> None:
    where = f"listening on {listening}" if listening else f"connecting to {options.task.connect}"
    mark = ", SIMULATED" if light.is_simulated else ""
    teller.begun(
        text=f"link {options.link}, {WORDS[options.role]}, light {options.light}{mark}; {where}; "
        f"authentication from {starter.sentence}; {sink.sentence}",
        link=options.link,
        role=WORDS[options.role],
        light=options.light,
        is_simulated=light.is_simulated,
        authentication=starter.authentication.value,
        listening=listening,
        connecting=str(options.task.connect) if options.task.connect else None,
        keys=sink.sentence,
    )


def _cpu_s() -> float:
    """Of this process and its children that have ended."""
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
