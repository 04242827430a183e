"""Equal results that are better computed twice: cheap to compute, large to keep, and used far apart.

A merged result is in memory from the first use of any copy to the last. Where the peak lies between the uses, a result
that is filled, tiled or cast once more does not add to it. docs/adr/0008 says why both schedules are asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import accumulate

from tfreuse.analysis.lifetime import Lifetimes
from tfreuse.analysis.schedule import Change, Schedule
from tfreuse.ir.graph import Graph
from tfreuse.ops.registry import Ops

LARGE = 2**20
"""Bytes; smaller results are merged whatever it costs, and a peak that is lower by less is as high."""


class Repetition:
    """Which equal nodes of a graph had better stay apart; `number` is that of the congruence, `alone` merge never."""

    def __init__(
        self, graph: Graph, order: list[str], number: Mapping[str, int], ops: Ops, alone: frozenset[str]
    ) -> None:
        self._graph = graph
        self._order = order
        self._number = number
        self._ops = ops
        self._alone = alone
        self._part: dict[str, tuple[int, str]] = {}

    @cached_property
    def is_possible(self) -> bool:
        """Whether the graph has such results at all."""
        return any("cheap-large" in self._ops.facts(op).flags for op in self._graph.by_op)

    def parts(self, names: Sequence[str]) -> list[list[str]]:
        """Congruent nodes (in topological order) in parts that had better be computed each by itself, so ordered."""
        if "cheap-large" not in self._ops.facts(self._graph.nodes[names[0]].op).flags:
            return []
        lifetimes = self._lifetimes
        size = lifetimes.sizes.get(names[0], 0)
        if size < LARGE or lifetimes.unknown:
            return []
        operands = {lifetimes.holder(self._stand(source)) for source, _ in self._graph.nodes[names[0]].inputs}
        users = {name: used_by for name, used_by in self._own_users(names).items() if used_by}
        schedules = (lifetimes.at_once, lifetimes.one_by_one)
        start = {name: self._start(lifetimes.one_by_one, name, used_by) for name, used_by in users.items()}
        users = {name: users[name] for name in sorted(users, key=start.__getitem__)}
        saved = [self._saved(schedule, size, operands, users) for schedule in schedules]
        number, part = 0, dict.fromkeys(names, (0, ""))
        reason = ""
        for place, name in enumerate(users):
            gains = [bytes_saved[place - 1] for bytes_saved in saved] if place else [0]
            best = 0 if gains[0] >= LARGE else -1
            if gains[0] >= 0 and gains[best] >= LARGE:
                number += 1
                peak = schedules[best].peak
                reason = (
                    f"{size} bytes, cheap to compute again: if merged, the peak of memory is {peak} bytes, "
                    f"else {peak - gains[best]} ({'at once' if best == 0 else 'one by one'})"
                )
            part[name] = number, reason
        self._part.update(part)
        return [[name for name in names if part[name][0] == wanted] for wanted in range(number + 1)] if number else []

    def between(self, names: Sequence[str]) -> str:
        """Why these nodes stay apart, if `parts` found them in two parts; else an empty text."""
        if not self._part:
            return ""
        found = {self._part[name] for name in names if name in self._part}
        return max(found)[1] if len(found) > 1 else ""

    def _saved(self, schedule: Schedule, size: int, operands: set[str], users: Mapping[str, set[str]]) -> list[int]:
        """By how many bytes the peak is lower if the copies from the second, third, ... on are computed anew."""
        ends = [self._last_use(schedule, name, used_by) for name, used_by in users.items()]
        done = list(accumulate(ends, max))
        starts = [self._start(schedule, name, used_by) for name, used_by in users.items()]
        starts = list(accumulate(reversed(starts), min))[::-1]
        sizes = self._lifetimes.sizes
        held = [(schedule.end[name] + 1, sizes[name]) for name in operands if name in sizes]
        found = []
        for before, start, after in zip(done, starts[1:], list(accumulate(ends[:0:-1], max))[::-1], strict=False):
            changes: list[Change] = [(start, min(before, after), size)]
            if start > before:
                # The first copy goes earlier, and the operands have to stay for the second.
                changes = [(before + 1, start - 1, -size), *((end, start, needed) for end, needed in held)]
            found.append(schedule.peak - schedule.peak_with(changes))
        return found

    def _start(self, schedule: Schedule, name: str, users: set[str]) -> int:
        """When the copy `name` is made."""
        if not schedule.is_late:
            return schedule.at[name]
        return min(self._last_use(schedule, name, users) if user == name else schedule.at[user] for user in users)

    def _last_use(self, schedule: Schedule, name: str, users: set[str]) -> int:
        """When these users are done with the result of `name`; a view goes on as long as it is used itself."""
        if name in users:
            return len(schedule.profile) - 2
        is_view = self._lifetimes.is_view
        return max(schedule.end[user] if is_view(user) else schedule.at[user] for user in users)

    def _own_users(self, names: Sequence[str]) -> dict[str, set[str]]:
        """The users of each copy that are left once their own copies are merged.

        A copy that the outside uses is its own user; a public one that becomes an alias uses the first.
        """
        alive = self._lifetimes.alive
        found = {
            name: {user for user in self._users.get(name, ()) if user in alive and self._stand(user) == user}
            for name in names
        }
        pinned = self._pinned.intersection(names)
        if not pinned and names[0] in map(self._stand, self._pinned):
            pinned = frozenset(names[:1])
        for name in pinned:
            found[name].add(name)
        return found

    def _stand(self, name: str) -> str:
        return self._stands.get(name, name)

    @cached_property
    def _pinned(self) -> frozenset[str]:
        return self._graph.kept.union(value.node for _, value in self._graph.outputs)

    @cached_property
    def _stands(self) -> dict[str, str]:
        """Duplicates and what they merge into, if all do that can."""
        first: dict[int, str] = {}
        found: dict[str, str] = {}
        for name in self._order:
            if name not in self._alone:
                survivor = first.setdefault(self._number[name], name)
                if survivor != name:
                    found[name] = survivor
        return found

    @cached_property
    def _lifetimes(self) -> Lifetimes:
        return Lifetimes(self._graph, self._order, self._ops, self._stands)

    @cached_property
    def _users(self) -> dict[str, list[str]]:
        users: dict[str, list[str]] = {}
        for name, node in self._graph.nodes.items():
            for source, _ in node.inputs:
                if "cheap-large" in self._ops.facts(self._graph.nodes[source].op).flags:
                    users.setdefault(source, []).append(name)
        return users
