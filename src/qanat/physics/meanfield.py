"""The mean-field law of clicks: what hold-off and traps leave of a gate's marks, on average.

With m the probability of a mark in a live gate, D the dead gates and a the mean number of afterpulse clicks that a
click causes, the rate of clicks per gate solves r = m (1 - r D) + r a, so r = m / load with load = 1 + m D - a.
The share a of the clicks are afterpulses; their settings have the law "no mark here", p(s) (1 - c(s)) / (1 - m). The
clicks of a window are sub-Poissonian with Fano factor F = (1 - m) / load**2 (exact without afterpulses, as a renewal
process).

With a common hold-off this holds for the receiver as one; with one per detector for each detector, and detectors
are taken to be alive independently. A pulsed attack whose pulses and pauses outlast the hold-off has a load of its
own in each phase; faster ones meet the average one. Tags that leave their gate or the window are moved or lost.

Neglected: the share of clicks in which two tags leave for one gate, correlation between windows (of order D over the
window) and between detectors.

Source: renewal theory, e.g. Cox, Renewal Theory (1962), chapter 4; photon counting with a non-paralysable dead
    time, R = r / (1 + r tau).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanat.physics.branch import Table
from qanat.physics.landing import light_landing, noise_landing, offset_moments
from qanat.physics.law import GateLaw, law_from_branches
from qanat.physics.light import Light
from qanat.physics.marks import light_alone
from qanat.physics.settings import SettingsLaw
from qanat.physics.squash import is_double, squashed_law, telling
from qanat.physics.tables import Traps, Wiring, traps_from_memory, wiring_from_layout

_STEPS_PER_DEAD_TIME = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickLaw:
    """Mean-field law of the clicks, per slot or per click.

    Attributes:
        rate_per_gate: Mean number of slots with an announced click, per slot.
        fano: Variance over mean of the clicks in a long window.
        afterpulse_share: Share of the detectors' clicks that are afterpulses.
        p_cell: Law of a click's cell, shape (S, outcomes, 2): outcome = basis * 2 + bit, last axis whether several
            detectors clicked.
        detector_rate: Clicks of each detector per slot, before window and squashing, shape (D,).
        lost_rate: Of those, outside the window, shape (D,).
        silent_rate: Slots with clicks that tell no basis, per slot.
        offset_moments: Mean first three powers of a click's offset in ps, shape (D, 3).
    """

    rate_per_gate: float
    fano: float
    afterpulse_share: float
    p_cell: Table
    detector_rate: Table
    lost_rate: Table
    silent_rate: float
    offset_moments: Table


@dataclass(frozen=True, slots=True, kw_only=True)
class _Load:
    """What hold-off does: shape (D,) each; with a common hold-off all are alike and ``is_common``.

    Attributes:
        alive: Share of the gates in which a mark becomes a click.
        after: Afterpulse clicks per gate.
        fano: Of the clicks.
    """

    is_common: bool
    alive: Table
    after: Table
    fano: Table


@dataclass(frozen=True, slots=True, kw_only=True)
class _Phase:
    """Rates per gate in one phase of the pulsed attacks: p(settings and pattern), and what is counted beside.

    ``total`` counts what ``fano`` is the width of: gates with a click, or with a hold-off each, clicks of detectors.
    """

    joint: Table
    fired: Table
    after: Table
    lost: Table
    moments: Table
    total: float
    fano: float


def click_law(light: Light, settings: SettingsLaw) -> ClickLaw:
    """The law of the clicks in this light."""
    layout, wiring = light.optics.layout, wiring_from_layout(light.optics.layout)
    traps = traps_from_memory(light.memory, layout.detector_count)
    laws = [law_from_branches(phase) for phase in light.phases]
    marks = [_first_of_each(law.p_pattern, wiring) for law in laws]
    shares = light.shares
    mean_marks = np.tensordot(shares, np.array(marks), axes=1)
    firing = firing_detectors(wiring)
    loads = [
        _load(marks[i] if _is_slow(light, traps) else mean_marks, settings.p_settings, firing, traps)
        for i in range(len(marks))
    ]
    phases = [
        _phase(light, wiring, settings.p_settings, firing, index, law, marks[index], loads[index])
        for index, law in enumerate(laws)
    ]
    return _summed(light, shares, phases)


def grouped_cells(clicks: ClickLaw) -> Table:
    """Mean share of the clicks per (intensity, basis, is_error), matching bases only; shape (K, 2, 2)."""
    count = clicks.p_cell.shape[0]
    groups = np.zeros((count // 4, 2, 2))
    for setting in range(count):
        for outcome in range(min(4, clicks.p_cell.shape[1])):
            if (setting >> 1 & 1) == outcome >> 1:
                groups[setting >> 2, outcome >> 1, (setting ^ outcome) & 1] += clicks.p_cell[setting, outcome].sum()
    return groups


def firing_detectors(wiring: Wiring) -> Table:
    """Which detectors each pattern fires, shape (2**C, D)."""
    return (wiring.detectors_of[:, None] >> np.arange(len(wiring.own_count)) & 1).astype(np.float64)


def _first_of_each(law: Table, wiring: Wiring) -> Table:
    """The law of what clicks of a pattern of marks: the earliest channel of each detector."""
    reduced = np.zeros_like(law)
    np.add.at(reduced.T, wiring.earliest, law.T)
    return reduced


def _is_slow(light: Light, traps: Traps) -> bool:
    edges = np.minimum(light.pulses.length, light.pulses.period - light.pulses.length)
    return bool((edges > traps.dead_gates.max()).all())


def _load(marks: Table, p_settings: Table, firing: Table, traps: Traps) -> _Load:
    joint = p_settings @ marks
    m = joint @ firing  # of each detector
    if not traps.is_simultaneous:
        kept = [released_alive(m[d], int(traps.dead_gates[d]), traps.p_trap[d], traps.p_release) for d in range(len(m))]
        each_a = np.array(kept)
        load = 1 + m * traps.dead_gates - each_a
        return _Load(is_common=False, alive=(1 - each_a) / load, after=each_a * m / load, fano=(1 - m) / load**2)
    any_mark = float(joint[1:].sum())
    if any_mark == 0:
        return _Load(is_common=True, alive=np.ones_like(m), after=np.zeros_like(m), fano=np.ones_like(m))
    longest = np.where(firing > 0, traps.dead_gates, 0).max(axis=1)
    dead = round(float(joint[1:] @ longest[1:]) / any_mark)
    per_click = m / any_mark  # firings of each detector per click
    each = [released_alive(any_mark, dead, traps.p_trap[d], traps.p_release) for d in range(len(m))]
    a_each = per_click * np.array(each)
    a = float(a_each.sum())
    load_all = 1 + any_mark * dead - a
    after = a_each * any_mark / load_all
    same = np.ones_like(m)
    fano = same * ((1 - any_mark) / load_all**2)
    return _Load(is_common=True, alive=same * ((1 - a) / load_all), after=after, fano=fano)


def _phase(
    light: Light,
    wiring: Wiring,
    p_settings: Table,
    firing: Table,
    index: int,
    law: GateLaw,
    marks: Table,
    load: _Load,
) -> _Phase:
    channels = range(len(wiring.channel_detector))
    detectors = wiring.channel_detector
    joint = p_settings[:, None] * marks
    no_mark = joint[:, 0] / joint[:, 0].sum() if joint[:, 0].sum() > 0 else p_settings
    if load.is_common:
        joint = joint * load.alive[0]
    else:
        for c in channels:
            joint = _moved(joint, c, None, 1 - load.alive[detectors[c]])
    joint[:, 0] = 0.0
    fired = joint.sum(axis=0) @ firing + load.after
    total = float(joint.sum() + load.after.sum()) if load.is_common else float(fired.sum())
    by_channel_after = load.after[detectors] / wiring.own_count[detectors]
    live = load.alive[detectors] * max(1e-300, 1 - float(p_settings @ marks[:, 1:].sum(axis=1)))
    for c in channels:
        joint = _joined(joint, c, wiring, by_channel_after[c] / live[c])
    # Settings and channel: light's share of the marks, and where light, noise and afterpulses land.
    p_light, own_light, away_light, light_powers = _light_shares(light, wiring, law, index)
    own_noise, away_noise = (part[0] for part in noise_landing(light, wiring))
    own = p_light[..., None] * own_light + (1 - p_light[..., None]) * own_noise
    away = p_light[..., None] * away_light + (1 - p_light[..., None]) * away_noise
    _, noise_powers = offset_moments(light, wiring)
    powers = p_light[..., None] * light_powers + (1 - p_light[..., None]) * noise_powers
    after = by_channel_after
    by_channel = np.stack([joint[:, has_channel(wiring, c)].sum(axis=1) for c in channels], axis=1)  # (S, C)
    moments, lost = np.zeros((len(fired), 3)), np.zeros(len(fired))
    np.add.at(moments, detectors, np.einsum("sc,sck->ck", by_channel, powers) + after[:, None] * noise_powers)
    np.add.at(lost, detectors, (by_channel * (1 - own.sum(axis=2) - away.sum(axis=2))).sum(axis=0))
    np.add.at(lost, detectors, after * (1 - own_noise.sum(axis=1) - away_noise.sum(axis=1)))
    moved = np.einsum("sc,scd->d", by_channel, away) + after @ away_noise
    for c in channels:
        stays = own[:, c, c][:, None]
        for other in [k for k in channels if detectors[k] == detectors[c] and k != c]:
            if (own[:, c, other] > 0).any():
                joint = _moved(joint, c, other, own[:, c, other][:, None])
        if (stays < 1).any():
            rest = own[:, c, detectors == detectors[c]].sum(axis=1)[:, None] - stays
            joint = _moved(joint, c, None, 1 - stays / np.maximum(1 - rest, 1e-300))
    for c in channels:
        joint[:, 1 << c] += p_settings * moved[c] + no_mark * (after @ own_noise[:, c])
    fano = float(load.fano @ fired / fired.sum()) if total > 0 else 1.0
    lost = np.maximum(lost, 0.0)
    return _Phase(joint=joint, fired=fired, after=load.after, lost=lost, moments=moments, total=total, fano=fano)


def has_channel(wiring: Wiring, channel: int) -> NDArray[np.bool_]:
    """Which patterns have this channel, shape (2**C,)."""
    return np.asarray(np.arange(len(wiring.earliest)) >> channel & 1 == 1)


def _moved(joint: Table, channel: int, other: int | None, share: Table | float) -> Table:
    """This share of the patterns with a channel lose it, or have another in its place."""
    patterns = np.arange(joint.shape[1])
    has = patterns[patterns >> channel & 1 == 1]
    into = has & ~(1 << channel) | (0 if other is None else 1 << other)
    taken = joint[:, has] * share
    moved = joint.copy()
    moved[:, has] -= taken
    np.add.at(moved.T, into, taken.T)
    moved[:, 0] = 0.0
    return moved


def _joined(joint: Table, channel: int, wiring: Wiring, share: float) -> Table:
    """This share of the patterns in which the channel's detector is quiet has it too: a release beside a mark."""
    detector = 1 << int(wiring.channel_detector[channel])
    quiet = np.flatnonzero((wiring.detectors_of & detector == 0) & (np.arange(joint.shape[1]) > 0))
    taken = joint[:, quiet] * min(1.0, share)
    joined = joint.copy()
    joined[:, quiet] -= taken
    joined[:, quiet | 1 << channel] += taken
    return joined


