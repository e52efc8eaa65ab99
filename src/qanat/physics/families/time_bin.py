"""Time-bin BB84: key by time of arrival, test by the phase between two bins, a passive coupler between both.

Basis X (0), which makes key, is the time basis: early is 0, late is 1. Basis Z (1), the test, is the phase basis:
early plus late is 0, early minus late is 1. A share p_x of the light meets one detector that tells early from late;
the rest an interferometer whose arms differ by one bin. Early by its long arm and late by its short arm meet in the
middle slot; what took the other arms lands before or after, tells nothing, and still leaves its detector dead.

With amplitudes e, l of the bins, port q in (0, 1) and phase phi, each path has amplitude 1/2 per port:
before |e|**2 / 4, after |l|**2 / 4, middle (|e|**2 + |l|**2 + (-1)**q 2 V Re(e* l exp(i phi))) / 4.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from qanat.physics.branch import Table
from qanat.physics.families.sheets import three_detectors
from qanat.physics.layout import Channel, Layout
from qanat.physics.optics import Optics
from qanat.physics.sheets import ReceiverSheet, TransmitterSheet
from qanat.physics.timing import Timing


def time_bin_layout(bin_ps: float) -> Layout:
    """Three detectors, eight channels: detector 0 in two slots, each port of the interferometer in three.

    Example:
        >>> layout = time_bin_layout(400.0)
        >>> layout.channel_count, layout.detector_count
        (8, 3)
    """
    half = bin_ps / 2
    ports = [
        Channel(name=f"port{q}/{name}", detector=1 + q, basis=basis, bit=q, slot_ps=slot_ps)
        for q in (0, 1)
        for name, basis, slot_ps in (("before", None, -bin_ps), ("middle", 1, 0.0), ("after", None, bin_ps))
    ]
    early = Channel(name="early", detector=0, basis=0, bit=0, slot_ps=-half)
    late = Channel(name="late", detector=0, basis=0, bit=1, slot_ps=half)
    return Layout((early, late, *ports))


def time_bin_efficiency(detectors: tuple[float, float, float], *, insertion_loss_db: float) -> tuple[float, ...]:
    """Per channel: the interferometer's two detectors stand behind its insertion loss.

    Example:
        >>> [round(value, 3) for value in time_bin_efficiency((0.8, 0.8, 0.8), insertion_loss_db=3.0)][::7]
        [0.8, 0.401]
    """
    passed = 10 ** (-insertion_loss_db / 10)
    return (detectors[0],) * 2 + (passed * detectors[1],) * 3 + (passed * detectors[2],) * 3


def time_bin_optics(
    transmitter: TransmitterSheet, receiver: ReceiverSheet, *, loss_db: float, clock_hz: float, timing: Timing
) -> Optics:
    """The optics of a time-bin link from its datasheets; ``timing`` has four numbers per field, as datasheets do."""
    passed = 10 ** (-receiver.loss_db / 10)
    arrival, *ports = (passed * value for value in three_detectors(receiver.efficiency))
    return Optics(
        intensities=transmitter.intensities,
        transmittance=10 ** (-loss_db / 10),
        efficiency=time_bin_efficiency((arrival, ports[0], ports[1]), insertion_loss_db=receiver.insertion_loss_db),
        p_dark=time_bin_darks(
            three_detectors(receiver.p_dark(clock_hz)), bin_ps=receiver.bin_ps, gate_ps=1e12 / clock_hz
        ),
        misalignment=receiver.misalignment,
        p_x=receiver.p_x,
        clock_hz=clock_hz,
        layout=time_bin_layout(receiver.bin_ps),
        share_rule=partial(time_bin_shares, visibility=receiver.visibility),
        timing=_of_three(timing),
    )


def time_bin_darks(p_gate: tuple[float, float, float], *, bin_ps: float, gate_ps: float) -> tuple[float, ...]:
    """Dark counts per channel from those per gate and detector: each slot has its share of the gate. Where two bins
    fill the gate, the slot after the middle is also the one before the next gate's: each has half.

    Example:
        >>> [round(p, 9) for p in time_bin_darks((1e-6, 1e-6, 1e-6), bin_ps=200.0, gate_ps=400.0)[:5]]
        [5e-07, 5e-07, 2.5e-07, 5e-07, 2.5e-07]
    """
    own, beside = bin_ps / gate_ps, min(bin_ps, (gate_ps - bin_ps) / 2) / gate_ps
    parts = [(own, own), (beside, own, beside), (beside, own, beside)]
    return tuple(-math.expm1(part * math.log1p(-p)) for p, slots in zip(p_gate, parts, strict=True) for part in slots)


def _of_three(timing: Timing) -> Timing:
    per_detector = ("jitter_ps", "tail_ps", "p_tail", "gate_centre_ps", "gate_width_ps", "out_of_gate")
    four = {name: getattr(timing, name) for name in per_detector}
    changes: dict[str, Any] = {name: three_detectors(value) for name, value in four.items()}
    return replace(timing, **changes)


def time_bin_shares(optics: Optics, *, visibility: float | None = None) -> Table:
    """Share of the photons in each prepared state that reaches each channel, shape (4, 8). A rule for ``Optics``.

    ``rotation_rad`` is the interferometers' phase, ``preparation_error_rad`` that of each state; ``misalignment`` is
    the leak of the carver into the wrong bin in X; the fringes' contrast is 1 - 2 misalignment unless given.
    """
    wrong = optics.misalignment
    contrast = 1 - 2 * wrong if visibility is None else visibility
    early = np.array([1 - wrong, wrong, 0.5, 0.5])  # |e|**2 of each state
    phase = np.array([0.0, 0.0, 0.0, math.pi]) + np.asarray(optics.preparation_error_rad) + optics.rotation_rad
    fringe = contrast * np.array([0.0, 0.0, 1.0, 1.0]) * np.cos(phase)
    arrival = optics.p_x * np.stack([early, 1 - early], axis=1)
    ports = [np.stack([early, 1 + sign * fringe, 1 - early], axis=1) / 4 for sign in (1, -1)]
    shares: Table = np.concatenate([arrival, *((1 - optics.p_x) * port for port in ports)], axis=1)
    return shares
