"""What distillation costs on one core: CPU seconds of both ends together, efficiency f, round trips.

Run: ``python bench/cascade.py [--quick]``. Prints JSON lines. CPU time is process time, so both ends'
work counts; f = leak / (n h(q)) with q the errors that were really there; ``cascade`` is reconciliation
alone, ``session`` everything from announced detections to released keys, frames included.
"""

import argparse
import hashlib
import json
import math
import os
import time

import numpy as np

from qanat.core.ids import LinkId
from qanat.core.provenance import Authentication
from qanat.core.records import DetectionBlock, KeyBlock, Role, SettingsColumns
from qanat.core.report import BlockReport
from qanat.core.secret import SecretBits
from qanat.crypto.wegman_carter import AuthenticationPool
from qanat.distill.cascade.reconciler import Reconciler
from qanat.distill.cascade.schedule import Pace, schedule_from_qber
from qanat.distill.plan import SessionPlan
from qanat.distill.session import Session
from qanat.distill.warm_up import warm_up

FRAMES_FOR_ERRORS = 30_016


def entropy_bits(q):
    return -(q * math.log2(q) + (1 - q) * math.log2(1 - q))


def exchange(first, second):
    """Round by round, until nothing more is asked."""
    while (own := first.next_query()) is not None:
        first.feed(second.next_query())
        second.feed(own)
    second.next_query()


def cascade(size_bits, qber, repeats, pace=Pace.FEW_ROUNDS):
    stream = np.random.default_rng([size_bits, round(qber * 1e4)])
    rows = []
    for number in range(repeats):
        alice = stream.integers(0, 2, size_bits, dtype=np.uint8)
        bob = alice ^ (stream.random(size_bits) < qber).astype(np.uint8)
        schedule, seed = schedule_from_qber(size_bits, qber, pace=pace), number.to_bytes(16)
        start_s = time.process_time()
        first = Reconciler(alice, is_reference=True, schedule=schedule, seed=seed)
        second = Reconciler(bob, is_reference=False, schedule=schedule, seed=seed)
        exchange(first, second)
        is_equal = np.array_equal(second.corrected(), alice)
        cpu_s = time.process_time() - start_s
        first.wipe()
        second.wipe()
        f = first.leak_bits / (size_bits * entropy_bits(float((alice != bob).mean())))
        f_nominal = first.leak_bits / (size_bits * entropy_bits(qber))
        rows.append((cpu_s, f, first.round_count, is_equal, schedule.frame_count, f_nominal))
    cpu_s, f, rounds, equal, frames, f_nominal = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    return {
        "what": "cascade",
        "size_bits": size_bits,
        "qber": qber,
        "frames": int(frames.sum()),
        "key_blocks_failed": int((equal == 0).sum()),
        "cpu_s_both_ends": round(float(np.median(cpu_s)), 4),
        "mbit_per_cpu_s": round(size_bits / float(np.median(cpu_s)) / 1e6, 1),
        "f_mean": round(float(f.mean()), 4),
        "f_max": round(float(f.max()), 4),
        "f_nominal_mean": round(float(f_nominal.mean()), 4),
        "f_mean_with_tag": round(float((f + 64 * frames / (size_bits * entropy_bits(qber))).mean()), 4),
        "pace": pace.name,
        "rounds_mean": round(float(rounds.mean())),
        "log2_sizes": schedule.log2_sizes,
    }


