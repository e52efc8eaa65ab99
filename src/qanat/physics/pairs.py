"""Entangled pairs from a source in the middle: the joint law of the marks at both ends, exact for any number of pairs.

Down-conversion makes exp(t sum_i a_i+ b_i+)|0> in each of K Schmidt modes, with lambda = t**2 / (1 - t**2) pairs per
mode and polarisation: mean 2 lambda K. All our receivers are linear optics: in a set S of channels, one photon at
Alice's end is detected with the operator X = sum of share * efficiency * (1 + V n.sigma) / 2, at Bob's with Y. A
lossy vacuum projector acts on each photon alone, so that the void probability is a 2 x 2 determinant,

    P(no mark in S) = det(1 + lambda W)**-K * (no dark count in S),   W = X + Y - X Y,

which becomes exp(-mean tr(W) / 2) for many modes: independent pairs, Poisson in number. ``law.patterns_from_hits``
does the rest. Multi-pair emission with its interference is therefore in the law, not added to it.

Directions lie on the circle of ``optics.STATE_ANGLES_RAD``; the pairs are correlated,
E(alpha, beta) = V cos(alpha - beta).

Source: Ma, Fung, Lo, Quantum key distribution with entangled photon sources, Phys. Rev. A 76, 012307 (2007), section
    III, for K = 1 and equal bases (``authorities/ma_fung_lo2007.toml``). The determinant is the vacuum overlap of two
    Gaussian states.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanat.physics.branch import Table
from qanat.physics.errors import DatasheetError, SamplerError
from qanat.physics.families import sheets as families
from qanat.physics.law import patterns_from_hits
from qanat.physics.layout import CHANNEL_COUNT_MAX, POLARISATION, Channel, Layout
from qanat.physics.optics import STATE_ANGLES_RAD
from qanat.physics.sheets import ReceiverSheet

PHASES = 64  # points on the circle over which a measured pulse is averaged; the error falls like lambda**PHASES


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSource:
    """A pulsed source of polarisation-entangled pairs.

    Attributes:
        mean_pairs: Per pulse, both polarisations together (2 lambda in the paper).
        mode_count: Schmidt modes that share the pairs: 1 is the paper's source, infinity makes independent pairs.
        visibility: Of the pairs, 1 for a maximally entangled state, V for a Werner state.
    """

    mean_pairs: float
    mode_count: float = math.inf
    visibility: float = 1.0

    def __post_init__(self) -> None:
        if not (self.mean_pairs >= 0 and self.mode_count >= 1 and 0 <= self.visibility <= 1):
            raise SamplerError(f"a pair source cannot have {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairEnd:
    """One end: fibre and passive receiver. Columns run over the channels of the layout.

    Attributes:
        layout: One channel per detector.
        angles_rad: Direction that each channel detects.
        shares: Share of the light that goes to each channel's basis.
        efficiency: From the fibre's end, receiver's optics included.
        transmittance: From the source to the receiver's door.
        visibility: 1 - 2 misalignment.
        rotation_rad: By how much the fibre has turned the polarisation.
    """

    layout: Layout
    angles_rad: tuple[float, ...]
    shares: tuple[float, ...]
    efficiency: tuple[float, ...]
    p_dark: tuple[float, ...]
    transmittance: float
    visibility: float = 1.0
    rotation_rad: float = 0.0

    def __post_init__(self) -> None:
        if self.layout.detectors != tuple(range(self.layout.channel_count)):
            raise SamplerError("an end of a pair link has one channel per detector")
        lengths = {len(self.angles_rad), len(self.shares), len(self.efficiency), len(self.p_dark)}
        if lengths != {self.layout.channel_count}:
            raise SamplerError(f"{self.layout.channel_count} channels, but columns of {sorted(lengths)}")

    @property
    def p_x(self) -> float:
        """Share of the light that is measured in the first basis."""
        return self.shares[0]


def end_from_sheet(receiver: ReceiverSheet, *, loss_db: float, clock_hz: float) -> PairEnd:
    """A BBM92 end: the polarisation receiver of the datasheet behind a fibre.

    Raises:
        DatasheetError: a receiver of another family.
    """
    if receiver.family != families.POLARISATION:
        raise DatasheetError(
            f"receiver {receiver.name!r} tells {receiver.family} light; pairs here are of polarisation"
        )
    optics = 10 ** (-receiver.loss_db / 10)
    return PairEnd(
        layout=POLARISATION,
        angles_rad=STATE_ANGLES_RAD,
        shares=(receiver.p_x, receiver.p_x, 1 - receiver.p_x, 1 - receiver.p_x),
        efficiency=tuple(optics * value for value in receiver.efficiency),
        p_dark=receiver.p_dark(clock_hz),
        transmittance=10 ** (-loss_db / 10),
        visibility=1 - 2 * receiver.misalignment,
    )


def end_from_angles(
    angles_rad: Sequence[float], *, efficiency: float, p_dark: float, transmittance: float, visibility: float = 1.0
) -> PairEnd:
    """An E91 end: one basis per angle, the light split evenly between them.

    Example:
        >>> end_from_angles((0.0, 0.5), efficiency=0.2, p_dark=1e-6, transmittance=1.0).layout.channel_count
        4
    """
    channels = [(basis, bit) for basis in range(len(angles_rad)) for bit in (0, 1)]
    count = len(channels)
    return PairEnd(
        layout=Layout(
            tuple(Channel(name=f"{b}/{bit}", detector=i, basis=b, bit=bit) for i, (b, bit) in enumerate(channels))
        ),
        angles_rad=tuple(angles_rad[basis] + bit * math.pi for basis, bit in channels),
        shares=(1 / len(angles_rad),) * count,
        efficiency=(efficiency,) * count,
        p_dark=(p_dark,) * count,
        transmittance=transmittance,
        visibility=visibility,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PairLink:
    """Source and both ends; ``alice`` has the low bits of a joint pattern.

    Attributes:
        intercepted: Share of the pulses that Eve measures on their way to Bob, in X or Z evenly. She counts the
            photons in either state and sends as many on: the rates stay what they were.
    """

    source: PairSource
    alice: PairEnd
    bob: PairEnd
    intercepted: float = 0.0

    def __post_init__(self) -> None:
        count = self.alice.layout.channel_count + self.bob.layout.channel_count
        if count > CHANNEL_COUNT_MAX:
            raise SamplerError(f"{count} channels at both ends; at most {CHANNEL_COUNT_MAX}")
        if not 0 <= self.intercepted <= 1:
            raise SamplerError(f"intercepted is {self.intercepted}; it must lie between 0 and 1")


def pair_law(link: PairLink) -> Table:
    """Law of the joint pattern of marks, Alice's channels first, shape (2**(A + B),).

    Example:
        >>> end = end_from_angles((0.0,), efficiency=1.0, p_dark=0.0, transmittance=1.0)
        >>> law = pair_law(PairLink(source=PairSource(mean_pairs=1e-3), alice=end, bob=end))
        >>> bool(law[0b0101] > 0.0004), bool(law[0b1001] < 1e-12)  # equal bits only
        (True, True)
    """
    hit = light_hits(link)
    darks = np.array(link.alice.p_dark + link.bob.p_dark)
    quiet = _members(len(darks)) @ np.log1p(-darks)
    return patterns_from_hits(hit - (1 - hit) * np.expm1(quiet))


def light_hits(link: PairLink) -> Table:
    """P(the light marks at least one channel in S), for every set S, shape (2**(A + B),)."""
    honest = _hits(link, None)
    if not link.intercepted:
        return honest
    measured: Table = sum((_hits(link, angle) for angle in STATE_ANGLES_RAD[::2]), np.zeros_like(honest)) / 2
    return (1 - link.intercepted) * honest + link.intercepted * measured


def _hits(link: PairLink, eve_rad: float | None) -> Table:
    """``eve_rad``: direction of Eve's basis. What she measures loses its phase: the average over rotations about it."""
    x0, x = _operators(link.alice, 1.0)
    y0, y = _operators(link.bob, link.source.visibility)
    xs0, ys0 = np.tile(x0, len(y0)), np.repeat(y0, len(x0))
    xs, ys = np.tile(x, (len(y0), 1)), np.repeat(y, len(x0), axis=0)
    if eve_rad is None:
        return _void_to_hit(link.source, xs0, ys0, xs, ys, ys)
    axis = np.array([math.cos(eve_rad), math.sin(eve_rad)])
    along = (ys @ axis)[:, None] * axis
    turned = [along + math.cos(2 * math.pi * i / PHASES) * (ys - along) for i in range(PHASES)]
    return np.asarray(np.mean([_void_to_hit(link.source, xs0, ys0, xs, ys, each) for each in turned], axis=0))


