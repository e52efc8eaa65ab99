"""Cascade between two processes over a TCP socket, with the delay of a long fibre: one JSON line per row.

Run: ``python bench/cascade_wire.py [--mbit 64] [--qber 0.02] [--pace LOW_LEAK]``. Each process knows its own key
only; a message is held back for half the round-trip time at its receiver. Several key blocks are under way at once, as
many as ``--aim-mbit-s`` needs. CPU time is that of both processes; tags and sifting are not part of it. Both messages
of a round cross, so one round takes half a round trip.
"""

import argparse
import collections
import json
import math
import multiprocessing
import resource
import select
import socket
import struct
import time

import numpy as np

from qanat.distill.cascade.reconciler import Reconciler
from qanat.distill.cascade.schedule import Pace, schedule_from_qber
from qanat.distill.warm_up import warm_up

BLOCK_BITS = 1 << 22  # 64 frames of 65,536
ROUND_TRIPS = 260  # of so many frames, until the slowest is done
HEADER = struct.Struct(">II")


def key_of(number, qber, is_reference):
    """This end's key of one block, packed; the other end's is not looked at."""
    alice = np.frombuffer(np.random.default_rng([1, number]).bytes(BLOCK_BITS // 8), np.uint8)
    if is_reference:
        return alice
    errors = np.random.default_rng([2, number]).random(BLOCK_BITS, dtype=np.float32) < qber
    return alice ^ np.packbits(errors)


class End:
    """One process's half: blocks under way, messages due later, what is not written yet."""

    def __init__(self, connection, options, is_reference, keys):
        self.connection, self.options, self.is_reference, self.keys = connection, options, is_reference, keys
        self.schedule = schedule_from_qber(BLOCK_BITS, options.qber, pace=Pace[options.pace])
        self.active, self.due, self.early = {}, collections.deque(), {}
        self.begun = self.done = self.leak = self.rounds = 0
        self.room = memoryview(bytearray(1 << 20))
        self.digests, self.out, self.buffer, self.cpu_s = [], bytearray(), bytearray(), 0.0

    def begin(self):
        start_s = time.process_time()
        bits = np.unpackbits(self.keys[self.begun])
        seed = self.begun.to_bytes(16)
        self.active[self.begun] = Reconciler(bits, is_reference=self.is_reference, schedule=self.schedule, seed=seed)
        self.begun += 1
        self.ask(self.begun - 1)
        self.cpu_s += time.process_time() - start_s

    def ask(self, number):
        block = self.active[number]
        query = block.next_query()
        if query is None:
            self.leak, self.rounds, self.done = (
                self.leak + block.leak_bits,
                max(self.rounds, block.round_count),
                self.done + 1,
            )
            self.digests.append(hash(block.corrected().tobytes()))
            block.wipe()
            del self.active[number]
            return
        self.out += HEADER.pack(number, len(query)) + query
        if (early := self.early.pop(number, None)) is not None:
            self.take(number, early)

    def take(self, number, answer):
        if number not in self.active:
            self.early[number] = answer  # the peer began it first
            return
        self.active[number].feed(answer)
        self.ask(number)

    def receive(self):
        size = self.connection.recv_into(self.room)  # a fresh megabyte for each message would cost more than Cascade
        self.buffer += self.room[:size]
        at = 0
        while len(self.buffer) - at >= HEADER.size:
            number, length = HEADER.unpack_from(self.buffer, at)
            if len(self.buffer) - at < HEADER.size + length:
                break
            answer = bytes(memoryview(self.buffer)[at + HEADER.size : at + HEADER.size + length])
            self.due.append((time.monotonic() + self.options.rtt_ms / 2000, number, answer))
            at += HEADER.size + length
        del self.buffer[:at]
        return size > 0

    def run(self, count):
        self.connection.setblocking(False)
        while self.done < count:
            while self.begun < count and len(self.active) < self.options.in_flight:
                self.begin()
            start_s = time.process_time()
            while self.due and self.due[0][0] <= time.monotonic():
                _, number, answer = self.due.popleft()
                self.take(number, answer)
            wait_s = max(0.0, min(0.05, self.due[0][0] - time.monotonic())) if self.due else 0.05
            readable, writable, _ = select.select([self.connection], [self.connection] if self.out else [], [], wait_s)
            if writable:
                del self.out[: self.connection.send(self.out)]
            if readable and not self.receive():
                break
            self.cpu_s += time.process_time() - start_s
        self.connection.setblocking(True)
        self.connection.sendall(self.out)


def one_end(port, ready, options, is_reference, results):
    warm_up(lambda _: None)
    count = math.ceil(options.mbit * 1e6 / BLOCK_BITS)
    keys = [key_of(number, options.qber, is_reference) for number in range(count)]
    if is_reference:
        with socket.create_server(("127.0.0.1", 0)) as server:
            ready.put(server.getsockname()[1])
            connection, _ = server.accept()
    else:
        connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    end = End(connection, options, is_reference, keys)
    started_s = time.monotonic()
    end.run(count)
    wall_s = time.monotonic() - started_s
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    results.put((is_reference, end.cpu_s, wall_s, end.leak, end.rounds, end.done, peak_kib))


def measured(options):
    context = multiprocessing.get_context("spawn")
    ready, results = context.Queue(), context.Queue()
    alice = context.Process(target=one_end, args=(0, ready, options, True, results))
    alice.start()
    bob = context.Process(target=one_end, args=(ready.get(timeout=60), None, options, False, results))
    bob.start()
    rows = [results.get(timeout=600) for _ in range(2)]
    for process in (alice, bob):
        process.join(timeout=10)
    cpu_s, wall_s, bits = sum(row[1] for row in rows), max(row[2] for row in rows), rows[0][5] * BLOCK_BITS
    q = options.qber
    entropy = -(q * math.log2(q) + (1 - q) * math.log2(1 - q))
    return {
        "what": "cascade between two processes",
        "qber": q,
        "rtt_ms": options.rtt_ms,
        "in_flight": options.in_flight,
        "pace": options.pace,
        "bits": bits,
        "memory_peak_mib_each": [round(row[6] / 1024) for row in rows],
        "cpu_s_both": round(cpu_s, 3),
        "mbit_per_cpu_s": round(bits / cpu_s / 1e6, 1),
        "mbit_per_wall_s": round(bits / wall_s / 1e6, 1),
        "f_nominal": round(rows[0][3] / (bits * entropy), 4),
        "rounds_max": rows[0][4],
        "round_trips_max": math.ceil(rows[0][4] / 2),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mbit", type=float, default=64)
    parser.add_argument("--qber", type=float, default=0.02)
    parser.add_argument("--pace", choices=[pace.name for pace in Pace], default="FEW_ROUNDS")
    parser.add_argument("--aim-mbit-s", type=float, default=50, help="key blocks in flight are as many as this needs")
    parser.add_argument("--rtt-ms", type=float, nargs="*", default=[0, 10, 100])
    options = parser.parse_args()
    delays, least_mbit = options.rtt_ms, options.mbit
    for rtt_ms in delays:
        options.rtt_ms = rtt_ms
        options.in_flight = 2 + math.ceil(options.aim_mbit_s * 1e6 / BLOCK_BITS * ROUND_TRIPS * rtt_ms / 1e3)
        options.mbit = max(least_mbit, 3 * options.in_flight * BLOCK_BITS / 1e6)
        print(json.dumps(measured(options)), flush=True)


if __name__ == "__main__":
    main()
