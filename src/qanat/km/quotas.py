"""How much key each application may take: bits per second for an SAE, and fair shares between SAE pairs of one store.

Several SAE pairs share what a KM pair has in store. Key that comes in is credited to them in proportion to the rates
that the network file plans, to each until it has its reserve, or what it asked for lately if that is more; the rest is
common. A pair takes from the common part first and then from its own credit, never from another's. So nobody can empty
the store for the others, all get their proportion while all are short, and what one pair does not want flows to the
rest. Nothing here is stored: after a restart the store is divided anew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from qanat.core.ids import SaeId, SiteId
from qanat.core.timebase import NS_PER_MS, NS_PER_S
from qanat.core.topology import Network
from qanat.km.documents import KeyDeliveryError

# What a pair asked for is forgotten with this time constant. Refused SAEs are told to come back after one second, and
# key comes in blocks, every few seconds on a slow link.
MEMORY_NS = 3 * NS_PER_S
RETRY_AFTER_MS = 1000
Pair = frozenset[SaeId]


class RateQuota:
    """Bits per second of one SAE, as a token bucket that may run into debt once.

    A request larger than the bucket would never fit; it is served from a full one, and the next waits for longer.
    """

    def __init__(self, rate_bits_per_s: float, burst_bits: float, now_ns: int) -> None:
        self._rate, self._burst = rate_bits_per_s, burst_bits
        self._tokens, self._at_ns = burst_bits, now_ns

    def wait_ns(self, size_bits: int, now_ns: int) -> int:
        """How long until so many bits may be taken; 0 for now. Changes no balance."""
        missing = min(size_bits, self._burst) - self._tokens_at(now_ns)
        return math.ceil(missing / self._rate * NS_PER_S) if missing > 1e-6 else 0

    def spend(self, size_bits: int, now_ns: int) -> None:
        self._tokens, self._at_ns = self._tokens_at(now_ns) - size_bits, max(now_ns, self._at_ns)

    def _tokens_at(self, now_ns: int) -> float:
        return min(self._burst, self._tokens + self._rate * max(0, now_ns - self._at_ns) / NS_PER_S)


@dataclass(slots=True)
class _Account:
    weight: float
    credit: float = 0.0
    wanted: float = 0.0  # bytes asked for lately, as of ``at_ns``
    at_ns: int = 0

    def wanted_at(self, now_ns: int) -> float:
        return self.wanted * math.exp(-max(0, now_ns - self.at_ns) / MEMORY_NS)


class Shares:
    """Fair shares of what one KM pair holds, in bytes.

    Args:
        weights: Planned rate of each SAE pair; only proportions count.
        reserve_bytes: Of each pair; above 0.

    Example:
        >>> one, two = frozenset({SaeId("a"), SaeId("b")}), frozenset({SaeId("c"), SaeId("d")})
        >>> shares = Shares({one: 3.0, two: 1.0}, reserve_bytes=100)
        >>> shares.available(one, 80, 0), shares.available(two, 80, 0)
        (60, 20)
        >>> shares.available(one, 500, 0)  # all but the other pair's reserve
        400
    """

    def __init__(self, weights: Mapping[Pair, float], reserve_bytes: int) -> None:
        self._reserve = reserve_bytes
        self._accounts = {pair: _Account(weight) for pair, weight in weights.items()}

    def want(self, pair: Pair, size_bytes: int, now_ns: int) -> None:
        """A pair asks for so much, whether it gets it or not: what is credited to it may grow to its recent wants."""
        if pair in self._accounts:
            account = self._accounts[pair]
            account.wanted, account.at_ns = account.wanted_at(now_ns) + size_bytes, now_ns

    def available(self, pair: Pair, stock_bytes: int, now_ns: int) -> int:
        """What this pair may take of the stock now."""
        common = self._settle(stock_bytes, now_ns)
        account = self._accounts.get(pair)
        # Half a byte of rounding must not keep the last key back.
        return math.floor((account.credit if account is not None else 0.0) + common + 0.5)

    def spend(self, pair: Pair, size_bytes: int, stock_bytes: int, now_ns: int) -> None:
        """It took so much; ``stock_bytes`` is what was there before."""
        common = self._settle(stock_bytes, now_ns)
        account = self._accounts.get(pair)
        if account is not None:
            account.credit = max(0.0, account.credit - max(0.0, size_bytes - common))

    def _settle(self, stock_bytes: int, now_ns: int) -> float:
        """Credit what came in, take back what was lost; returns the common part."""
        accounts = list(self._accounts.values())
        held = sum(account.credit for account in accounts)
        if held > stock_bytes:  # condemned, expired or left over: all lose in proportion
            for account in accounts:
                account.credit *= stock_bytes / held
            return 0.0
        common = stock_bytes - held
        rooms = {index: self._room(account, now_ns) for index, account in enumerate(accounts)}
        while common > 1e-6 and (hungry := [index for index, room in rooms.items() if room > 1e-6]):
            weight = sum(accounts[index].weight for index in hungry)
            # One level for all until the first of them is full.
            level = min(common / weight, *(rooms[index] / accounts[index].weight for index in hungry))
            for index in hungry:
                part = level * accounts[index].weight
                accounts[index].credit += part
                rooms[index] -= part
                common -= part
        return max(0.0, common)

    def _room(self, account: _Account, now_ns: int) -> float:
        return max(self._reserve, account.wanted_at(now_ns)) - account.credit


class Quotas:
    """All quotas of one KME. Without any in the network file it refuses nothing and costs nothing."""

    def __init__(self, network: Network, site: SiteId) -> None:
        self._network, self._site = network, site
        self._rates: dict[SaeId, RateQuota] = {}
        self._shares: dict[SiteId, Shares] = {}
        reserve_bytes = network.policy.reserve_keys * network.policy.key_size_bits // 8
        self.has_shares = reserve_bytes > 0
        if self.has_shares:
            for peer, weights in _weights(network, site).items():
                self._shares[peer] = Shares(weights, reserve_bytes)

    # --- bits per second

    def check_rate(self, sae: SaeId, size_bits: int, now_ns: int) -> None:
        """Raises: KeyDeliveryError, 503 with the time after which so many bits may be taken."""
        quota = self._rate(sae, now_ns)
        wait_ns = quota.wait_ns(size_bits, now_ns) if quota is not None else 0
        if wait_ns:
            raise _refused("this SAE has used its bits per second", 0, size_bits, -(-wait_ns // NS_PER_MS))

    def is_too_fast(self, sae: SaeId, size_bits: int, now_ns: int) -> bool:
        quota = self._rate(sae, now_ns)
        return quota is not None and quota.wait_ns(size_bits, now_ns) > 0

    def spend_rate(self, sae: SaeId, size_bits: int, now_ns: int) -> None:
        quota = self._rate(sae, now_ns)
        if quota is not None:
            quota.spend(size_bits, now_ns)

    def _rate(self, name: SaeId, now_ns: int) -> RateQuota | None:
        sae = self._network.saes.get(name)
        if sae is None or sae.rate_bits_per_s_max is None:
            return None
        if name not in self._rates:
            burst_bits = sae.burst_bits or max(sae.rate_bits_per_s_max, self._network.policy.key_size_bits)
            self._rates[name] = RateQuota(sae.rate_bits_per_s_max, burst_bits, now_ns)
        return self._rates[name]

    # --- shares

    def shares_with(self, peer: SiteId) -> Shares | None:
        """None where no quota holds: no reserve is set, or both SAEs are at this site."""
        return self._shares.get(peer)


def refused_share(size_bytes: int, available_bytes: int, count: int) -> KeyDeliveryError:
    """Key is there, but it is reserved for other SAE pairs."""
    available = min(count - 1, available_bytes // size_bytes)
    return _refused("what is stored is reserved for other pairs of SAEs", available, count, RETRY_AFTER_MS)


def _refused(message: str, available: int, requested: int, retry_after_ms: int) -> KeyDeliveryError:
    details = [{"available": available, "requested": requested, "retry_after_ms": retry_after_ms}]
    return KeyDeliveryError(503, message, details, retry_after_ms)


def _weights(network: Network, site: SiteId) -> dict[SiteId, dict[Pair, float]]:
    """Planned rate of every SAE pair between this site and another, by the other site."""
    found: dict[SiteId, dict[Pair, float]] = {}
    for demand in network.demands:
        sites = [network.saes[sae].site for sae in demand.saes]
        if site in sites and sites[0] != sites[1]:
            peer = sites[1] if sites[0] == site else sites[0]
            found.setdefault(peer, {})[frozenset(demand.saes)] = demand.rate_bits_per_s
    return found
