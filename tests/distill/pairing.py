"""Two ends of one link in memory, their light, and a bad wire between them."""

from __future__ import annotations

import hashlib
import os
from functools import cache

import numpy as np

from qanat.core.health import Arrivals, ReceiverHealth, TransmitterHealth
from qanat.core.ids import LinkId
from qanat.core.provenance import Authentication
from qanat.core.records import DetectionBlock, KeyBlock, Role, SettingsColumns
from qanat.core.report import BlockReport, LinkReport
from qanat.core.secret import SecretBits
from qanat.crypto.wegman_carter import AuthenticationPool
from qanat.distill.plan import SessionPlan
from qanat.distill.session import Session, SessionFailed

LINK = LinkId("north-south")
MS = 1_000_000


class SystemEntropy:
    def random_bytes(self, size_bytes):
        return os.urandom(size_bytes)


class SeededEntropy:
    """Repeatable, for tests only."""

    def __init__(self, seed):
        self._stream = np.random.default_rng(seed)

    def random_bytes(self, size_bytes):
        return self._stream.bytes(size_bytes)


def a_plan(**changes):
    values = {
        "link": LINK,
        "epoch": 1,
        "intensities": (0.5, 0.15, 1e-3),
        "p_intensities": (0.3, 0.4, 0.3),
        "p_x": 0.6,
        "pulses_per_block": 250_000,
        "pulse_block_ns": MS,
        "block_sifted_bits": 30_000,
        "epsilon_sec": 1e-6,
        "epsilon_cor": 1e-12,
        "is_simulated": True,
    }
    return SessionPlan(**{**values, **changes})


