"""What goes wrong and when: the schedule that ``--faults`` describes.

KIND[:TARGET[:NUMBER]][@START[+DURATION]], separated by commas; without @ it holds for the whole run

ATTACK:LINK[:NUMBER][:NAME=VALUE]...  Eve, on light, such as intercept-resend:LINK:0.3:basis=x; NUMBER is the first
                                      that the attack takes; ``qanat attack list`` shows all
cut:FIBRE                             no light on any link of the fibre
crash:SITE                            the KME dies, and starts again from its store after DURATION (2 s)
partition:A|B                         no classical messages between A and B: sites or ``hub``, several with ``+``
lossy:P                               frames between KMEs are lost, doubled and late with probability about P
clock:SITE:SHIFT                      the site's clock is wrong by SHIFT, such as +2s or -500ms
random[:PER_MINUTE]                   any of these (Eve: intercept-resend, tap, jamming), by the seed (6 per minute)
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass

from qanat.core.errors import MisuseError
from qanat.core.netfile.problems import near_miss
from qanat.core.timebase import NS_PER_S, ns_from_text, text_from_ns
from qanat.core.topology import Network
from qanat.physics.attack import ATTACK_NAMES, Attack, attack_from_name, parameters_of
from qanat.physics.errors import AttackError
from qanat.sim.network import HUB

ATTACKS = tuple(name for name in ATTACK_NAMES if name != "cut")  # a cut is of a fibre
RANDOM_ATTACKS = ("intercept-resend", "tap", "jamming")
KINDS = (*ATTACKS, "cut", "crash", "partition", "lossy", "clock", "random")
CRASH_NS = 2 * NS_PER_S
RANDOM_PER_MINUTE = 6.0
P_LOSS_MAX = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        targets: Link, fibre, site, or the two sides of a partition (each with ``+`` between names).
        number: The first that an attack takes, a probability, or a clock's shift in ns; None: the kind's default.
        parameters: What else an attack is told, by name.
        end_ns: When it is over; for a crash, when the KME starts again.
    """

    kind: str
    targets: tuple[str, ...] = ()
    number: float | None = None
    parameters: tuple[tuple[str, float | str], ...] = ()
    start_ns: int = 0
    end_ns: int

    @property
    def attack(self) -> Attack:
        """What Eve does; for attacks only.

        Raises:
            AttackError: it cannot be played as given.
        """
        first = next(iter(parameters_of(self.kind)))
        return attack_from_name(self.kind, **{first: self.number} | dict(self.parameters))

    def __str__(self) -> str:
        """As it is written in ``--faults``."""
        number = "" if self.number is None else f":{self.number:g}"
        if self.kind == "clock" and self.number is not None:
            number = f":{'-' if self.number < 0 else '+'}{abs(self.number) / NS_PER_S:g}s"
        head = ":".join(part for part in (self.kind, "|".join(self.targets)) if part)
        number += "".join(f":{name}={value}" for name, value in self.parameters)
        return f"{head}{number}@{self.start_ns / NS_PER_S:g}s+{(self.end_ns - self.start_ns) / NS_PER_S:g}s"


def faults_from_text(text: str, network: Network, *, duration_ns: int, seed: bytes) -> list[Fault]:
    """The schedule, in order of time.

    Args:
        seed: For ``random``.

    Raises:
        MisuseError: it cannot be understood; the message names the entry and the near miss.
    """
    faults: list[Fault] = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        try:
            faults += _from_entry(entry, network, duration_ns, seed)
        except ValueError as error:
            raise MisuseError(f"fault {entry!r}: {error}") from None
    return sorted(faults, key=lambda fault: fault.start_ns)


def _from_entry(entry: str, network: Network, duration_ns: int, seed: bytes) -> list[Fault]:
    head, _, when = entry.partition("@")
    kind, _, rest = head.partition(":")
    if kind not in KINDS:
        raise ValueError(f"no fault is called {kind!r}{near_miss(kind, KINDS)}")
    start_ns, end_ns = _times(kind, when, duration_ns)
    if kind == "random":
        per_minute = float(rest) if rest else RANDOM_PER_MINUTE
        return random_faults(network, start_ns=start_ns, end_ns=end_ns, per_minute=per_minute, seed=seed)
    if kind == "lossy":
        return [Fault(kind=kind, number=_number(kind, rest), start_ns=start_ns, end_ns=end_ns)]
    target, _, number = rest.partition(":")
    targets = _targets(kind, target, network)
    if kind in ATTACKS:
        return [_eve(kind, targets, number, start_ns=start_ns, end_ns=end_ns)]
    return [Fault(kind=kind, targets=targets, number=_number(kind, number), start_ns=start_ns, end_ns=end_ns)]


def _eve(kind: str, targets: tuple[str, ...], text: str, *, start_ns: int, end_ns: int) -> Fault:
    """From what stands behind the link: a number, names with values, both or nothing."""
    parts = [part for part in text.split(":") if part]
    pairs = tuple(part.partition("=")[::2] for part in parts if "=" in part)
    plain = [number_or_word(part) for part in parts if "=" not in part]
    if len(plain) > 1 or not all(isinstance(value, float | int) for value in plain):
        raise ValueError(f"{text!r} is not a number and NAME=VALUE: {kind}:LINK[:NUMBER][:NAME=VALUE]...")
    number = next(iter(plain), None)
    fault = Fault(
        kind=kind,
        targets=targets,
        number=number if number is None or isinstance(number, float | int) else None,
        parameters=tuple((name, number_or_word(value)) for name, value in pairs),
        start_ns=start_ns,
        end_ns=end_ns,
    )
    try:
        _ = fault.attack
    except AttackError as error:
        raise ValueError(str(error).partition("\n")[0]) from None
    return fault