def _void_to_hit(source: PairSource, x0: Table, y0: Table, x: Table, y: Table, y_turned: Table) -> Table:
    """1 - det(1 + lambda W)**-K for X = x0 + x.sigma, Y = y0 + y.sigma; turning keeps det Y."""
    overlap = (x * y_turned).sum(axis=1)
    trace = 2 * (x0 + y0 - x0 * y0 - overlap)
    if math.isinf(source.mode_count):
        return np.asarray(-np.expm1(-source.mean_pairs / 2 * trace))
    alive = ((1 - x0) ** 2 - (x * x).sum(axis=1)) * ((1 - y0) ** 2 - (y * y).sum(axis=1))  # det(1 - X) det(1 - Y)
    determinant = 1 - 2 * ((1 - x0) * (1 - y0) + overlap) + alive
    mean = source.mean_pairs / (2 * source.mode_count)
    return np.asarray(-np.expm1(-source.mode_count * np.log1p(mean * trace + mean**2 * determinant)))


def _operators(end: PairEnd, visibility: float) -> tuple[Table, Table]:
    """(x0, x) per set of the end's channels, shapes (2**C,) and (2**C, 2)."""
    weight = end.transmittance * np.asarray(end.shares) * np.asarray(end.efficiency) / 2
    angle = np.asarray(end.angles_rad) - end.rotation_rad
    vectors = (weight * end.visibility * visibility)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    members = _members(len(weight))
    return members @ weight, members @ vectors


def _members(channel_count: int) -> NDArray[np.float64]:
    return (np.arange(1 << channel_count)[:, None] >> np.arange(channel_count) & 1).astype(np.float64)
