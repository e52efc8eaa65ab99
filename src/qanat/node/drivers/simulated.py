"""``sim://KEYFILE``: simulated light, a stand-in for two modules and the fibre between them.

Both ends name copies of one key file (`qanat secret --light`), which is no secret of any key: it stands for what nature
and the transmitter share. At the receiver's end the glass runs as a child process, which alone holds that key: the
process that distils never learns what was prepared (docs/decisions/0003). Each session has a key of its own, so
that no slot's settings serve twice.

Options: ``rate-max`` link seconds per wall second, 1 unless said, 0 for as fast as the machine can;
``key-file`` instead of the place.
"""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from qanat.core.errors import EnvironmentProblem, QanatError
from qanat.core.health import TransmitterHealth
from qanat.core.records import DetectionBlock, SettingsColumns
from qanat.core.timebase import NS_PER_S
from qanat.core.topology import Fibre, Link
from qanat.node.drivers.ports import LightContext
from qanat.node.drivers.uri import LightUri, LightUriError
from qanat.node.recordings.columns import detections_from_payload
from qanat.node.recordings.form import PAYLOAD_BYTES_MAX, WORD
from qanat.node.recordings.header import Header, Kind
from qanat.sim.module import SimulatedTransmitter

KEY_BYTES_MIN, KEY_BYTES_MAX = 8, 4096
AHEAD = 2  # blocks that the glass computes while we distil the last one
DEBT_NS_MAX = NS_PER_S  # time lost beyond this is not made up for by racing afterwards


class GlassEnded(EnvironmentProblem):
    """The process that simulates the light has ended. Its last word is above; start this end again."""


class GlassConfig(msgspec.Struct, frozen=True):
    """What the child gets on its standard input, as one line of JSON."""

    link: Link
    fibre: Fibre
    key_file: str


def key_from_file(path: Path) -> bytes:
    """The simulation key.

    Raises:
        EnvironmentProblem: it cannot be read, or is no key.
    """
    try:
        with path.open("rb") as file:
            key = file.read(KEY_BYTES_MAX + 1)
    except OSError as error:
        raise EnvironmentProblem(f"simulation key {path} cannot be read: {error.strerror}") from None
    if not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
        raise EnvironmentProblem(f"simulation key {path} must have {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes")
    return key


def session_key(key: bytes, link: str, epoch: int) -> bytes:
    """The simulation key of one session."""
    return hashlib.sha256(b"qanat simulated light\n" + key + f"\n{link}\n{epoch}".encode()).digest()


def _key_file(uri: LightUri) -> Path:
    uri.allow(("key-file", "rate-max"))
    name = uri.options.get("key-file") or uri.place
    if not name:
        raise LightUriError(f"{uri.text}: name the simulation key file, as in sim://light.key (`qanat secret --light`)")
    return Path(name).expanduser()


def receiver(uri: LightUri, context: LightContext) -> GlassReceiver:
    """See the module."""
    key_file = _key_file(uri)
    if not key_file.is_file():
        raise EnvironmentProblem(
            f"simulation key {key_file} is missing; make one with `qanat secret --light {key_file}`"
        )
    return GlassReceiver(context, key_file, rate_max=uri.number("rate-max", 1.0))


def transmitter(uri: LightUri, context: LightContext) -> SimulatedSource:
    """See the module."""
    uri.number("rate-max", 1.0)
    return SimulatedSource(context, key_from_file(_key_file(uri)))


class SimulatedSource:
    """The transmitter's memory of what it prepared."""

    is_simulated = True
    is_recorded = False

    def __init__(self, context: LightContext, key: bytes) -> None:
        self._link, self._key = context.link, key
        self.problem: QanatError | None = None
        self.begin(0)
        self.intensities = self._source.intensities
        self.p_intensities = self._source.p_intensities
        self.p_x, self.p_zero = self._source.p_x, self._source.p_zero

    def begin(self, epoch: int) -> None:
        self._source = SimulatedTransmitter(link=self._link, key=session_key(self._key, self._link.id, epoch))

    def settings_at(self, block_number: int, index: NDArray[np.int64]) -> SettingsColumns:
        return self._source.settings_at(block_number, index)

    def health_of(self, block_number: int) -> TransmitterHealth | None:
        return self._source.health_of(block_number)

    def close(self) -> None:
        """Nothing is held."""


