"""What the command line may ask of the hub, over the socket that only the network's owner can open."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import asdict
from itertools import islice
from typing import Any

from qanat.core.errors import MisuseError
from qanat.core.ids import LinkId, SaeId
from qanat.node.messages import AdminReply, AdminRequest, AttackOn
from qanat.node.processes.journal import Journal
from qanat.node.processes.view import BLOCKS_LISTED, NetworkView, block_summary
from qanat.physics.attack import attack_from_name, check_together


class UnknownName(MisuseError):
    """The network file has nothing of that name; `qanat link list` and `qanat status` show the names."""


def _known(name: object, names: Iterable[str], what: str) -> str:
    options = sorted(names)
    if isinstance(name, str) and name in options:
        return name
    near = difflib.get_close_matches(str(name), options, n=1)
    raise UnknownName(f"no {what} is called {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))


class Admin:
    """Answers requests; what it changes is light (attacks, cuts), never a key or a count."""

    def __init__(self, view: NetworkView, journal: Journal, to_glass: Callable[[AttackOn], None]) -> None:
        self._view = view
        self._journal = journal
        self._to_glass = to_glass
        self._verbs: dict[str, Callable[..., Any]] = {
            "snapshot": view.snapshot,
            "attack_start": self._attack_start,
            "attack_stop": self._attack_stop,
            "cut": self._cut,
            "mend": self._mend,
            "link_blocks": self._link_blocks,
            "link_block": self._link_block,
            "sae": self._sae,
        }

    def answer(self, request: AdminRequest) -> AdminReply:
        try:
            verb = self._verbs[_known(request.verb, self._verbs, "request")]
            return AdminReply(data=verb(**request.arguments))
        except (MisuseError, TypeError) as error:
            return AdminReply(error=str(error), exit_code=MisuseError.exit_code)
        except Exception as error:  # noqa: BLE001 - a sentence to the terminal, never a dead hub
            return AdminReply(error=f"{type(error).__name__}: {error}")

    def shine(self, link: LinkId) -> None:
        """Tell the glass what acts on a link's light now."""
        fibre = self._view.network.links[link].fibre
        cut = [{"name": "cut"}] if fibre in self._view.cut else []
        self._to_glass(AttackOn(link, [*self._view.attacks[link], *cut]))

    def _attack_start(self, link: str, name: str, **parameters: float | str) -> dict[str, Any]:
        link_id = LinkId(_known(link, self._view.network.links, "link"))
        attack_from_name(name, **parameters)  # raises for what light cannot do
        others = [entry for entry in self._view.attacks[link_id] if entry["name"] != name]
        return self._set_attacks(
            link_id, [*others, {"name": name, **parameters}], f"{name} {parameters or ''} begins on"
        )

    def _attack_stop(self, link: str, name: str | None = None) -> dict[str, Any]:
        link_id = LinkId(_known(link, self._view.network.links, "link"))
        if name is None:
            return self._set_attacks(link_id, [], "leaves")
        _known(name, (entry["name"] for entry in self._view.attacks[link_id]), f"attack on link {link_id}")
        others = [entry for entry in self._view.attacks[link_id] if entry["name"] != name]
        return self._set_attacks(link_id, others, f"{name} ends on")

    def _set_attacks(self, link: LinkId, entries: list[dict[str, Any]], what: str) -> dict[str, Any]:
        check_together([attack_from_name(**entry) for entry in entries])
        self._view.attacks[link] = entries
        self._journal.write("note", f"EVE: {what} {link}")
        self.shine(link)
        return {"link": link, "attacks": entries}

    def _cut(self, fibre: str) -> dict[str, Any]:
        return self._set_cut(_known(fibre, self._view.network.fibres, "fibre"), is_cut=True)

    def _mend(self, fibre: str) -> dict[str, Any]:
        return self._set_cut(_known(fibre, self._view.network.fibres, "fibre"), is_cut=False)

    def _set_cut(self, fibre: str, *, is_cut: bool) -> dict[str, Any]:
        (self._view.cut.add if is_cut else self._view.cut.discard)(fibre)
        links = [link.id for link in self._view.network.links.values() if link.fibre == fibre]
        self._journal.write("note", f"fibre {fibre} is {'cut' if is_cut else 'mended'}")
        for link in links:
            self.shine(link)
        return {"fibre": fibre, "is_cut": is_cut, "links": links}

    def _link_blocks(self, link: str) -> dict[str, Any]:
        link_id = LinkId(_known(link, self._view.network.links, "link"))
        view = self._view.links[link_id]
        return {
            "link": self._view.link(self._view.network.links[link_id]),
            "blocks": [block_summary(block) for block in islice(reversed(view.blocks), BLOCKS_LISTED)],
        }

    def _link_block(self, link: str, block: str) -> dict[str, Any]:
        """One key block's whole report: by its id, the number at the end of it, or "last"."""
        link_id = LinkId(_known(link, self._view.network.links, "link"))
        blocks = self._view.links[link_id].blocks
        for report in reversed(blocks):
            if block in {"last", report.block, report.block.rpartition("/")[2]}:
                return asdict(report) | {"epsilon_total": sum(report.epsilon.values())}
        known = f"known are {blocks[0].block} to {blocks[-1].block}" if blocks else "there is none yet"
        raise UnknownName(f"no key block of link {link_id} is called {block!r}; {known}")

    def _sae(self, name: str) -> dict[str, Any]:
        sae = self._view.network.saes[SaeId(_known(name, self._view.network.saes, "SAE"))]
        return {"id": sae.id, "site": sae.site}
