"""All audits of a place, site by site: each chain by itself, and the chains of one site against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from qanat.core.ids import SiteId
from qanat.node.audit.chains import Head, chain_id
from qanat.node.audit.interlock import Chain, chain_in, heads_named, problems_between, uncommitted_tail
from qanat.node.audit.place import audit_folder, key_in, store_heads
from qanat.node.audit.verify import Verdict, verify
from qanat.node.instance import site_of
from qanat.node.statedir import StateDir


def verdicts_of(
    state: StateDir,
    names: Sequence[SiteId],
    *,
    elsewhere: Mapping[SiteId, Path],
    anchors: Mapping[SiteId, Sequence[Head]],
) -> list[Verdict]:
    """Read everything.

    Args:
        names: Of the chains in this state directory: "mitte", "mitte@2".
        elsewhere: Folders of further chains, brought here from other machines.
        anchors: Heads that somebody wrote down, by chain.

    Raises:
        EnvironmentProblem: a store or a public key cannot be read.
    """
    folders = {name: audit_folder(state, name) for name in names} | dict(elsewhere)
    sites = dict.fromkeys(site_of(name) for name in folders)
    verdicts = []
    for site in sites:
        ours = {name: folder for name, folder in folders.items() if site_of(name) == site}
        verdicts += _of_site(state, site, ours, anchors)
    return verdicts


def _of_site(
    state: StateDir, site: SiteId, folders: dict[SiteId, Path], anchors: Mapping[SiteId, Sequence[Head]]
) -> list[Verdict]:
    remembered = store_heads(state, site)  # before the files: they may only have grown since
    chains = {name: chain_in(folder) for name, folder in folders.items()}
    named, between = heads_named(chains), problems_between(folders, chains)
    newest = max(chains, key=lambda name: _last_turn(chains[name]))
    verdicts = []
    for name, folder in folders.items():
        in_store = [remembered[name]] if name in remembered else []
        heads = [*anchors.get(name, ()), *in_store, *named.get(name, ())]
        verdict = verify(folder, chain_id(name), key=key_in(folder), heads=heads)
        verdict.problems += between[name]
        if not in_store:
            verdict.notes.append("no key store remembers a head: a cut end would be seen by --anchor only")
        if name != newest and (note := uncommitted_tail(verdict.entries, remembered.get(name))) is not None:
            verdict.notes.append(note)
        verdicts.append(verdict)
    for name in remembered.keys() - folders.keys():
        verdicts.append(_missing(name))
    return verdicts


def _last_turn(chain: Chain) -> int:
    return chain.turns[-1].number if chain.turns else 0


def _missing(name: SiteId) -> Verdict:
    problem = f"the key store remembers the chain of {name}, which is not here; give its folder with --chain"
    return Verdict(kme=chain_id(name), problems=[problem])
