"""The mean-field rates of one phase of the light: hold-off, afterpulses, and where tags land."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qanat.physics.branch import Table
from qanat.physics.hold_off import Load
from qanat.physics.landing import light_landing, noise_landing, offset_moments
from qanat.physics.law import GateLaw
from qanat.physics.light import Light
from qanat.physics.marks import light_alone
from qanat.physics.patterns import has_channel, with_channel, without_channel
from qanat.physics.tables import Wiring


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseRates:
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


def phase_rates(
    light: Light,
    wiring: Wiring,
    p_settings: Table,
    firing: Table,
    index: int,
    law: GateLaw,
    marks: Table,
    load: Load,
) -> PhaseRates:
    """Marks, hold-off, afterpulses and landing of phase ``index``, put together."""
    channels = range(len(wiring.channel_detector))
    detectors = wiring.channel_detector
    joint = p_settings[:, None] * marks
    no_mark = joint[:, 0] / joint[:, 0].sum() if joint[:, 0].sum() > 0 else p_settings
    if load.is_common:
        joint = joint * load.alive[0]
    else:
        for c in channels:
            joint = without_channel(joint, c, None, 1 - load.alive[detectors[c]])
    joint[:, 0] = 0.0
    fired = joint.sum(axis=0) @ firing + load.after
    total = float(joint.sum() + load.after.sum()) if load.is_common else float(fired.sum())
    by_channel_after = load.after[detectors] / wiring.own_count[detectors]
    live = load.alive[detectors] * max(1e-300, 1 - float(p_settings @ marks[:, 1:].sum(axis=1)))
    for c in channels:
        joint = with_channel(joint, c, wiring, by_channel_after[c] / live[c])
    # Settings and channel: light's share of the marks, and where light, noise and afterpulses land.
    p_light, own_light, away_light, light_powers = light_shares(light, wiring, law, index)
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
                joint = without_channel(joint, c, other, own[:, c, other][:, None])
        if (stays < 1).any():
            rest = own[:, c, detectors == detectors[c]].sum(axis=1)[:, None] - stays
            joint = without_channel(joint, c, None, 1 - stays / np.maximum(1 - rest, 1e-300))
    for c in channels:
        joint[:, 1 << c] += p_settings * moved[c] + no_mark * (after @ own_noise[:, c])
    fano = float(load.fano @ fired / fired.sum()) if total > 0 else 1.0
    lost = np.maximum(lost, 0.0)
    return PhaseRates(joint=joint, fired=fired, after=load.after, lost=lost, moments=moments, total=total, fano=fano)


def light_shares(light: Light, wiring: Wiring, law: GateLaw, index: int) -> tuple[Table, Table, Table, Table]:
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
