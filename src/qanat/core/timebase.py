"""Time is an argument, in integer nanoseconds; photon tags are picoseconds from their block's start."""

from __future__ import annotations

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
PS_PER_NS = 1_000


def seconds(duration_ns: int) -> float:
    """A duration in seconds, for display and rates only."""
    return duration_ns / NS_PER_S


def text_from_ns(duration_ns: int) -> str:
    """A duration as people write it.

    Example:
        >>> text_from_ns(90 * NS_PER_S), text_from_ns(1_500_000)
        ('1 min 30 s', '1.5 ms')
    """
    if duration_ns < NS_PER_MS:
        return f"{duration_ns / 1e3:g} us"
    if duration_ns < NS_PER_S:
        return f"{duration_ns / NS_PER_MS:.3g} ms"
    whole_s = duration_ns // NS_PER_S
    if whole_s < 60:
        return f"{duration_ns / NS_PER_S:.3g} s"
    if whole_s < 3600:
        return f"{whole_s // 60} min {whole_s % 60} s"
    return f"{whole_s // 3600} h {whole_s % 3600 // 60} min"


def ns_from_text(text: str) -> int:
    """Nanoseconds from ``"250ms"``, ``"30s"``, ``"1h"``, ``"2d"``; a bare number is seconds.

    Raises:
        ValueError: not a duration.

    Example:
        >>> ns_from_text("1.5h") // NS_PER_S
        5400
    """
    units = {
        "ns": 1,
        "us": 1_000,
        "ms": NS_PER_MS,
        "s": NS_PER_S,
        "min": 60 * NS_PER_S,
        "m": 60 * NS_PER_S,
        "h": 3600 * NS_PER_S,
        "d": 86_400 * NS_PER_S,
    }
    stripped = text.strip().lower()
    number = stripped.rstrip("abcdefghijklmnopqrstuvwxyz ")
    unit = stripped[len(number) :].strip() or "s"
    if unit not in units:
        raise ValueError(f"{text!r}: unit {unit!r} is not one of {', '.join(units)}")
    try:
        value = float(number)
    except ValueError:
        raise ValueError(f"{text!r} is not a duration; write for example 250ms, 30s or 1h") from None
    if not 0 <= value < 1e12:
        raise ValueError(f"{text!r} is not a usable duration")
    return round(value * units[unit])
