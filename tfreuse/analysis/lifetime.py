"""How much memory the results of a graph take at once: an estimate, from static shapes and two schedules.

TensorFlow runs a node when its inputs are there and a thread is free (executor.cc), and frees a result behind its last
use. What is in memory at one moment depends on the threads, so two schedules enclose what happens:

- *one by one*: each node just before its result is needed (`tfreuse.analysis.sequence`). One thread comes close to
  this. The order in which a graph lists its nodes says nothing: a SavedModel has another than the program.
- *at once*: every node as soon as its inputs are there. Many threads come close to this.

Counted are the results of the graph's own nodes. Not counted: arguments, constants and variables, which are there all
the time, what a kernel takes while it runs, and what a called function has inside. Everything is linear in the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

from tfreuse.analysis.cost import cost_of
from tfreuse.analysis.live import live_nodes
from tfreuse.analysis.schedule import Schedule
from tfreuse.analysis.sequence import frugal_order
from tfreuse.analysis.shapes import ShapeOf, stated_shapes
from tfreuse.ir.graph import Graph, Node
from tfreuse.ops.buffers import REUSES, VIEW, buffer_ops
from tfreuse.ops.registry import Ops

_ELSEWHERE = frozenset({"opaque", "allocates"})
"""Kinds of ops whose results are handles, or were there before."""


class Lifetimes:
    """When the results of one graph are in memory, and their sizes.

    With `stands` (duplicate to survivor), of the graph as it is once these nodes are merged. Only nodes that something
    needs are `alive`. `sizes` are the bytes of each node's results, for those that have a buffer of their own. An
    unknown first dimension counts as one (`per_example`); `unknown` are other nodes whose size is not known, and count
    as nothing. `shape_of` knows the shapes, if the graph does not.
    """

    def __init__(
        self,
        graph: Graph,
        order: list[str],
        ops: Ops,
        stands: Mapping[str, str] | None = None,
        shape_of: ShapeOf | None = None,
    ) -> None:
        self._graph = graph
        self.order = order
        self._stand: Callable[[str, str], str] = (stands or {}).get
        self.alive = {self._stand(name, name) for name in live_nodes(graph)}
        self._left = [name for name in order if name in self.alive]
        self._pinned = graph.kept.union(value.node for _, value in graph.outputs)
        self._views, self._reuses = buffer_ops(VIEW), buffer_ops(REUSES)
        self._holders: dict[str, str] = {}
        self.sizes: dict[str, int] = {}
        self.unknown: set[str] = set()
        self.per_example = False
        shape_of, arguments = shape_of or stated_shapes(graph), frozenset(graph.arguments)
        for name in self._left:
            node = graph.nodes[name]
            elsewhere = node.op == "Const" or name in arguments or ops.facts(node.op).kind in _ELSEWHERE
            if elsewhere or node.op in self._views:
                continue
            cost = cost_of(node, shape_of, ops, handles=False)
            if cost.bytes is None:
                self.unknown.add(name)
            elif cost.bytes:
                self.sizes[name] = cost.bytes
                self.per_example |= cost.per_example

    @cached_property
    def one_by_one(self) -> Schedule:
        """One node at a time, in an order that keeps few results."""
        graph, stand = self._graph, self._stand
        number = {name: index for index, name in enumerate(self._left)}
        sources: dict[str, list[str]] = {}
        needs: dict[str, list[str]] = {}
        for name in self._left:
            node = graph.nodes[name]
            operands = self._sources(node)
            before = dict.fromkeys([*operands, *(stand(control, control) for control in sorted(node.controls))])
            # What stands behind its user is at the other end of a loop's back edge.
            sources[name] = [source for source in before if number.get(source, len(number)) < number[name]]
            needs[name] = [] if self.is_view(name) else list(dict.fromkeys(map(self.holder, operands)))
        wanted = [value.node for _, value in graph.outputs] + [name for _, name in graph.control_outputs]
        roots = [name for name in (stand(name, name) for name in [*wanted, *sorted(graph.kept)]) if name in number]
        pinned = {self.holder(stand(name, name)) for name in self._pinned}
        at = frugal_order([*roots, *self._left], sources, needs, self.sizes, self.unknown, pinned, self.at_once.at)
        return self._schedule(at, is_late=True)

    @cached_property
    def at_once(self) -> Schedule:
        """Every node as soon as it can run, each for one unit of time."""
        level: dict[str, int] = {}
        for name in self.order:
            node = self._graph.nodes[name]
            # The back edge of a loop comes from a node that has no level yet.
            before = [level.get(source, -1) for source in self._sources(node)]
            before += [level.get(self._stand(control, control), -1) for control in node.controls]
            level[name] = max(before, default=-1) + 1
        return self._schedule(level)

    def is_view(self, name: str) -> bool:
        """Whether the result of `name` is the buffer of its first operand."""
        node = self._graph.nodes[name]
        return node.op in self._views and bool(node.inputs)

    def holder(self, name: str) -> str:
        """The node whose buffer the result of `name` is: itself, or what a chain of views begins with."""
        chain: dict[str, None] = {}
        while name not in self._holders and name not in chain and self.is_view(name):
            chain[name] = None
            name = self._sources(self._graph.nodes[name])[0]
        found = self._holders.get(name, name)
        self._holders.update(dict.fromkeys(chain, found))
        return found

    def _sources(self, node: Node) -> list[str]:
        return [self._stand(source, source) for source, _ in node.inputs]

    def _schedule(self, at: Mapping[str, int], is_late: bool = False) -> Schedule:
        graph, stand = self._graph, self._stand
        last = max(at.values(), default=0) + 1
        end = {stand(name, name): last for name in self._pinned}
        closer: dict[str, str] = {}  # the one node that uses a result last, if it is one
        for name in reversed(self._left):
            node, time = graph.nodes[name], at[name]
            end.setdefault(name, time)
            for index, source in enumerate(self._sources(node)):
                until, by = time, name
                if not index and node.op in self._views:
                    until, by = end[name], closer.get(name, "")
                if until > end.get(source, -1):
                    end[source], closer[source] = until, by
                elif until == end[source] and closer.get(source) != by:
                    closer[source] = ""
        for name in self._left:
            if name in self.sizes and graph.nodes[name].op in self._reuses:
                self._take_over(name, at, end, closer)
        return Schedule(at, end, self.sizes, is_late)

    def _take_over(self, name: str, at: Mapping[str, int], end: dict[str, int], closer: Mapping[str, str]) -> None:
        """Let the result have the buffer of an operand that ends here."""
        for source in map(self.holder, self._sources(self._graph.nodes[name])):
            if self.sizes.get(source) == self.sizes[name] and end[source] == at[name] and closer.get(source) == name:
                end[source] = at[name] - 1
                return
