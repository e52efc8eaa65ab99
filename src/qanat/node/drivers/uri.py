"""The URI that names an end's light: ``scheme://place?option=value&option=value``."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from qanat.core.errors import MisuseError
from qanat.core.netfile.problems import near_miss

_FORM = re.compile(r"^([a-z][a-z0-9+.-]{0,30})://([^?]*)(?:\?(.*))?$", re.DOTALL)


class LightUriError(MisuseError):
    """A light is named like sim://light.key, replay://FILE or timetags://FILE; three slashes begin an absolute path."""


@dataclass(frozen=True, slots=True)
class LightUri:
    """See the module.

    Example:
        >>> uri = LightUri.parse("sim://light.key?rate-max=2")
        >>> uri.scheme, uri.place, uri.number("rate-max", 1.0)
        ('sim', 'light.key', 2.0)
    """

    text: str
    scheme: str
    place: str
    options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> LightUri:
        """Raises: LightUriError."""
        form = _FORM.match(text)
        if form is None:
            raise LightUriError(f"{text!r} is not of the form scheme://place")
        scheme, place, query = form.groups()
        if "\0" in unquote(place):
            raise LightUriError(f"{text!r} holds a zero byte")
        return cls(text, scheme, unquote(place), dict(parse_qsl(query or "", keep_blank_values=True)))

    def allow(self, known: Collection[str]) -> None:
        """Raises: LightUriError: an option that is not among these."""
        for name in self.options:
            if name not in known:
                listed = f"known: {', '.join(sorted(known))}" if known else f"{self.scheme}:// takes none"
                raise LightUriError(f"{self.text}: no option {name!r}{near_miss(name, known)}; {listed}")

    def number(self, name: str, default: float) -> float:
        """An option that is a number of at least 0. Raises: LightUriError."""
        try:
            value = float(self.options.get(name, default))
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf"):
            raise LightUriError(f"{self.text}: {name} must be a number of at least 0")
        return value