def _light_shares(light: Light, wiring: Wiring, law: GateLaw, index: int) -> tuple[Table, Table, Table, Table]:
    """Per settings and channel: share of the marks that are the light's; where they land, (S, C, C) in the own and in
    another gate; mean powers of their offset, (S, C, 3)."""
    branches = light.phases[index]
    first = index * light.branch_count
    numbers = slice(first, first + len(branches))
    alone = np.array([light_alone(branch) for branch in branches])
    channels = range(len(wiring.channel_detector))
    by_branch = np.stack([alone[:, :, has_channel(wiring, c)].sum(axis=2) for c in channels], axis=2)
    weight = law.p_hidden[:, None, None] * by_branch  # (H, S, C)
    seen = np.stack([law.p_pattern[:, has_channel(wiring, c)].sum(axis=1) for c in channels], axis=1)
    share = np.divide(weight.sum(axis=0), seen, out=np.zeros_like(seen), where=seen > 0)
    weight = weight / np.maximum(weight.sum(axis=0), 1e-300)
    own, away = (part[numbers] for part in light_landing(light, wiring))
    powers, _ = offset_moments(light, wiring)
    mixed = [np.einsum("hsc,hck->sck", weight, part) for part in (own, away, powers[numbers])]
    return np.minimum(share, 1.0), mixed[0], mixed[1], mixed[2]


