"""Two network namespaces joined by a cable, for tests that need two hosts. Needs root."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@contextmanager
def two_hosts(name: str) -> Iterator[tuple[str, str]]:
    """Namespaces; the first has 10.91.0.1, the second 10.91.0.2."""
    hosts = (f"{name}-a", f"{name}-b")
    try:
        for host in hosts:
            ip("netns", "add", host)
        ip("link", "add", "cable", "netns", hosts[0], "type", "veth", "peer", "name", "cable", "netns", hosts[1])
        for number, host in enumerate(hosts, 1):
            ip("-n", host, "addr", "add", f"10.91.0.{number}/24", "dev", "cable")
            for device in ("cable", "lo"):
                ip("-n", host, "link", "set", device, "up")
        yield hosts
    finally:
        for host in hosts:
            subprocess.run(["ip", "netns", "del", host], check=False, capture_output=True)


def inside(host: str) -> tuple[str, ...]:
    return ("ip", "netns", "exec", host)
