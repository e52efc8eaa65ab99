"""What the journal says of a KME's events."""

from qanat.core.ids import BlockId, SiteId
from qanat.km.events import RelayAltered
from qanat.node.processes.telling import Telling


def altered(*suspects: str, is_certain: bool) -> RelayAltered:
    return RelayAltered(
        relay=BlockId("relay/west/1"),
        origin=SiteId("west"),
        target=SiteId("east"),
        suspects=tuple(map(SiteId, suspects)),
        is_certain=is_certain,
    )


def test_the_journal_names_who_changed_relayed_keys_and_how_sure_that_is() -> None:
    telling = Telling()
    telling.note(altered("bridge", is_certain=True))
    telling.note(altered("north-hill", "bridge", is_certain=False))
    assert [sentence for _, sentence in telling.drain()] == [
        "keys from west to east were changed by bridge",
        "keys from west to east were changed by north-hill or bridge, among others perhaps",
    ]
