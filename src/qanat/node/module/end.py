"""One end's session as `qanat module` hosts it: keys to a sink, reports to a teller."""

from __future__ import annotations

import msgspec

from qanat.core.ports import TransmitterModule
from qanat.core.records import KeyBlock, Role
from qanat.core.report import BlockReport, LinkReport
from qanat.core.topology import Link
from qanat.distill.events import Event, SessionFailed
from qanat.node.module.door import Agreement, Starter
from qanat.node.module.keys import KeySink
from qanat.node.module.telling import Teller
from qanat.node.processes.link_end import Frame, HostedEnd, session_plan
from qanat.node.wire import Codec


class Farewell(msgspec.Struct, tag="farewell", frozen=True):
    """Either end, last of all. ``is_finished``: all is done that was asked for, do not wait for me."""

    is_finished: bool


LINE: Codec[Frame | Farewell] = Codec(Frame | Farewell)


class ModuleEnd(HostedEnd):
    """See the module.

    Attributes:
        is_simulated: Either end's light is; agreed at the door before each session.
        failed: Why the last session ended, once it was broken.
        barren_count: Sessions in a row that made no key block, the open one included.
    """

    def __init__(
        self,
        *,
        link: Link,
        role: Role,
        starter: Starter,
        sink: KeySink,
        teller: Teller,
        transmitter: TransmitterModule | None = None,
    ) -> None:
        super().__init__(link=link, role=role, epochs=starter, transmitter=transmitter)
        self.role = role
        self.starter = starter
        self.failed: str | None = None
        self.barren_count = 0
        self._sink, self._teller = sink, teller
        self._digests: dict[str, str] = {}

    def plan_digest(self) -> bytes:
        """Of what both ends must know of the link, whatever the session."""
        return session_plan(self.link, 0, is_simulated=True).digest()

    def open(self, agreed: Agreement) -> None:
        """Begin the session agreed on at the door.

        Raises:
            ReserveExhausted: no slice of the pre-shared secret is left.
        """
        self.is_simulated, self.failed = agreed.is_simulated, None
        self.begin(agreed.epoch, agreed.pool())
        self.barren_count += 1
        self._teller.totals.sessions += 1

    def _handle(self, event: Event) -> None:
        match event:
            case KeyBlock():
                finding = self._key_health.finding(event.bits)
                if finding is not None:  # told, and handed on all the same: the proof decides, not statistics
                    self._teller.note(f"key block {event.block} looks broken: {finding}")
                digest = self._sink.put(event)
                if digest is not None:
                    self._digests[event.block] = digest
            case LinkReport():
                self._teller.link_report(event)
            case BlockReport():
                self.barren_count = 0 if event.aborted is None else self.barren_count
                self._teller.block(event, self._digests.pop(event.block, None))
            case SessionFailed():
                self.failed = event.reason
                self.end()
