"""One end of a link as a process of its own: `link_process.py ROLE PORT BLOCKS`. Only a socket connects the ends.

The receiver's process draws the light too (it stands for the glass) and hands on detections; the
transmitter's process knows the preparation seed. Prints one JSON line: digests of the keys, reports, CPU.
"""

import json
import select
import socket
import struct
import sys
import time
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.distill.pairing import Light, SystemEntropy, a_plan, digest

from qanat.core.provenance import Authentication
from qanat.core.records import KeyBlock, Role
from qanat.core.report import BlockReport
from qanat.core.secret import SecretBits
from qanat.crypto.wegman_carter import AuthenticationPool
from qanat.distill.session import Session, SessionFailed
from qanat.distill.warm_up import warm_up

SECRET = bytes(range(256))  # brought to both ends beforehand


def frames_from(buffer):
    while len(buffer) >= 4 and len(buffer) >= 4 + (size := struct.unpack(">I", buffer[:4])[0]):
        yield bytes(buffer[4 : 4 + size])
        del buffer[: 4 + size]


class Host:
    """A small blocking host around one session."""

    def __init__(self, role, connection, plan):
        light = Light(plan, seed=7)
        self.light = light if role is Role.RECEIVER else None
        self.connection, self.buffer, self.events = connection, bytearray(), []
        self.session = Session(
            role=role,
            plan=plan,
            pool=AuthenticationPool(SecretBits(SECRET), authentication=Authentication.PRE_SHARED),
            entropy=SystemEntropy(),
            transmitter=light if role is Role.TRANSMITTER else None,
        )

    def pump(self):
        """One wait of at most 50 ms; False when the peer has closed."""
        session = self.session
        for frame in session.frames_to_send(time.monotonic_ns()):
            self.connection.sendall(struct.pack(">I", len(frame)) + frame)
        self.events += session.events()
        if select.select([self.connection], [], [], 0.05)[0]:
            data = self.connection.recv(2**18)
            if not data:
                return False
            self.buffer += data
            for frame in frames_from(self.buffer):
                session.receive(frame, time.monotonic_ns())
        deadline_ns = session.deadline_ns()
        if deadline_ns is not None and deadline_ns <= time.monotonic_ns():
            session.on_deadline(time.monotonic_ns())
        return True

    def run(self, blocks):
        handed_in = ended = 0
        while self.pump():
            if self.light is not None and handed_in < blocks and self.session.can_accept_block():
                self.session.add_detections(self.light.block(handed_in), time.monotonic_ns())
                handed_in += 1
            ended = sum(isinstance(event, BlockReport | SessionFailed) for event in self.events)
            if self.light is not None and ended == blocks // 6:
                self.connection.close()
                return


def main():
    role, port, blocks = Role[sys.argv[1]], int(sys.argv[2]), int(sys.argv[3])
    warm_up(lambda _: None)
    if role is Role.TRANSMITTER:
        with socket.create_server(("127.0.0.1", port)) as server:
            print(server.getsockname()[1], flush=True)
            server.settimeout(60)
            connection, _ = server.accept()
    else:
        connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    host = Host(role, connection, a_plan())
    host.run(blocks)
    host.events += host.session.events()
    print(
        json.dumps(
            {
                "digests": {event.block: digest(event) for event in host.events if isinstance(event, KeyBlock)},
                "reports": [asdict(event) for event in host.events if isinstance(event, BlockReport)],
                "failures": [event.reason for event in host.events if isinstance(event, SessionFailed)],
                "cpu_s": time.process_time(),
            }
        )
    )


if __name__ == "__main__":
    main()