def frame_errors(frames, qber):
    """Frames of 65,536 bits that are still wrong after all rounds, however few; three in n is the bound of none."""
    stream, failed = np.random.default_rng(5), 0
    key_blocks = -(-frames // 64)
    for number in range(key_blocks):
        alice = stream.integers(0, 2, 1 << 22, dtype=np.uint8)
        bob = alice ^ (stream.random(1 << 22) < qber).astype(np.uint8)
        schedule, seed = schedule_from_qber(1 << 22, qber), number.to_bytes(16)
        first = Reconciler(alice, is_reference=True, schedule=schedule, seed=seed)
        second = Reconciler(bob, is_reference=False, schedule=schedule, seed=seed)
        exchange(first, second)
        failed += len(set((np.flatnonzero(second.corrected() != alice) % 64).tolist()))
        first.wipe()
        second.wipe()
    return {"what": "frame errors", "qber": qber, "frames": 64 * key_blocks, "frames_failed": failed}


class Recorded:
    """A transmitter that remembers only what will be detected; the bench is not about light."""

    is_simulated = True

    def __init__(self, plan, qber, per_block, count):
        self.intensities, self.p_intensities, self.p_x = plan.intensities, plan.p_intensities, plan.p_x
        stream = np.random.default_rng(1)
        gains = np.array(plan.p_intensities) * -np.expm1(-0.1 * np.array(plan.intensities))
        self.settings, self.blocks = [], []
        for number in range(count):
            intensity = stream.choice(3, per_block, p=gains / gains.sum()).astype(np.uint8)
            sent, seen = ((stream.random(per_block) >= plan.p_x).astype(np.uint8) for _ in range(2))
            bit = stream.integers(0, 2, per_block, dtype=np.uint8)
            self.settings.append(SettingsColumns(intensity=intensity, basis=sent, bit=bit))
            self.blocks.append(
                DetectionBlock(
                    link=plan.link,
                    number=number,
                    start_ns=number * plan.pulse_block_ns,
                    n_pulses=plan.pulses_per_block,
                    index=np.sort(stream.choice(plan.pulses_per_block, per_block, replace=False)),
                    basis=seen,
                    bit=bit ^ (stream.random(per_block) < qber).astype(np.uint8),
                    double_click_count=0,
                )
            )

    def health_of(self, block_number):
        return None

    def settings_at(self, block_number, index):
        return self.settings[block_number]


def session(size_bits, qber, key_blocks):
    plan = SessionPlan(
        link=LinkId("bench"), epoch=1, intensities=(0.5, 0.15, 1e-3), p_intensities=(0.3, 0.4, 0.3), p_x=0.8,
        pulses_per_block=10_000_000, pulse_block_ns=10_000_000, block_sifted_bits=size_bits,
        epsilon_sec=1e-9, epsilon_cor=1e-12, is_simulated=True,
    )  # fmt: skip
    per_block = min(200_000, round(size_bits / 0.64 / 4))
    per_key_block = math.ceil(size_bits / (0.64 * per_block * 0.98))
    light = Recorded(plan, qber, per_block, count=key_blocks * per_key_block)

    class Entropy:
        def random_bytes(self, size_bytes):
            return os.urandom(size_bytes)

    def end(role):
        pool, transmitter = (
            AuthenticationPool(SecretBits(bytes(range(64))), authentication=Authentication.PRE_SHARED),
            light if role is Role.TRANSMITTER else None,
        )
        return Session(role=role, plan=plan, pool=pool, entropy=Entropy(), transmitter=transmitter)

    alice, bob = end(Role.TRANSMITTER), end(Role.RECEIVER)
    events, frames, sent_bytes, left = {alice: [], bob: []}, 0, 0, list(light.blocks)
    start_s = time.process_time()
    while True:
        moved = 0
        if left and bob.can_accept_block():
            bob.add_detections(left.pop(0), 0)
        for sender, receiver in ((bob, alice), (alice, bob)):
            for frame in sender.frames_to_send(0):
                receiver.receive(frame, 0)
                moved, sent_bytes = moved + 1, sent_bytes + len(frame)
            events[receiver] += receiver.events()
        frames += moved
        if not moved and not left:
            break
    cpu_s = time.process_time() - start_s
    reports = [event for event in events[bob] if isinstance(event, BlockReport)]
    keys = {name: [hashlib.sha256(event.bits.reveal()).digest() for event in happened if isinstance(event, KeyBlock)]
            for name, happened in (("alice", events[alice]), ("bob", events[bob]))}  # fmt: skip
    sifted = sum(report.sifted_bits for report in reports)
    return {
        "what": "session",
        "size_bits": size_bits,
        "qber": qber,
        "key_blocks": len(keys["bob"]),
        "equal": keys["alice"] == keys["bob"],
        "aborted": [report.aborted for report in reports if report.aborted],
        "cpu_s_per_key_block_both_ends": round(cpu_s / max(1, len(reports)), 4),
        "sifted_mbit_per_cpu_s": round(sifted / cpu_s / 1e6, 2),
        "secret_bits_per_sifted": round(sum(report.secret_bits for report in reports) / max(1, sifted), 4),
        "rounds": [report.round_trips for report in reports],
        "frames": frames,
        "bytes_per_sifted_bit": round(sent_bytes / max(1, sifted), 3),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few sizes, one repeat")
    quick = parser.parse_args().quick
    warm_up(lambda _: None)
    for size_bits in (200_000,) if quick else (10_000, 65_536, 200_000, 1_000_000):
        for qber in (0.02,) if quick else (0.01, 0.02, 0.03, 0.05, 0.08):
            print(json.dumps(cascade(size_bits, qber, 1 if quick else max(3, 3_000_000 // size_bits))), flush=True)
    for pace in Pace:
        for qber in (0.02,) if quick else (0.01, 0.02, 0.03, 0.05, 0.08):
            print(json.dumps(cascade(1 << 22, qber, 1 if quick else 5, pace)), flush=True)
    if not quick:
        print(json.dumps(frame_errors(FRAMES_FOR_ERRORS, 0.02)), flush=True)
    for size_bits in (200_000,) if quick else (200_000, 1_000_000):
        for qber in (0.01, 0.03):
            print(json.dumps(session(size_bits, qber, 2)), flush=True)


if __name__ == "__main__":
    main()
