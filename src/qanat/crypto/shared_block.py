"""A block in shares that travel apart: too few say nothing, a changed one is noticed, and mostly named.

What is shared is the block, a random x and a tag (``manipulation.py``) over *all coefficients* of the block's
polynomials, not over the block alone. So once t shares pass the check, every other share's block part is known as well,
and one that differs was changed on its way, beyond doubt but for the bound. If the tag covered the block alone, two
paths in league could add errors that cancel in one choice of t shares, and an honest share would look changed.

    share p = value at p of [ block | x | tag ],   tag = AMD(x, context | c_0 | c_1 | ... | c_(t-1)),   c_0 = block

The context is what travels in clear beside each share and must be the same for all: it is under the tag too.

Why the bound holds here: whoever holds t - 1 shares knows nothing of x, since x has coefficients of its own, nor of
the tag. What he adds to his shares therefore adds a fixed amount to coefficients, x and tag of every choice of t shares
that has an honest one in it, and that is the game of the code. The union over all choices is in ``forgery_bound``.

The parts x and tag of a share are judged more carefully: their upper coefficients are under no tag. A share that
differs only there is named when so many shares agree that t - 1 liars cannot have arranged it, else only counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

from qanat.core.errors import AuthenticationFailed, LocalProtocolError
from qanat.core.secret import SecretBits
from qanat.crypto.manipulation import FIELD, SYMBOL_BYTES, manipulation_bound, symbols_from_bytes
from qanat.crypto.secret_sharing import coefficients_from_shares, value_at

CHECK_BYTES = 2 * SYMBOL_BYTES  # x and tag, in every share


class SharesDisagree(AuthenticationFailed):
    """No t of the shares that came fit together: too many were changed on the way. The block is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A block put together again. The caller owns it and wipes it.

    Attributes:
        altered: Positions, in the sequence that came, of shares that somebody changed.
        doubtful: Positions of shares that differ in their check part only, too many liars being possible to say whose
            word holds; some of them, or of those that fit, were changed.
    """

    block: SecretBits
    altered: frozenset[int]
    doubtful: frozenset[int]


def shares_from_block(
    block: SecretBits,
    *,
    threshold: int,
    count: int,
    random_bytes: Callable[[int], bytes],
    context: bytes = b"",
) -> list[SecretBits]:
    """Shares 1 to ``count``, each ``CHECK_BYTES`` longer than the block.

    Raises:
        LocalProtocolError: thresholds that promise nothing.
    """
    if not 2 <= threshold <= count <= 255:
        raise LocalProtocolError(f"{threshold} of {count} shares: a threshold is at least 2 and at most all of them")
    whole = [block.reveal(), *(random_bytes(block.size_bytes) for _ in range(threshold - 1))]
    x = random_bytes(SYMBOL_BYTES)
    check = [x + _tag(x, context, whole), *(random_bytes(CHECK_BYTES) for _ in range(threshold - 1))]
    return [
        SecretBits(value_at(whole, point) + value_at(check, point)) for point in range(1, count + 1)
    ]  # Python's own copies stay until they are collected: docs/explanation/assumptions.md


def block_from_shares(
    points: Sequence[int], shares: Sequence[SecretBits], *, threshold: int, context: bytes = b""
) -> Joined:
    """The block again, from at least ``threshold`` shares of equal size.

    Two shares may claim the same point; at most one of them is right.

    Raises:
        SharesDisagree: no choice of ``threshold`` of them passes.
    """
    data = [share.reveal() for share in shares]
    for chosen in combinations(range(len(data)), threshold):
        if len({points[index] for index in chosen}) < threshold:
            continue
        found = _checked([points[index] for index in chosen], [data[index] for index in chosen], context)
        if found is not None:
            return _judged(*found, points, data, threshold)
    raise SharesDisagree(f"of {len(data)} shares no {threshold} fit together")


def forgery_bound(block_bytes: int, *, threshold: int, count: int, context_bytes: int = 0) -> float:
    """Probability, at most, that fewer than ``threshold`` paths in league get a changed block accepted.

    Example:
        >>> forgery_bound(1056, threshold=2, count=3) < 2e-36
        True
    """
    sizes = [8 + context_bytes, *[block_bytes] * threshold]
    symbols = sum(-(-size // SYMBOL_BYTES) for size in sizes)
    # One more root where the context has another length: then the highest powers differ.
    return comb(count, threshold) * (manipulation_bound(SYMBOL_BYTES * symbols) + 2.0**-128)


def _tag(x: bytes, context: bytes, coefficients: Sequence[bytes]) -> bytes:
    # Lengths are told first, so that no two contexts look alike.
    parts = (len(context).to_bytes(8) + context, *coefficients)
    symbols = [symbol for each in parts for symbol in symbols_from_bytes(each)]
    return FIELD.tag(int.from_bytes(x), symbols).to_bytes(SYMBOL_BYTES)


def _checked(points: Sequence[int], shares: Sequence[bytes], context: bytes) -> tuple[list[bytes], list[bytes]] | None:
    """Coefficients of block and check part, if the tag fits."""
    whole = coefficients_from_shares(points, [share[:-CHECK_BYTES] for share in shares])
    check = coefficients_from_shares(points, [share[-CHECK_BYTES:] for share in shares])
    x, tag = check[0][:SYMBOL_BYTES], check[0][SYMBOL_BYTES:]
    return (whole, check) if SecretBits(tag) == SecretBits(_tag(x, context, whole)) else None


def _judged(
    whole: list[bytes], check: list[bytes], points: Sequence[int], data: Sequence[bytes], threshold: int
) -> Joined:
    altered, doubtful = set(), set()
    for index, (point, share) in enumerate(zip(points, data, strict=True)):
        if share[:-CHECK_BYTES] != value_at(whole, point):
            altered.add(index)
        elif share[-CHECK_BYTES:] != value_at(check, point):
            doubtful.add(index)
    # Another polynomial for the check part with the same constant meets the true one at t - 2 honest points at most;
    # with t - 1 liars that makes 2 t - 3 shares that agree. One more, and it is the true one.
    if len(data) - len(altered) - len(doubtful) >= 2 * threshold - 2:
        altered, doubtful = altered | doubtful, set()
    return Joined(block=SecretBits(whole[0]), altered=frozenset(altered), doubtful=frozenset(doubtful))
