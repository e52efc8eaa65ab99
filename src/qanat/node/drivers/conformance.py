"""What every driver must do, as checks that its maker can run too. See tests/conformance/test_drivers.py."""

from __future__ import annotations

import numpy as np

from qanat.core.errors import LightEnded, QanatError
from qanat.core.health import ReceiverHealth, TransmitterHealth
from qanat.core.records import DetectionBlock
from qanat.node.drivers.ports import LightContext, ReceiverDriver, TransmitterDriver

DETECTIONS_MAX = 1_000_000  # of one pulse block: more do not fit one message of sifting (distill.messages)


class DriverFault(QanatError):
    """The driver does not keep the contract of `node/drivers/ports.py`. Its maker can mend it."""


def demand(is_kept: bool, rule: str) -> None:
    """Raises: DriverFault."""
    if not is_kept:
        raise DriverFault(rule)


def check_receiver(driver: ReceiverDriver, context: LightContext, *, blocks: int) -> list[DetectionBlock]:
    """So many blocks (fewer if a recording ends before), all judged.

    Raises:
        DriverFault: names the broken rule.
    """
    _check_flags(driver)
    driver.begin(1)
    seen: list[DetectionBlock] = []
    while len(seen) < blocks:
        try:
            block = driver.next_block()
        except LightEnded:
            demand(driver.is_recorded, "only a recording ends")
            _check_stays_ended(driver)
            break
        _check_block(block, context)
        if seen:
            demand(block.number > seen[-1].number, "numbers of blocks increase")
            demand(block.start_ns > seen[-1].start_ns, "blocks start one after the other")
        seen.append(block)
    demand(bool(seen), "at least one block comes")
    return seen


def check_transmitter(driver: TransmitterDriver, context: LightContext, announced: list[DetectionBlock]) -> None:
    """It answers for what the receiver announced, and refuses in words what cannot be asked.

    Raises:
        DriverFault: names the broken rule.
    """
    _check_flags(driver)
    demand(driver.problem is None, "a fresh driver has no problem")
    demand(len(driver.intensities) == len(driver.p_intensities) > 0, "every intensity has a probability")
    demand(abs(sum(driver.p_intensities) - 1) < 1e-9, "probabilities sum to 1")
    demand(list(driver.intensities) == sorted(driver.intensities, reverse=True), "intensities: brightest first")
    demand(0 <= driver.p_x <= 1, "p_x is a probability")
    driver.begin(1)
    for block in announced:
        health = driver.health_of(block.number)
        demand(health is None or isinstance(health, TransmitterHealth), "health_of: a TransmitterHealth or None")
        for index in (block.index, block.index[:0], block.index[:1]):
            settings = driver.settings_at(block.number, index)
            for name in ("intensity", "basis", "bit"):
                column = getattr(settings, name)
                demand(column.dtype == np.uint8 and column.shape == index.shape, f"{name}: uint8, one per slot")
            demand(int(settings.intensity.max(initial=0)) < len(driver.intensities), "an intensity that exists")
            demand(max(settings.basis.max(initial=0), settings.bit.max(initial=0)) <= 1, "bases and bits are 0 or 1")
        again = driver.settings_at(block.number, block.index)
        first = driver.settings_at(block.number, block.index)
        demand(bool((again.bit == first.bit).all()), "asked again, it says the same")
        for outside in (np.array([-1]), np.array([context.n_pulses])):
            _check_refuses(driver, block.number, outside)


def _check_flags(driver: ReceiverDriver | TransmitterDriver) -> None:
    demand(isinstance(driver.is_simulated, bool), "is_simulated is true or false")
    demand(isinstance(driver.is_recorded, bool), "is_recorded is true or false")


def _check_block(block: DetectionBlock, context: LightContext) -> None:
    count = block.index.size
    demand(block.link == context.link.id, "blocks are of the link asked for")
    demand(block.n_pulses == context.n_pulses, "a block has as many slots as the network file says")
    demand(block.number >= 0 and block.start_ns >= 0, "numbers and times are not negative")
    demand(block.index.dtype == np.int64 and block.index.shape == (count,), "index: int64, one dimension")
    demand(bool(np.all(np.diff(block.index) > 0)), "slots strictly increase")
    inside = not count or (block.index[0] >= 0 and block.index[-1] < block.n_pulses)
    demand(bool(inside), "slots lie within the block")
    demand(count <= DETECTIONS_MAX, f"at most {DETECTIONS_MAX} detections per block")
    for name in ("basis", "bit"):
        column = getattr(block, name)
        demand(column.dtype == np.uint8 and column.shape == (count,), f"{name}: uint8, one per detection")
        demand(int(column.max(initial=0)) <= 1, f"{name} is 0 or 1")
    demand(0 <= block.double_click_count <= count, "double clicks are detections")
    demand(block.health is None or isinstance(block.health, ReceiverHealth), "health: a ReceiverHealth or None")


def _check_stays_ended(driver: ReceiverDriver) -> None:
    try:
        driver.next_block()
    except LightEnded:
        return
    raise DriverFault("a light that has ended stays so")


def _check_refuses(driver: TransmitterDriver, number: int, index: np.ndarray) -> None:
    try:
        driver.settings_at(number, index)
    except QanatError:
        return
    raise DriverFault("a slot outside the block is refused with a QanatError")
