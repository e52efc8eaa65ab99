"""Cascade in plain Python: the reference for the compiled kernels, slow and short. It reads the same messages.

A block of a pass is a node (level, index): places index * 2**level and following of that pass's order.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from qanat.distill.cascade.schedule import SUBSET_COUNT, Schedule, tables_from_seed

Node = tuple[int, int]


class PlainReconciler:
    """Same behaviour as ``reconciler.Reconciler``, message by message."""

    def __init__(self, bits: NDArray[np.uint8], *, is_reference: bool, schedule: Schedule, seed: bytes) -> None:
        self.schedule = schedule
        self.leak_bits = self.error_count = self.round_count = 0
        self._bits = [int(bit) for bit in bits]
        self._frames = [_PlainFrame(self, which, is_reference, seed) for which in range(schedule.frame_count)]
        self._own: list[int] = []

    def parity(self, positions: Iterable[int]) -> int:
        """Every parity that is ever disclosed passes through here: an audit may listen."""
        return sum(self._bits[position] for position in positions if position < len(self._bits)) & 1

    def flip(self, position: int) -> None:
        self._bits[position] ^= 1

    def next_query(self) -> bytes | None:
        self._own = [self.parity(positions) for frame in self._frames for positions in frame.next_blocks()]
        if not self._own:
            return None
        self.leak_bits += len(self._own)
        self.round_count += 1
        return np.packbits(np.array(self._own, dtype=np.uint8)).tobytes()

    def feed(self, answer: bytes) -> None:
        theirs = np.unpackbits(np.frombuffer(answer, dtype=np.uint8))
        differences = iter([own ^ int(their) for own, their in zip(self._own, theirs, strict=False)])
        self.error_count += sum(frame.learn(differences) for frame in self._frames)

    def corrected(self) -> NDArray[np.uint8]:
        return np.array(self._bits, dtype=np.uint8)


class _PlainFrame:
    def __init__(self, key: PlainReconciler, which: int, is_reference: bool, seed: bytes) -> None:
        schedule, tables = key.schedule, tables_from_seed(key.schedule, seed)
        self.key, self.which, self.is_reference = key, which, is_reference
        self.m, self.frame_count, self.sizes = schedule.frame_bits, schedule.frame_count, schedule.log2_sizes
        self.padded = schedule.padded_bits
        first = list(range(schedule.frame_bits))
        self.order, self.place = [first, *tables.order.tolist()], [first, *tables.place.tolist()]
        unpacked = np.unpackbits(tables.subsets.astype("<u8").view(np.uint8), bitorder="little")
        self.subsets = unpacked.reshape(SUBSET_COUNT, -1).tolist()
        self.is_odd: list[dict[Node, bool]] = [{} for _ in self.sizes]  # of the nodes that are known
        self.waiting: list[list[Node]] = [[] for _ in self.sizes]  # odd ones with unknown children
        self.stage = 0
        self.odd_subsets: list[int] | None = None
        self.search: tuple[int, int, int] | None = None  # subset, first and last + 1 place
        self.step = "idle"
        self.at = 0
        self.asked: list[Node] = []

    def positions(self, p: int, node: Node) -> list[int]:
        """Places in the whole key; what is padding lies beyond its end."""
        level, index = node
        places = range(index << level, min(self.m, (index + 1) << level))
        return [self.order[p][place] * self.frame_count + self.which for place in places]

    def subset_positions(self, subset: int, first: int, last: int) -> list[int]:
        members = (bit for bit in range(first, min(last, self.m)) if self.subsets[subset][bit])
        return [bit * self.frame_count + self.which for bit in members]

    def next_blocks(self) -> list[list[int]]:
        while most := max((len(nodes) for nodes in self.waiting), default=0):
            self.at = [len(nodes) for nodes in self.waiting].index(most)
            self.asked = self.waiting[self.at] = [node for node in self.waiting[self.at] if self.is_odd[self.at][node]]
            if len(self.asked) == most:  # else another pass may now have more
                self.step = "halve"
                return [self.positions(self.at, (level - 1, 2 * index)) for level, index in self.asked]
        if self.stage < len(self.sizes):
            self.step, self.at = "introduce", self.stage
            level = self.sizes[self.at]
            count = -(-self.m // (1 << level))
            self.asked = [(level, index) for index in range(count)]
            return [self.positions(self.at, node) for node in (self.asked[:-1] if self.at else self.asked)]
        if self.odd_subsets is None:
            self.step = "subsets"
            return [self.subset_positions(subset, 0, self.m) for subset in range(SUBSET_COUNT)]
        if not any(self.odd_subsets):
            self.step = "idle"
            return []
        self.step = "search"
        if self.search is None:
            self.search = (self.odd_subsets.index(1), 0, self.padded)
        subset, first, last = self.search
        while (first + last) // 2 >= self.m:
            last = (first + last) // 2
        self.search = (subset, first, last)
        return [self.subset_positions(subset, first, (first + last) // 2)]

    def learn(self, differences: Iterable[int]) -> int:
        return int(getattr(self, f"_learn_{self.step}")(iter(differences)))

    def _learn_idle(self, differences: Iterable[int]) -> int:
        return 0

    def _learn_halve(self, differences: Iterable[int]) -> int:
        p, found = self.at, 0
        parents, self.waiting[p] = self.asked, []
        for (level, index), difference in zip(parents, differences, strict=False):
            left, right = (level - 1, 2 * index), (level - 1, 2 * index + 1)
            if left[0]:  # single places are not kept: what is found there is corrected
                self.is_odd[p][left], self.is_odd[p][right] = bool(difference), not difference
            odd = left if difference else right
            if odd[0]:
                self.waiting[p].append(odd)
            elif odd[1] < self.m:
                found += 1
                self._found(self.order[p][odd[1]])
        return found

    def _learn_introduce(self, differences: Iterable[int]) -> int:
        p, self.stage = self.at, self.stage + 1
        asked = self.asked[:-1] if p else self.asked
        for node, difference in zip(asked, differences, strict=False):
            self.is_odd[p][node] = bool(difference)
        if p:
            self.is_odd[p][self.asked[-1]] = sum(self.is_odd[p].values()) % 2 == 1
        self.waiting[p] = [node for node in self.asked if self.is_odd[p][node]]
        return 0

    def _learn_subsets(self, differences: Iterable[int]) -> int:
        self.odd_subsets = [difference for _, difference in zip(range(SUBSET_COUNT), differences, strict=False)]
        return 0

    def _learn_search(self, differences: Iterable[int]) -> int:
        if self.search is None:
            return 0
        subset, first, last = self.search
        middle = (first + last) // 2
        first, last = (first, middle) if next(iter(differences)) else (middle, last)
        self.search = (subset, first, last)
        if last - first > 1:
            return 0
        self.search = None
        if first < self.m:
            self._found(first)
        return int(first < self.m)

    def _found(self, bit: int) -> None:
        if not self.is_reference:
            self.key.flip(bit * self.frame_count + self.which)
        for p in range(self.stage):
            place, level = self.place[p][bit], self.sizes[p]
            while level > 0 and (level, place >> level) in self.is_odd[p]:
                node = (level, place >> level)
                self.is_odd[p][node] = not self.is_odd[p][node]
                level -= 1
            if self.is_odd[p][node] and node not in self.waiting[p]:
                self.waiting[p].append(node)
        if self.odd_subsets is not None:
            for subset, members in enumerate(self.subsets):
                self.odd_subsets[subset] ^= members[bit]
