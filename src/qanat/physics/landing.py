"""Where tags land, as probabilities: in their own gate or a neighbour's, in which slot, or outside the window.

The statistical tier's counterpart of the time tagger. A photon's tag is Gaussian about its branch's arrival, with an
exponential tail for some; noise is even over its slot.
"""

from __future__ import annotations

import math

import numpy as np

from qanat.physics.branch import Table
from qanat.physics.light import Light
from qanat.physics.tables import Wiring
from qanat.physics.timing import Clock, clock_from_timing

_phi = np.vectorize(lambda z: 0.5 * math.erfc(-z / math.sqrt(2)), otypes=[np.float64])


def light_landing(light: Light, wiring: Wiring) -> tuple[Table, Table]:
    """For a photon of branch b that made channel c click: probability to be seen in channel c' of its own gate, and of
    another gate; shapes (B, C, C). What is missing to 1 is lost."""
    clock = clock_from_timing(light.optics, wiring, light.numbered, light.labels)
    detectors = wiring.channel_detector
    mean, std = clock.mean_ps[..., None], np.maximum(clock.std_ps[..., None], 1e-9)
    tail, p_tail = clock.tail_ps[detectors][:, None], clock.p_tail[detectors][:, None]

    def below(x: Table) -> Table:
        plain = _phi((x - mean) / std)
        if not (p_tail * tail).any():
            return np.asarray(plain)
        ratio = std / np.maximum(tail, 1e-9)
        late = _phi((x - mean) / std - ratio)
        weight = np.exp(np.minimum(700.0, ratio**2 / 2 - (x - mean) / np.maximum(tail, 1e-9)))
        return np.asarray(np.where(tail > 0, plain - p_tail * weight * late, plain))

    return _landing(clock, wiring, below)


def noise_landing(light: Light, wiring: Wiring) -> tuple[Table, Table]:
    """The same for noise, shapes (1, C, C)."""
    clock = clock_from_timing(light.optics, wiring, light.numbered, light.labels)
    begin, width = (clock.slot_ps - clock.width_ps / 2)[None, :, None], clock.width_ps[None, :, None]
    return _landing(clock, wiring, lambda x: np.asarray(np.clip((x - begin) / width, 0.0, 1.0)))


def _landing(clock: Clock, wiring: Wiring, below) -> tuple[Table, Table]:  # type: ignore[no-untyped-def]
    low, high = _slots(clock, wiring)
    together = wiring.channel_detector[:, None] == wiring.channel_detector
    reach = clock.reach_gates
    by_shift = {
        shift: np.where(
            together & (high > low), below(shift * clock.gate_ps + high) - below(shift * clock.gate_ps + low), 0
        )
        for shift in range(-reach, reach + 1)
    }
    own = by_shift.pop(0)
    return own, np.asarray(sum(by_shift.values(), np.zeros_like(own)))


def _slots(clock: Clock, wiring: Wiring) -> tuple[Table, Table]:
    """From when to when, in the gate, a tag counts for each channel."""
    slot, detectors = clock.slot_ps, wiring.channel_detector
    low, high = np.full(slot.size, -clock.gate_ps / 2), np.full(slot.size, clock.gate_ps / 2)
    for c in range(slot.size):
        others = slot[(detectors == detectors[c]) & (slot != slot[c])]
        earlier, later = others[others < slot[c]], others[others > slot[c]]
        low[c] = max([low[c], slot[c] - clock.window_ps / 2, *((slot[c] + earlier) / 2)])
        high[c] = min([high[c], slot[c] + clock.window_ps / 2, *((slot[c] + later) / 2)])
    return low, high


def offset_moments(light: Light, wiring: Wiring) -> tuple[Table, Table]:
    """Mean first three powers of the offset from the slot's centre: of light (B, C, 3) and of noise (C, 3).

    A tag that leaves its gate is counted from the centre of the one it falls into.
    """
    clock = clock_from_timing(light.optics, wiring, light.numbered, light.labels)
    noise = np.stack([0 * clock.width_ps, clock.width_ps**2 / 12, 0 * clock.width_ps], axis=-1)
    return _wrapped(clock, wiring) if clock.reach_gates else _unwrapped(clock, wiring), noise


def _unwrapped(clock: Clock, wiring: Wiring) -> Table:
    """In closed form, where no tag leaves its gate."""
    detectors = wiring.channel_detector
    m, v = clock.mean_ps - clock.slot_ps, clock.std_ps**2
    p, tau = clock.p_tail[detectors], clock.tail_ps[detectors]
    t1, t2, t3 = p * tau, 2 * p * tau**2, 6 * p * tau**3
    first = m + t1
    second = m**2 + v + 2 * m * t1 + t2
    third = m**3 + 3 * m * v + 3 * (m**2 + v) * t1 + 3 * m * t2 + t3
    return np.stack([first, second, third], axis=-1)


def _wrapped(clock: Clock, wiring: Wiring) -> Table:
    """Summed over points of the normal law and of the tail: steps of 0.02 standard deviations."""
    detectors = wiring.channel_detector
    z = np.linspace(-8.0, 8.0, 801)
    weight = np.exp(-(z**2) / 2)
    weight /= weight.sum()
    delays, p_delay = np.polynomial.laguerre.laggauss(16)
    powers = np.zeros((*clock.mean_ps.shape, 3))
    p_tail = clock.p_tail[detectors]
    late = [(delay, share * p_tail) for delay, share in zip(delays, p_delay, strict=True) if p_tail.any()]
    for delay, p in [(0.0, 1 - p_tail), *late]:
        time = (clock.mean_ps + delay * clock.tail_ps[detectors])[..., None] + clock.std_ps[..., None] * z
        time -= np.floor(time / clock.gate_ps + 0.5) * clock.gate_ps
        offset = time - clock.slot_ps[:, None]
        powers += p[:, None] * np.stack([(offset**k) @ weight for k in (1, 2, 3)], axis=-1)
    return powers