class GlassReceiver:
    """The glass's detections, block by block, from a child process; one thread calls ``next_block``."""

    is_simulated = True
    is_recorded = False

    def __init__(self, context: LightContext, key_file: Path, *, rate_max: float) -> None:
        link = context.link
        self._link, self._rate_max = link, rate_max
        self._header = Header(
            kind=Kind.DETECTIONS,
            link=link.id,
            clock_hz=link.clock_hz,
            n_pulses=context.n_pulses,
            pulse_block_ns=link.pulse_block_ns,
            is_simulated=True,
        )
        self._asked = self._stale = 0
        self._base_ns = self._due_ns = self._end_ns = 0
        self._closed = threading.Event()
        self._child = subprocess.Popen(
            [sys.executable, "-m", "qanat.node.drivers.glass_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches us alone; the child ends when its standard input does
        )
        config = GlassConfig(link, context.fibre, str(key_file.absolute()))
        self._say(msgspec.json.encode(config) + b"\n")
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """From here on the light of this session; link time goes on from now."""
        self._stale, self._asked = self._stale + self._asked, 0
        self._say(b"begin %d\n" % epoch)
        self._base_ns, self._due_ns = max(self._end_ns, time.time_ns()), time.monotonic_ns()

    def next_block(self) -> DetectionBlock:
        """Raises: GlassEnded."""
        self._ask()
        payload = self._payload()
        while self._stale:
            self._stale -= 1
            payload = self._payload()
        self._asked -= 1
        self._ask()
        block = detections_from_payload(payload, 0, self._header)
        self._pace()
        start_ns = self._base_ns + block.start_ns
        self._end_ns = start_ns + self._link.pulse_block_ns
        return replace(block, start_ns=start_ns)

    def close(self) -> None:
        self._closed.set()
        with contextlib.suppress(OSError):
            if self._child.stdin is not None:
                self._child.stdin.close()
        try:
            self._child.wait(2)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        for pipe in (self._child.stdout, self._child.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError, ValueError):
                    pipe.close()

    def _ask(self) -> None:
        while self._asked < AHEAD:
            self._asked += 1
            self._say(b"next\n")

    def _say(self, line: bytes) -> None:
        try:
            if self._child.stdin is not None:
                self._child.stdin.write(line)
                self._child.stdin.flush()
        except (OSError, ValueError):
            raise self._ended() from None

    def _payload(self) -> bytes:
        (size_bytes,) = WORD.unpack(self._read(WORD.size))
        if size_bytes > PAYLOAD_BYTES_MAX:
            raise GlassEnded(f"a block of {size_bytes} bytes; use shorter pulse blocks")
        return self._read(size_bytes)

    def _read(self, size_bytes: int) -> bytes:
        try:
            data = self._child.stdout.read(size_bytes) if self._child.stdout is not None else b""
        except ValueError:  # closed under our feet
            data = b""
        if len(data) != size_bytes:
            raise self._ended()
        return data

    def _ended(self) -> GlassEnded:
        if self._closed.is_set():
            return GlassEnded("it was closed")
        self._child.kill()
        code = self._child.wait()
        words = self._child.stderr.read().decode(errors="replace").strip() if self._child.stderr is not None else ""
        return GlassEnded(words.splitlines()[-1] if words else f"exit code {code}")

    def _pace(self) -> None:
        """Wait until this block's light can have passed."""
        if not self._rate_max:
            return
        self._due_ns += round(self._link.pulse_block_ns / self._rate_max)
        early_ns = self._due_ns - time.monotonic_ns()
        if early_ns < -DEBT_NS_MAX:
            self._due_ns -= early_ns
        elif early_ns > 0:
            self._closed.wait(early_ns / NS_PER_S)


def requests(lines: Iterator[bytes]) -> Iterator[int | None]:
    """What the parent asks: an epoch to begin, or None for the next block."""
    for line in lines:
        words = line.split()
        if words and words[0] == b"begin":
            yield int(words[1])
        elif words == [b"next"]:
            yield None
