"""What a session tells its host."""

from __future__ import annotations

from dataclasses import dataclass

from qanat.core.ids import LinkId
from qanat.core.records import KeyBlock
from qanat.core.report import BlockReport, LinkReport


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFailed:
    """The protocol was broken: this session is over. The host may start another with a new epoch.

    Attributes:
        reason: Sentence for the journal.
    """

    link: LinkId
    epoch: int
    reason: str


Event = LinkReport | KeyBlock | BlockReport | SessionFailed
