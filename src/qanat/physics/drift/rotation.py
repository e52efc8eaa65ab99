"""How a fibre turns polarisation: a random walk on the circle of the four states, and a turn with the air's warmth.

The walk is the one of Czegledi et al., Sci. Rep. 6, 21217 (2016), arXiv:1507.00953, whose polarisation walks on the
Poincare sphere with a variance that grows with time; here it is the part of it in the plane of the states that BB84
prepares. Sections of a fibre turn independently, so variances add up and the rate goes with the square root of its
length. Phase drift of two interferometers has the same form.

Where the kinds' rates come from:
- buried: the 248 km link of Neumann et al., Nat. Commun. 13, 6134 (2022), was realigned from a QBER of 9 % to 7 %, 28
  of 110 h in steps of 57 min on average: some 29 times, each after 2.8 h. Two points of QBER are sin(a / 2)**2 = 0.02,
  a = 0.28 rad in 10 000 s: 2.8e-3 rad per sqrt(s), over sqrt(248 km) 1.8e-4.
- aerial: thirty times that, so that calm weather moves it in a minute as buried fibre moves in a day. Storms are
  another thing: Ramos et al., Opt. Express 28, 5035 (2020), reckon with realignment every 8 ms, at worst 0.8 ms; at
  1 rad in 8 ms that is 11 rad per sqrt(s), and no controller that counts errors for a second follows.
- indoor: a tenth of buried.
The turn with warmth is representative: none of these sources gives it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from qanat.core.errors import MisuseError
from qanat.core.topology import Environment
from qanat.physics.errors import near_miss


@dataclass(frozen=True, slots=True, kw_only=True)
class FibreKind:
    """What one kilometre of a kind of fibre does; it goes with the square root of the length.

    Attributes:
        rad_per_sqrt_s: Standard deviation of the walk after one second.
        rad_per_k: Turn per kelvin of the air.
    """

    rad_per_sqrt_s: float
    rad_per_k: float


FIBRES = MappingProxyType(
    {
        "indoor": FibreKind(rad_per_sqrt_s=1.8e-5, rad_per_k=0.002),
        "buried": FibreKind(rad_per_sqrt_s=1.8e-4, rad_per_k=0.01),  # a metre down, a day's swing is hardly felt
        "aerial": FibreKind(rad_per_sqrt_s=5.4e-3, rad_per_k=0.2),
    }
)


class FibreRotation:
    """The angle by which one fibre turns, step after step, from 0; it is not wrapped.

    Attributes:
        rate: Standard deviation of the walk, rad per sqrt(s).
        rad_per_k: Turn per kelvin.

    Raises:
        MisuseError: an unknown kind of fibre.
    """

    def __init__(self, environment: Environment, length_km: float, stream: np.random.Generator) -> None:
        if environment.fibre not in FIBRES:
            raise MisuseError(near_miss("kind of fibre", environment.fibre, FIBRES))
        kind, scale = FIBRES[environment.fibre], math.sqrt(length_km)
        rate, per_k = environment.rotation_rad_per_sqrt_s, environment.rotation_rad_per_k
        self.rate = kind.rad_per_sqrt_s * scale if rate is None else rate
        self.rad_per_k = kind.rad_per_k * scale if per_k is None else per_k
        self.angle_rad = 0.0
        self._stream = stream

    def step(self, seconds: float, warmed_k: float) -> None:
        """On by this time, in which the air has become this much warmer."""
        walked = self.rate * math.sqrt(seconds) * float(self._stream.standard_normal())
        self.angle_rad += walked + self.rad_per_k * warmed_k
