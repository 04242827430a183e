"""Tries what inlining calls would let the following passes merge, on a graph that is thrown away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from tfreuse.analysis.cost import HEAVY
from tfreuse.analysis.effects import Summaries
from tfreuse.analysis.inlinable import Inlinable, needed_nodes
from tfreuse.analysis.live import live_nodes
from tfreuse.ir.graph import Graph, Node
from tfreuse.pipeline.graph_run import GraphRun
from tfreuse.pipeline.inlining import Path, Unfolding
from tfreuse.pipeline.passes import Pass
from tfreuse.pipeline.rewriter import Rewriter
from tfreuse.remarks.remark import Remarks

_LIGHT = frozenset({"Const", "Identity", "NoOp", "ReadVariableOp"})
"""Ops that cost next to nothing when they run; to share them is no reason to inline anything."""

Merge = tuple[str, str]
"""A node that was merged away, and the one that stands for it."""


class Work(NamedTuple):
    """What computing takes: convolutions and matrix products (`cost.HEAVY`), and ops in all."""

    heavy: int = 0
    ops: int = 0


class Weights:
    """The work of nodes; that of a call is its functions', a loop's body and all branches counted once."""

    def __init__(self, summaries: Summaries) -> None:
        self._graphs = summaries.module.graphs
        self._functions: dict[str, Work] = {}

    def of(self, nodes: Iterable[Node]) -> Work:
        """The work of all `nodes`."""
        heavy, ops = 0, 0
        for node in nodes:
            names = [node.op] if node.op in self._graphs else [f.name for f in node.attrs.functions]
            parts = [self._function(name) for name in names]
            heavy += (node.op in HEAVY) + sum(part.heavy for part in parts)
            ops += (node.op not in _LIGHT) + sum(part.ops for part in parts)
        return Work(heavy, ops)

    def _function(self, name: str) -> Work:
        known = self._functions.get(name)
        if known is None:
            body = self._graphs.get(name)
            self._functions[name] = Work()  # for a recursive call of it
            if body is not None:
                self._functions[name] = self.of(body.nodes[node] for node in needed_nodes(body))
        return self._functions[name]


class Gain(NamedTuple):
    """What inlining saves beyond what is merged without it, and how many nodes it adds that stay."""

    saved: Work
    growth: int


class Trial:
    """The merges that the passes `following` make of `graph`, where they find none, with `paths` inlined."""

    def __init__(
        self,
        graph: Graph,
        paths: frozenset[Path],
        summaries: Summaries,
        inlinable: Inlinable,
        following: Sequence[Pass],
        weights: Weights,
    ) -> None:
        self.paths = paths
        unfolding = Unfolding(graph, summaries, inlinable, paths)
        rewriter = Rewriter(graph, "trial")
        unfolding.onto(rewriter)
        self._owners = {name: place[:-1] for name, place in unfolding.places.items()}
        inlined = rewriter.finish()
        self._nodes = inlined.nodes
        self._weights = weights
        self._classes: dict[str, list[str]] = {}
        for duplicate, survivor in merged(inlined, summaries, following)[1]:
            self._classes.setdefault(survivor, [survivor]).append(duplicate)

    def groups(self) -> list[frozenset[Path]]:
        """Calls that have equal work, each with all the calls that its own stands in; unrelated groups apart."""
        links: dict[str, str] = {path[0]: path[0] for path in self.paths}
        involved: set[Path] = set()

        def root(name: str) -> str:
            while links[name] != name:
                name = links[name]
            return name

        for names in self._classes.values():
            places = {self._owners.get(name, ()) for name in names}
            paths = sorted(places - {()})
            if len(places) == 1 or not any(self._weights.of([self._nodes[names[0]]])):
                continue
            involved.update(path[:length] for path in paths for length in range(1, len(path) + 1))
            for path in paths:
                links[root(path[0])] = root(paths[0][0])
        found: dict[str, set[Path]] = {}
        for path in involved:
            found.setdefault(root(path[0]), set()).add(path)
        return [frozenset(found[name]) for name in sorted(found)]

    def gain(self, paths: frozenset[Path]) -> Gain:
        """What the calls `paths` contribute.

        Equal nodes in one call are no gain: its function can share them by itself.
        """
        roots = {path[0] for path in paths}
        saved: list[Node] = []
        gone = 0
        for names in self._classes.values():
            places = {self._owners.get(name, ()) for name in names}
            if any(place and place[0] in roots for place in places):
                saved += [self._nodes[names[0]]] * (len(places) - 1)
                gone += len(names) - 1
        added = sum(owner[0] in roots for owner in self._owners.values())
        return Gain(self._weights.of(saved), added - gone - len(roots))

    def net(self) -> Gain:
        """What all the calls tried contribute."""
        saved: list[Node] = []
        gone = 0
        for names in self._classes.values():
            own = sum(name not in self._owners for name in names)
            saved += [self._nodes[names[0]]] * (own + len({self._owners.get(name, ()) for name in names} - {()}) - 1)
            gone += len(names) - 1
        return Gain(self._weights.of(saved), len(self._owners) - gone - len({path[0] for path in self.paths}))

    def whole(self, paths: frozenset[Path]) -> frozenset[Path]:
        """All calls tried that stand in the same outermost calls as `paths`."""
        roots = {path[0] for path in paths}
        return frozenset(path for path in self.paths if path[0] in roots)


def merged(graph: Graph, summaries: Summaries, following: Sequence[Pass]) -> tuple[Graph, list[Merge]]:
    """What is left of `graph`, and needed, when those of the passes `following` that merge congruent nodes have run;
    and each node that they merged away with the one that is left for it."""
    run = GraphRun(graph, summaries)
    for step in following:
        if step.stacks:
            run.run(step, Remarks())
    run.settle()
    stands_for = {edit.node: edit.other for edit in run.journal if edit.kind in ("merge", "alias")}
    merges = []
    for name, other in stands_for.items():
        while other in stands_for:
            other = stands_for[other]
        merges.append((name, other))
    live = live_nodes(run.graph)
    nodes = {name: node for name, node in run.graph.nodes.items() if name in live or name in run.graph.arguments}
    return replace(run.graph, nodes=nodes, frozen=run.graph.frozen & live), merges
