"""One schedule of a graph: what is in memory when, and what the peak would be if some of it were not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import accumulate, pairwise

_STEP = 256
"""How many times are looked at as one, where only the largest counts."""

Change = tuple[int, int, int]
"""Bytes more (or less) from a first to a last time."""


class Schedule:
    """When each node runs (`at`), when its result is used last (`end`), and the bytes in memory at each time.

    `is_late` says that nodes run when they are needed, not when they can.
    """

    def __init__(
        self, at: Mapping[str, int], end: Mapping[str, int], sizes: Mapping[str, int], is_late: bool = False
    ) -> None:
        self.at = at
        self.is_late = is_late
        self.end = end
        changes = [0] * (max(at.values(), default=0) + 3)
        for name, size in sizes.items():
            changes[at[name]] += size
            changes[end[name] + 1] -= size
        self.profile = list(accumulate(changes))

    @cached_property
    def peak(self) -> int:
        """The most bytes that are in memory at any time."""
        return max(self.profile)

    def peak_with(self, changes: Iterable[Change]) -> int:
        """The peak if memory were so much more or less at some times."""
        changes = [(first, last + 1, size) for first, last, size in changes if first <= last]
        borders = {0, len(self.profile)}.union(*((first, end) for first, end, _ in changes))
        return max(
            self._most(start, stop) + sum(size for first, end, size in changes if first <= start < end)
            for start, stop in pairwise(sorted(borders))
        )

    @cached_property
    def _tops(self) -> list[int]:
        return [max(self.profile[start : start + _STEP]) for start in range(0, len(self.profile), _STEP)]

    def _most(self, start: int, stop: int) -> int:
        """The largest of `profile[start:stop]`, whole steps at a time."""
        first, last = -(-start // _STEP), stop // _STEP
        if first >= last:
            return max(self.profile[start:stop])
        ends = self.profile[start : first * _STEP] + self.profile[last * _STEP : stop]
        return max(*self._tops[first:last], *ends)