def _summed(light: Light, shares: Table, phases: list[_Phase]) -> ClickLaw:
    layout, p_x = light.optics.layout, light.optics.p_x
    joint = np.tensordot(shares, np.array([phase.joint for phase in phases]), axes=1)
    fired, lost, after = (
        np.tensordot(shares, np.array([getattr(phase, name) for phase in phases]), axes=1)
        for name in ("fired", "lost", "after")
    )
    moments = np.tensordot(shares, np.array([phase.moments for phase in phases]), axes=1)
    tell = telling(layout)
    patterns = np.arange(layout.pattern_count)
    outcome = squashed_law(p_x, layout)
    double = np.array([[is_double(pattern & tell)] for pattern in patterns.tolist()])
    cells = np.stack([joint @ (outcome * ~double), joint @ (outcome * double)], axis=2)
    rate, total = float(cells.sum()), sum(w * phase.total for w, phase in zip(shares, phases, strict=True))
    fano = sum(w * phase.fano * phase.total for w, phase in zip(shares, phases, strict=True)) / max(total, 1e-300)
    kept = min(1.0, rate / total) if total > 0 else 1.0  # a share of the clicks is wider than all of them
    return ClickLaw(
        rate_per_gate=rate,
        fano=float(1 - kept * (1 - fano)) if total > 0 else 1.0,
        afterpulse_share=float(after.sum() / fired.sum()) if total > 0 else 0.0,
        p_cell=cells / rate if rate > 0 else cells,
        detector_rate=fired,
        lost_rate=lost,
        silent_rate=float(joint[:, patterns & tell == 0].sum()),
        offset_moments=moments / np.maximum(fired, 1e-300)[:, None],
    )