class Light:
    """A dense emulator: every pulse is drawn. It is also the transmitter's module."""

    is_simulated = True

    def __init__(self, plan, *, seed, transmittance=0.3, p_flip=0.01, p_dark=1e-6, intercepted=0.0):
        self.plan = plan
        self.intensities, self.p_intensities, self.p_x = plan.intensities, plan.p_intensities, plan.p_x
        self.transmittance, self.p_flip, self.p_dark = transmittance, p_flip, p_dark
        self.intercepted = intercepted
        self._seed = seed

    def _stream(self, number, what):
        return np.random.default_rng([self._seed, number, what])

    def prepared(self, number):
        stream, n = self._stream(number, 0), self.plan.pulses_per_block
        intensity = stream.choice(3, size=n, p=self.p_intensities).astype(np.uint8)
        basis = (stream.random(n) >= self.p_x).astype(np.uint8)
        return SettingsColumns(intensity=intensity, basis=basis, bit=stream.integers(0, 2, n, dtype=np.uint8))

    def settings_at(self, block_number, index):
        all_of_them = self.prepared(block_number)
        return SettingsColumns(
            intensity=all_of_them.intensity[index], basis=all_of_them.basis[index], bit=all_of_them.bit[index]
        )

    def health_of(self, block_number):
        return TransmitterHealth(
            power_ratio=1.0 + 1e-4 * block_number, in_port_power_nw=0.5, temperature_c=25.0, control_effort=0.5
        )

    def receiver_health_of(self, number, detection_count):
        return ReceiverHealth(
            arrivals=tuple(Arrivals(count=detection_count // 4, mean_ps=2.0, std_ps=60.0) for _ in range(4)),
            gap_histogram=(0,) * 23 + (detection_count,),
            bias_current_na=(1.0, 1.1, 0.9, 1.0),
            temperature_c=-40.0 + 1e-3 * number,
            control_effort=0.3,
        )

    def block(self, number):
        sent, stream, n = self.prepared(number), self._stream(number, 1), self.plan.pulses_per_block
        mean = self.transmittance * np.array(self.intensities)[sent.intensity]
        is_light = stream.random(n) < -np.expm1(-mean)
        is_dark = stream.random(n) < 4 * self.p_dark
        basis, bit = sent.basis.copy(), sent.bit.copy()
        eve = stream.random(n) < self.intercepted
        eve_basis = stream.integers(0, 2, n, dtype=np.uint8)
        eve_bit = np.where(eve_basis == basis, bit, stream.integers(0, 2, n, dtype=np.uint8))
        basis, bit = np.where(eve, eve_basis, basis), np.where(eve, eve_bit, bit)
        measured = (stream.random(n) >= self.p_x).astype(np.uint8)
        random_bit = stream.integers(0, 2, n, dtype=np.uint8)
        flip = (stream.random(n) < self.p_flip).astype(np.uint8)
        seen = np.where((measured == basis) & is_light, bit ^ flip, random_bit).astype(np.uint8)
        index = np.flatnonzero(is_light | is_dark)
        return DetectionBlock(
            link=self.plan.link,
            number=number,
            start_ns=number * self.plan.pulse_block_ns,
            n_pulses=n,
            index=index,
            basis=measured[index],
            bit=seen[index],
            double_click_count=int((is_light & is_dark).sum()),
            health=self.receiver_health_of(number, len(index)),
        )


@cache
def light_of(plan, seed, **light):
    """Light is drawn once and used by many tests."""
    source = Light(plan, seed=seed, **light)
    source.block, source.prepared = cache(source.block), cache(source.prepared)
    return source


class Pair:
    """Both ends of a link and what happened at each."""

    def __init__(
        self,
        *,
        plan=None,
        seed=1,
        secret=None,
        peer_secret=None,
        pools=None,
        entropy=None,
        options=None,
        transmitter=None,
        **light,
    ):
        self.plan = plan or a_plan()
        self.light = light_of(self.plan, seed, **light)
        common = {"plan": self.plan, "entropy": entropy or SystemEntropy(), **(options or {})}
        secret = secret or hashlib.shake_256(b"%d" % seed).digest(1024)
        self.pools = pools or [
            AuthenticationPool(SecretBits(each), authentication=Authentication.PRE_SHARED)
            for each in (secret, peer_secret or secret)
        ]
        self.alice = Session(role=Role.TRANSMITTER, pool=self.pools[0], transmitter=transmitter or self.light, **common)
        self.bob = Session(role=Role.RECEIVER, pool=self.pools[1], **common)
        self.happened = {self.alice: [], self.bob: []}
        self.now_ns = 0
        self.number = 0

    def shine(self, count=1):
        for _ in range(count):
            assert self.bob.can_accept_block()
            self.bob.add_detections(self.light.block(self.number), self.now_ns)
            self.number += 1

    def until_quiet(self, rounds=15_000):
        for _ in range(rounds):
            if not roundtrip(self):
                return
        raise AssertionError("the ends never come to rest")

    def run(self, blocks):
        """Light, block by block, as fast as both ends take it."""
        for _ in range(blocks):
            self.until_quiet()
            self.shine()
        self.until_quiet()

    def of(self, end, kind):
        return [event for event in self.happened[end] if isinstance(event, kind)]

    def keys(self, end):
        return self.of(end, KeyBlock)

    def reports(self, end):
        return self.of(end, BlockReport)

    def link_reports(self, end):
        return self.of(end, LinkReport)

    def failures(self, end):
        return self.of(end, SessionFailed)


def collect(pair):
    for end, events in pair.happened.items():
        events += end.events()


def transfer(pair, sender, receiver, change=lambda frame: frame):
    """All frames of one end reach the other; how many there were."""
    frames = sender.frames_to_send(pair.now_ns)
    for frame in frames:
        receiver.receive(change(frame), pair.now_ns)
    collect(pair)
    return len(frames)


def roundtrip(pair):
    pair.now_ns += MS // 10
    return transfer(pair, pair.bob, pair.alice) + transfer(pair, pair.alice, pair.bob)


def drop(sender, now_ns):
    """All frames of one end are lost."""
    return len(sender.frames_to_send(now_ns))


def digest(block):
    return hashlib.sha256(block.bits.reveal()).hexdigest()


class BadWire:
    """Loses, doubles and overtakes frames by a seeded stream; time jumps to what happens next."""

    def __init__(self, pair, *, seed, p_loss, p_double, delay_ns_max, delay_ns=0):
        self.pair, self.stream = pair, np.random.default_rng(seed)
        self.p_loss, self.p_double, self.delay_ns_max, self.delay_ns = p_loss, p_double, delay_ns_max, delay_ns
        self.flying = []

    def step(self):
        """One thing happens; False when nothing ever will."""
        pair = self.pair
        for sender, receiver in ((pair.alice, pair.bob), (pair.bob, pair.alice)):
            for frame in sender.frames_to_send(pair.now_ns):
                copies = (self.stream.random() >= self.p_loss) + (self.stream.random() < self.p_double)
                for _ in range(copies):
                    delay_ns = self.delay_ns or int(self.stream.integers(1, self.delay_ns_max + 1))
                    self.flying.append((pair.now_ns + delay_ns, frame, receiver))
        deadlines = [end.deadline_ns() for end in (pair.alice, pair.bob)]
        times = [at_ns for at_ns, _, _ in self.flying] + [at_ns for at_ns in deadlines if at_ns is not None]
        if not times:
            return False
        pair.now_ns = max(pair.now_ns, min(times))
        due = [each for each in self.flying if each[0] <= pair.now_ns]
        self.flying = [each for each in self.flying if each[0] > pair.now_ns]
        for _, frame, receiver in due:
            receiver.receive(frame, pair.now_ns)
        for end in (pair.alice, pair.bob):
            at_ns = end.deadline_ns()
            if at_ns is not None and at_ns <= pair.now_ns:
                end.on_deadline(pair.now_ns)
        collect(pair)
        return True

    def run(self, blocks, steps=60_000):
        """Hand in pulse blocks as fast as the receiver takes them, then let everything settle."""
        for _ in range(steps):
            while blocks and self.pair.bob.can_accept_block():
                self.pair.shine()
                blocks -= 1
            if not self.step():
                return
        raise AssertionError("the ends never come to rest")