def number_or_word(text: str) -> float | str:
    """An integer, a number, or the word itself."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _times(kind: str, when: str, duration_ns: int) -> tuple[int, int]:
    if not when:
        if kind == "crash":
            raise ValueError("say when: crash:SITE@START[+DURATION]")
        return 0, duration_ns
    start, has_length, length = when.partition("+")
    start_ns = ns_from_text(start)
    if has_length:
        return start_ns, start_ns + ns_from_text(length)
    return start_ns, start_ns + CRASH_NS if kind == "crash" else max(start_ns, duration_ns)


def _targets(kind: str, text: str, network: Network) -> tuple[str, ...]:
    if kind == "partition":
        sides = tuple(text.split("|"))
        if len(sides) != 2:
            raise ValueError("a partition has two sides: partition:A|B")
        for name in (name for side in sides for name in side.split("+")):
            _known(name, [*network.sites, HUB], "site")
        return sides
    if kind == "cut":
        return (_known(text, network.fibres, "fibre"),)
    return (_known(text, network.links if kind in ATTACKS else network.sites, "link" if kind in ATTACKS else "site"),)


def _known(name: str, known: Collection[str], what: str) -> str:
    if name not in known:
        raise ValueError(f"no {what} is called {name!r}{near_miss(name, known)}")
    return name


def _number(kind: str, text: str) -> float | None:
    if kind == "clock":
        if not text:
            raise ValueError("say how wrong: clock:SITE:+2s")
        return ns_from_text(text.lstrip("+-")) * (-1.0 if text.startswith("-") else 1.0)
    if not text:
        if kind == "lossy":
            raise ValueError("say how lossy: lossy:0.1")
        return None
    if kind in ("cut", "crash", "partition"):
        raise ValueError(f"{kind} takes no number")
    number = float(text)
    if not 0 <= number <= P_LOSS_MAX:
        raise ValueError(f"{number:g} is not between 0 and {P_LOSS_MAX:g}")
    return number


def random_faults(network: Network, *, start_ns: int, end_ns: int, per_minute: float, seed: bytes) -> list[Fault]:
    """Faults at random times (Poisson), each for 1 to 20 s, on parts chosen evenly."""
    if not 0 <= per_minute <= 600:
        raise ValueError(f"{per_minute:g} faults per minute are not between 0 and 600")
    luck = random.Random(seed)
    faults: list[Fault] = []
    now_ns = start_ns
    while per_minute:
        now_ns += round(luck.expovariate(per_minute / 60) * NS_PER_S)
        if now_ns >= end_ns:
            break
        length_ns = round(luck.uniform(1, 20) * NS_PER_S)
        faults.append(luck.choice(_RANDOM)(luck, network, now_ns, min(now_ns + length_ns, end_ns)))
    return faults


def _random_attack(luck: random.Random, network: Network, start_ns: int, end_ns: int) -> Fault:
    link = luck.choice(sorted(network.links))
    kind = luck.choice(RANDOM_ATTACKS)
    number = {
        "intercept-resend": luck.uniform(0.1, 1),
        "tap": luck.uniform(0.3, 0.9),
        "jamming": 10 ** luck.uniform(5, 8),
    }
    return Fault(kind=kind, targets=(link,), number=round(number[kind], 3), start_ns=start_ns, end_ns=end_ns)


def _random_cut(luck: random.Random, network: Network, start_ns: int, end_ns: int) -> Fault:
    return Fault(kind="cut", targets=(luck.choice(sorted(network.fibres)),), start_ns=start_ns, end_ns=end_ns)


def _random_crash(luck: random.Random, network: Network, start_ns: int, end_ns: int) -> Fault:
    return Fault(kind="crash", targets=(luck.choice(sorted(network.sites)),), start_ns=start_ns, end_ns=end_ns)


def _random_partition(luck: random.Random, network: Network, start_ns: int, end_ns: int) -> Fault:
    sides = luck.sample([*sorted(network.sites), HUB], 2)
    return Fault(kind="partition", targets=tuple(sides), start_ns=start_ns, end_ns=end_ns)


def _random_loss(luck: random.Random, network: Network, start_ns: int, end_ns: int) -> Fault:
    return Fault(kind="lossy", number=round(luck.uniform(0.01, 0.5), 3), start_ns=start_ns, end_ns=end_ns)


def _random_clock(luck: random.Random, network: Network, start_ns: int, end_ns: int) -> Fault:
    shift_ns = round(luck.uniform(-5, 5), 3) * NS_PER_S
    site = luck.choice(sorted(network.sites))
    return Fault(kind="clock", targets=(site,), number=shift_ns, start_ns=start_ns, end_ns=end_ns)


# Crashes twice: they are what most invariants are about.
_RANDOM: tuple[Callable[[random.Random, Network, int, int], Fault], ...] = (
    _random_attack, _random_cut, _random_crash, _random_crash, _random_partition, _random_loss, _random_clock,
)  # fmt: skip


def sentence(fault: Fault, network: Network) -> str:
    """For the trace: what happens where, and for how long."""
    length = text_from_ns(fault.end_ns - fault.start_ns)
    links = [link.id for link in network.links.values() if link.fibre in fault.targets]
    also = f" ({', '.join(links)})" if fault.kind == "cut" else ""
    number = "" if fault.number is None else f" {fault.number:g}"
    number += "".join(f" {name}={value}" for name, value in fault.parameters)
    return f"{fault.kind}{number}{also} for {length}"