def released_alive(m: float, dead: int, p_traps: Table, p_release: Table) -> float:
    """Mean number of carriers per firing that are released into a live detector.

    Needs the probability that it is alive t gates after a click: zero up to D, one just after it, and 1 / (1 + m D)
    long after; in between it rings. Stepped through with the renewal equation alive(t) = 1 - sum of m alive(t - D ..
    t - 1), first order in the afterpulses themselves.
    """
    far = 1 / (1 + m * dead)
    if not p_traps.any():
        return 0.0
    if dead == 0:
        return float(p_traps.sum())
    step = max(1, dead // _STEPS_PER_DEAD_TIME)  # gates per step
    per_dead = round(dead / step)
    p_step = -np.expm1(step * np.log1p(-min(m, 1 - 1e-12)))
    horizon = 20 * per_dead  # ringing has died out: each dead time damps it
    alive = np.zeros(horizon)
    clicked = 0.0  # probability of a click in the last D gates
    for t in range(per_dead, horizon):
        # The click at 0 blocks steps 0 .. per_dead-1; later clicks block per_dead steps after them.
        alive[t] = max(0.0, 1.0 - clicked)
        clicked += p_step * alive[t]
        if t >= 2 * per_dead - 1:
            clicked -= p_step * alive[t - per_dead + 1]
    total = 0.0
    for p_trap, hazard in zip(p_traps, p_release, strict=True):
        survive = (1 - hazard) ** (step * np.arange(horizon + 1, dtype=np.float64))
        total += p_trap * float((survive[:-1] - survive[1:]) @ alive + survive[-1] * far)
    return total
