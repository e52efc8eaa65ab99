"""Where the other end is met: addresses as people write them."""

from __future__ import annotations

from dataclasses import dataclass

from qanat.core.errors import MisuseError

LOOPBACK = "127.0.0.1"


class AddressError(MisuseError):
    """An address is HOST:PORT, [IPV6]:PORT or a port alone. A port alone means the loopback address: to be reached
    from other machines, --listen must name the address of this machine's interface."""


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address_from_text(text: str, *, port_min: int = 1) -> Address:
    """The address; ``port_min`` 0 lets the system choose.

    Raises:
        AddressError: it is none.

    Example:
        >>> str(address_from_text("7001")), str(address_from_text("[::1]:7001"))
        ('127.0.0.1:7001', '[::1]:7001')
    """
    host, _, port_text = text.strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise AddressError(f"{text!r}: write an IPv6 address in brackets, as in [::1]:7001")
    if not (port_text.isascii() and port_text.isdigit() and port_min <= int(port_text) <= 65_535):
        raise AddressError(f"{text!r} has no port from {port_min} to 65535")
    return Address(host or LOOPBACK, int(port_text))
