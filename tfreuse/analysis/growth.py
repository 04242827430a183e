"""What merging does to the memory that a graph takes, and which merges are to blame where it grows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tfreuse.analysis.cost import cost_of
from tfreuse.analysis.lifetime import Lifetimes
from tfreuse.analysis.schedule import Schedule
from tfreuse.analysis.shapes import stated_shapes
from tfreuse.ir.graph import Graph
from tfreuse.ir.order import is_ordered, topological
from tfreuse.ops.registry import Ops

SCHEDULES = ("one_by_one", "at_once")
"""The schedules of `Lifetimes`, by name."""


class Growth:
    """Peaks of memory of a graph and of what became of it, on one clock.

    `members` are the merged nodes of each survivor.
    """

    def __init__(self, before: Graph, ops: Ops) -> None:
        self._graph = before
        self._ops = ops
        self._shape_of = stated_shapes(before)
        self._order = topological(before)
        self.before = Lifetimes(before, self._order, ops)

    def after(self, graph: Graph) -> Lifetimes:
        """The lifetimes of what became of the graph; nodes that are left are as large as they were, new ones as they
        say."""
        order = [name for name in self._order if name in graph.nodes]
        if len(order) < len(graph.nodes) or not is_ordered({name: graph.nodes[name] for name in order}):
            order = topological(graph)
        known, stated = self._shape_of, stated_shapes(graph)
        return Lifetimes(
            graph,
            order,
            self._ops,
            shape_of=lambda value: (known if value.node in self._graph.nodes else stated)(value),
        )

    def grown(self, after: Lifetimes) -> dict[str, int]:
        """By how many bytes the peak grew, by schedule."""
        return {name: getattr(after, name).peak - getattr(self.before, name).peak for name in SCHEDULES}

    def blamed(
        self, after: Lifetimes, members: Mapping[str, list[str]], schedule: str, bytes_over: int
    ) -> dict[str, int]:
        """Survivors that are in memory at the peak only because they stand for others, with their bytes.

        As many as make up for `bytes_over`; those first that take fewest multiply-adds to compute again.
        """
        past, now = getattr(self.before, schedule), getattr(after, schedule)
        moment = now.profile.index(now.peak)
        if schedule == "one_by_one":  # the node that runs then tells the time before
            moment = next(
                (past.at[name] for name, time in now.at.items() if time == moment and name in past.at), moment
            )
        found: list[tuple[int, int, str]] = []
        for survivor, names in members.items():
            size = after.sizes.get(after.holder(survivor), 0)
            if size and any(end < moment < start for end, start in _gaps(past, names)):
                work = cost_of(self._graph.nodes[survivor], self._shape_of, self._ops).multiply_adds or 0
                found.append((work, -size, survivor))
        chosen: dict[str, int] = {}
        for _, size, survivor in sorted(found):
            if sum(chosen.values()) < bytes_over:
                chosen[survivor] = -size
        return chosen

    def unbounded(self, after: Lifetimes, members: Mapping[str, list[str]]) -> list[str]:
        """Survivors of unknown size that are in memory for longer than what they stand for."""
        return [
            survivor
            for survivor, names in members.items()
            if after.holder(survivor) in after.unknown
            and any(_gaps(getattr(self.before, schedule), names) for schedule in SCHEDULES)
        ]


def _gaps(schedule: Schedule, names: Iterable[str]) -> list[tuple[int, int]]:
    """Times (exclusive) between the uses of nodes when none of their results is in memory."""
    gaps: list[tuple[int, int]] = []
    done: int | None = None
    for start, end in sorted((schedule.at[name], schedule.end[name]) for name in names if name in schedule.end):
        if done is not None and start > done + 1:
            gaps.append((done, start))
        done = end if done is None else max(done, end)
    return gaps
