"""The chains of one site: each instance of its KME writes one of its own, and all meet in the store.

The store keeps the head of every chain. An instance that begins a turn writes into its ``started`` entry the turn's
number and the heads of all other chains as they stand in the store then. Nobody but the holder of the turn can commit,
so these heads are final until their instances begin turns of their own. Hence each chain anchors the others:

- whoever cuts or deletes one chain is found by the others, and by the store;
- a machine that lost its power restores the end of its chain from the store (``tail.py``) when it comes back;
- an entry beyond a head that was named, before a later turn of its chain, was not made in good order.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from qanat.core.ids import SiteId
from qanat.node.audit.entry import Value
from qanat.node.audit.trail import FACT
from qanat.node.instance import site_of

Head = tuple[int, str]


def chain_id(instance: SiteId) -> str:
    """As whose a checkpoint is signed."""
    return f"kme-{instance}"


def chain_suffix(instance: SiteId) -> str:
    """By which the store tells the rows of one chain from those of another."""
    return instance.removeprefix(site_of(instance))


def heads_in(facts: Mapping[str, bytes], site: SiteId) -> dict[SiteId, Head]:
    """By instance, from the store's facts of kind "audit"."""
    _, name = FACT
    return {
        SiteId(site + key.removeprefix(name)): msgspec.msgpack.decode(value, type=Head)
        for key, value in sorted(facts.items())
        if key == name or key.startswith(f"{name}@")
    }


def turn_facts(facts: Mapping[str, bytes], instance: SiteId, turn: int) -> dict[str, Value]:
    """For the ``started`` entry of a turn."""
    heads = heads_in(facts, site_of(instance))
    follows = [f"{name}:{count}:{head}" for name, (count, head) in heads.items() if name != instance]
    return {"instance": instance, "turn": turn, "follows": follows}


def head_from(text: str) -> tuple[SiteId, Head]:
    """One of ``follows``. Raises: ValueError."""
    name, count, head = text.split(":")
    return SiteId(name), (int(count), head)
