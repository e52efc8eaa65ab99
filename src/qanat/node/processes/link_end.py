"""Hosts one end of one QKD link: a distillation session, its secret, and where its events go."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from qanat.core.ids import LinkId
from qanat.core.ports import TransmitterModule
from qanat.core.provenance import Authentication
from qanat.core.records import KeyBlock, Role
from qanat.core.report import BlockReport, LinkReport
from qanat.core.topology import Link
from qanat.crypto.randomness.delivered import KeyHealth
from qanat.crypto.wegman_carter import AuthenticationPool
from qanat.distill.events import Event, SessionFailed
from qanat.distill.plan import SessionPlan
from qanat.distill.session import Session
from qanat.node.entropy import SystemEntropy
from qanat.node.messages import BlockEnded, Note, Reported
from qanat.node.processes.auth_reserve import AuthReserve
from qanat.node.processes.hub_client import HubClient
from qanat.node.processes.key_outlet import KeyOutlet
from qanat.node.wire import Codec
from qanat.physics.datasheet import load_transmitter
from qanat.physics.settings import law_from_sheet


class Open(msgspec.Struct, tag="open", frozen=True):
    """Receiver to transmitter: let us begin a session; my next free epoch is this one."""

    link: LinkId
    epoch: int


class Opened(msgspec.Struct, tag="opened", frozen=True):
    """Transmitter to receiver: we begin with this epoch, the later of ours."""

    link: LinkId
    epoch: int


class Frame(msgspec.Struct, tag="frame", frozen=True):
    link: LinkId
    epoch: int
    data: bytes


CLASSICAL: Codec[Open | Opened | Frame] = Codec(Open | Opened | Frame)


def session_plan(link: Link, epoch: int, *, is_simulated: bool) -> SessionPlan:
    """What both ends know of a link before they speak: datasheet and network file."""
    sheet = load_transmitter(link.transmitter)
    law = law_from_sheet(sheet)
    return SessionPlan(
        link=link.id,
        epoch=epoch,
        intensities=law.intensities,
        p_intensities=law.p_intensities,
        p_x=law.p_x,
        pulses_per_block=round(link.clock_hz * link.pulse_block_ns / 1e9),
        pulse_block_ns=link.pulse_block_ns,
        block_sifted_bits=link.block_sifted_bits,
        reconciliation=link.reconciliation,
        epsilon_sec=link.epsilon_sec,
        epsilon_cor=link.epsilon_cor,
        is_three_state=sheet.is_three_state,
        is_simulated=is_simulated,
    )


class Epochs(Protocol):
    """Knows the number of the newest session that was begun."""

    @property
    def last_epoch(self) -> int: ...


class HostedEnd:
    """One end's session and its time. The host feeds it frames and is called back with frames to send.

    Subclasses say where events go.
    """

    is_simulated = True

    def __init__(self, *, link: Link, role: Role, epochs: Epochs, transmitter: TransmitterModule | None = None) -> None:
        self.link = link
        self._role = role
        self._epochs = epochs
        self._transmitter = transmitter
        self.session: Session | None = None
        self._key_health = KeyHealth()
        self.epoch = 0
        self.send: Callable[[bytes], None] = lambda _frame: None

    @property
    def next_epoch(self) -> int:
        return self._epochs.last_epoch + 1

    def begin(self, epoch: int, pool: AuthenticationPool) -> None:
        """Start a session with what it authenticates by."""
        self.epoch = epoch
        self.session = Session(
            role=self._role,
            plan=session_plan(self.link, epoch, is_simulated=self.is_simulated),
            pool=pool,
            entropy=SystemEntropy(),
            transmitter=self._transmitter,
        )

    def end(self) -> None:
        self.session = None

    def receive(self, frame: Frame) -> None:
        if self.session is not None and frame.epoch == self.epoch:
            self.session.receive(frame.data, time.time_ns())
            self.pump()

    def wake(self) -> None:
        """Call often: lets the session's deadlines pass."""
        if self.session is None:
            return
        now_ns = time.time_ns()
        deadline_ns = self.session.deadline_ns()
        if deadline_ns is not None and deadline_ns <= now_ns:
            self.session.on_deadline(now_ns)
        self.pump()

    def pump(self) -> None:
        """Send what is due, then hand on what happened."""
        session = self.session
        if session is None:
            return
        for data in session.frames_to_send(time.time_ns()):
            self.send(CLASSICAL.encode(Frame(self.link.id, self.epoch, data)))
        for event in session.events():
            self._handle(event)

    def _handle(self, event: Event) -> None:
        raise NotImplementedError


class LinkEnd(HostedEnd):
    """One end in the processes of `qanat up`: keys go to the KME, reports to the hub."""

    def __init__(
        self,
        *,
        link: Link,
        role: Role,
        reserve: AuthReserve,
        outlet: KeyOutlet,
        hub: HubClient,
        transmitter: TransmitterModule | None = None,
    ) -> None:
        super().__init__(link=link, role=role, epochs=reserve, transmitter=transmitter)
        self._reserve = reserve
        self._outlet = outlet
        self._hub = hub

    def open(self, epoch: int) -> None:
        """Start a session with a fresh slice of the pre-shared secret.

        Raises:
            ReserveExhausted: none of that number is left.
        """
        self.begin(epoch, AuthenticationPool(self._reserve.claim(epoch), authentication=Authentication.PRE_SHARED))

    def _handle(self, event: Event) -> None:
        match event:
            case KeyBlock():
                self._check(event)
                self._outlet.put(event)
            case LinkReport():
                if self._role is Role.RECEIVER:  # both ends know the same counts; the hub needs them once
                    self._hub.send(Reported(event))
            case BlockReport():
                if self._role is Role.RECEIVER:
                    self._hub.send(BlockEnded(event))
            case SessionFailed():
                logging.warning("link %s, epoch %d: %s", self.link.id, self.epoch, event.reason)
                self._hub.send(Note("note", f"link {self.link.id}: session ended: {event.reason}"))
                self.end()

    def _check(self, block: KeyBlock) -> None:
        """Tell when a block looks broken. It is stored all the same: the proof decides, not statistics."""
        finding = self._key_health.finding(block.bits)
        if finding is not None:
            logging.warning("link %s, block %s: the key looks broken: %s", self.link.id, block.block, finding)
            self._hub.send(Note("note", f"link {self.link.id}: key block {block.block} looks broken: {finding}"))
