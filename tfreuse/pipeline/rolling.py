"""Makes of a loop's body one that cuts what its windows give out of a computation on their union, the same each time.

The loop is unrolled to be looked at: then its windows are constant, and their families are found as those of any graph
are. What a family shares becomes nodes of the body again, and so do the cuts, which begin where a counter says.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from tfreuse.analysis.analyses import Analyses
from tfreuse.analysis.cost import HEAVY
from tfreuse.analysis.effects import PURE, Summaries
from tfreuse.analysis.families import Families, Family, Unit, axes_dropped
from tfreuse.analysis.lanes import Lanes
from tfreuse.analysis.loops import Loop
from tfreuse.analysis.missed_overlap import missed_overlap
from tfreuse.analysis.movable import Call
from tfreuse.analysis.receptive import Crop
from tfreuse.analysis.selections import View
from tfreuse.analysis.unrolled import Copy, Unrolled, unrolled
from tfreuse.ir.attrs import Attr, Attrs
from tfreuse.ir.constants import whole_constant
from tfreuse.ir.graph import Graph, Node, Value, fresh_name
from tfreuse.ir.order import ancestors, data_ancestors, sources_first, topological
from tfreuse.ops.fits import SHAPING
from tfreuse.pipeline.rewriter import Rewriter
from tfreuse.pipeline.sharing import Sharing
from tfreuse.pipeline.windows import windows_of
from tfreuse.remarks.remark import Windows

MAX_NODES, MAX_TRIPS = 20000, 1024
"""A loop with more nodes in all iterations, or more of these, is not looked at."""
_DIFFER = "windows differ in more than where they lie: one is cut off at an end, or they are out of step with a stride"
_NOTHING = "what is computed of them has nothing in common"
_ITERATION = re.compile(r"@\d+")


class Rolled(NamedTuple):
    """The other body; `merged` leads from its nodes of before to the cuts that have their values.

    `shared` are the values that are the same in each iteration, `bytes` what they take, if that is known.
    """

    body: Graph
    merged: dict[str, str]
    shared: tuple[Value, ...]
    bytes: int | None
    windows: tuple[Windows, ...]


class _Exit(NamedTuple):
    """A node of the body whose value is cut out of `value`: its views in all iterations, and what they lie in."""

    name: str
    unit: Unit
    views: list[View]
    value: Value


class Rolling:
    """Looks for families in all iterations of one loop, which runs `trips` times."""

    def __init__(self, loop: Loop, trips: int, summaries: Summaries, least: float) -> None:
        self._loop, self._trips, self._summaries = loop, trips, summaries
        self._all: Unrolled = unrolled(loop, trips)
        analyses = Analyses(self._all.graph, summaries)
        fails = {name for name, node in self._all.graph.nodes.items() if self._may_fail(node)}
        self._alone = analyses.clobbered | analyses.custom_gradients | fails
        lanes = Lanes(self._all.graph, summaries.ops, analyses.congruence, analyses.kinds, analyses.order, self._alone)
        self._families = Families(lanes, summaries.ops, analyses.order, least)

    def _may_fail(self, node: Node) -> bool:
        """Whether a node may fail for its operands' values, so that its work stays in the loop."""
        return "raises" in self._summaries.ops.facts(node.op).flags and node.op not in SHAPING

    def why(self) -> str:
        """What stands in the way of sharing, in words about the body."""
        details = [refusal.detail for refusal, _ in missed_overlap(self._families)]
        return "; ".join(dict.fromkeys(_ITERATION.sub("", detail) for detail in (*details, *self._held())))

    def _held(self) -> Iterator[str]:
        """What takes windows, leads to something that multiplies, and has to stay as it is."""
        graph, views = self._all.graph, self._families.lanes.views
        heavy = data_ancestors(graph, [node.name for node in graph.nodes.values() if node.op in HEAVY])
        for name in sorted(self._alone & heavy):
            node = graph.nodes[name]
            if any(value in views for value in node.inputs):
                yield f"{node.op} {name} stays: it may fail, works in place, or has a gradient of its own"

    def rolled(self, call: Call, max_growth: float) -> Rolled | str:
        """The body with all families shared that can be, or why there are none."""
        reasons: list[str] = []
        rewriter = Rewriter(self._all.graph, "")
        exits: list[_Exit] = []
        families: list[Family] = []
        for family in self._families.all():
            before, after, unit = self._families.memory(family)
            if after > max_growth * before:
                reasons.append(f"{after} {unit} in place of {before}")
                continue
            found = list(self._exits(family, Sharing(self._families, family, self._summaries.ops, rewriter)))
            if found:
                exits += found
                families.append(family)
            else:
                reasons.append(_DIFFER)
        if not exits:
            return "; ".join(dict.fromkeys(reasons)) or self.why() or _NOTHING
        built = _Body(self._loop, self._all, rewriter.added)
        merged: dict[str, str] = {}
        for exit in exits:
            cut = self._cut(built, exit)
            if cut is None:
                return "what is shared cannot be cut out again as a counter of the loop moves"
            merged[exit.name] = cut.node
        shared = tuple(dict.fromkeys(built.values[exit.value] for exit in exits))
        sizes = [self._families.cost(unit)[1].bytes for unit in dict.fromkeys(exit.unit for exit in exits)]
        known = [size for size in sizes if size is not None]
        return Rolled(
            sources_first(_without(built.graph(merged), self._loop.body, merged, self._summaries)),
            merged,
            shared,
            sum(known) if len(known) == len(sizes) else None,
            tuple(self._windows(call, family) for family in families),
        )

    def _windows(self, call: Call, family: Family) -> Windows:
        """The windows of all iterations, of what the loop `call` is given."""
        found = windows_of(self._families, family)
        place = self._loop.place_of(Value(found.source)) if found.source in self._loop.body.nodes else None
        return found if place is None else found._replace(source=call.node.inputs[call.first + place].node)

    def _exits(self, family: Family, sharing: Sharing) -> Iterator[_Exit]:
        """The exits of a family as nodes of the body, if each is one of the same size in all iterations."""
        units = dict(family.exits)
        if any(name not in self._all.copies for name in units):
            return
        views = self._families.lanes.views
        for origin in dict.fromkeys(self._all.copies[name].name for name in units):
            names = [self._all.names[Copy(origin, iteration)] for iteration in range(self._trips)]
            found = {units.get(name) for name in names}
            unit = found.pop()
            seen = [views[Value(name)] for name in names]
            if found or unit is None or len({view.sizes for view in seen}) > 1:
                return
            yield _Exit(origin, unit, seen, sharing.unit(unit))

    def _cut(self, built: _Body, exit: _Exit) -> Value | None:
        """The cut of an iteration, out of what all share; None if it does not move as one of the counters does."""
        term = self._families.lanes.terms.all[exit.unit.term]
        dropped = axes_dropped(exit.views[0])
        if dropped is None or exit.value not in built.values:
            return None
        firsts = dict(zip(sorted(term.indexed), (start for start, _ in exit.unit.crops), strict=True))
        lengths = dict(zip(sorted(term.indexed), (length for _, length in exit.unit.crops), strict=True))
        crops = [_crops(view, firsts, dropped) for view in exit.views]
        rank = range(exit.views[0].rank)
        begin = [[crop.get(axis, (0, -1))[0] for axis in rank] for crop in crops]
        sizes = tuple(crops[0].get(axis, (0, lengths.get(axis, term.sizes[axis])))[1] for axis in rank)
        if any(_lengths(crop) != _lengths(crops[0]) for crop in crops):
            return None
        by = tuple(second - first for first, second in zip(begin[0], begin[1], strict=True))
        steps = ((row, t) for t, row in enumerate(begin))
        if any(at != first + step * t for row, t in steps for at, first, step in zip(row, begin[0], by, strict=True)):
            return None
        return built.cut(exit, begin[0], by, sizes, dropped, self._summaries)


def _crops(view: View, firsts: dict[int, int], dropped: Collection[int]) -> dict[int, Crop]:
    """Where a view lies in its unit, on the axes that it is selected on."""
    return {axis: (at.start - firsts.get(axis, 0), 1 if axis in dropped else at.length) for axis, at in view.tables}


def _lengths(crops: dict[int, Crop]) -> dict[int, int]:
    return {axis: length for axis, (_, length) in crops.items()}


class _Body:
    """The body with nodes more: those of `added`, which stand in the unrolled loop, and cuts."""

    def __init__(self, loop: Loop, all: Unrolled, added: Mapping[str, Node]) -> None:
        self._loop = loop
        self._taken = {name.lower() for name in loop.body.nodes} | {label.lower() for label, _ in loop.body.outputs}
        self.new: dict[str, Node] = {}
        self.values: dict[Value, Value] = {}
        """For values of the unrolled loop that have been made part of the body what they are there."""
        names: dict[str, str] = {}
        for old, node in added.items():
            sources = {source for source, _ in node.inputs}
            if any(source in all.copies or (source in added and source not in names) for source in sources):
                continue  # it takes what is another in each iteration
            inputs = tuple(Value(names.get(source, source), port) for source, port in node.inputs)
            made = node._replace(name=fresh_name(_ITERATION.sub("", old), self._taken), inputs=inputs)
            names[old] = made.name
            self.new[made.name] = made
            self.values[Value(old)] = Value(made.name)

    def cut(
        self,
        exit: _Exit,
        first: list[int],
        by: tuple[int, ...],
        sizes: tuple[int, ...],
        dropped: list[int],
        summaries: Summaries,
    ) -> Value | None:
        """The slice that begins at `first` in the first iteration and `by` further on in each that follows."""
        node = self._loop.body.nodes[exit.name]
        found = self._counter(by)
        if found is None:
            return None
        counter, dtype, start, step = found
        kind = Attr("type", dtype)
        factors = tuple(number // step for number in by)
        base = tuple(number - factor * start for number, factor in zip(first, factors, strict=True))

        def vector(numbers: tuple[int, ...], what: str) -> Value:
            name = fresh_name(f"{exit.name}/{what}", self._taken)
            return self._put(whole_constant(name, (len(numbers),), numbers, dtype, node.device))

        def op(name: str, what: str, inputs: tuple[Value, ...], attrs: dict[str, Attr]) -> Value:
            name_of = fresh_name(f"{exit.name}/{what}", self._taken)
            return self._put(Node(name_of, name, inputs, attrs=Attrs(attrs), device=node.device))

        begin = op("Mul", "moved", (counter, vector(factors, "factors")), {"T": kind})
        begin = op("AddV2", "begin", (begin, vector(base, "base")), {"T": kind}) if any(base) else begin
        element = Attr("type", summaries.ops.output_types(node.op, node.attrs)[0])
        operands = (self.values[exit.value], begin, vector(sizes, "size"))
        value = op("Slice", "cut", operands, {"T": element, "Index": kind})
        if dropped:
            axes = Attr("list", ("i", tuple(dropped)))
            value = op("Squeeze", "squeezed", (value,), {"T": element, "squeeze_dims": axes})
        return value

    def _counter(self, by: tuple[int, ...]) -> tuple[Value, int, int, int] | None:
        """A counter of whose steps all of `by` are multiples: its value, type, start and step."""
        body = self._loop.body
        for name in body.arguments:
            line = self._loop.line(Value(name))
            if line is not None and line.by and not any(number % line.by for number in by):
                return Value(name), body.nodes[name].attrs.value("T"), line.first, line.by
        return None

    def _put(self, node: Node) -> Value:
        self.new[node.name] = node
        return Value(node.name)

    def graph(self, merged: dict[str, str]) -> Graph:
        """The body, with the cuts in the places of what is `merged` into them."""

        def at(value: Value) -> Value:
            return Value(merged[value.node]) if value.node in merged else value

        body = self._loop.body
        nodes: dict[str, Node] = {name: body.nodes[name] for name in body.arguments}
        for name, node in body.nodes.items():
            inputs, controls = tuple(map(at, node.inputs)), frozenset(merged.get(c, c) for c in node.controls)
            changed = inputs != node.inputs or controls != node.controls
            nodes[name] = node._replace(inputs=inputs, controls=controls) if changed else node
        return body.evolve(
            {**nodes, **self.new},
            tuple((label, at(value)) for label, value in body.outputs),
            tuple((label, merged.get(name, name)) for label, name in body.control_outputs),
        )


def _without(graph: Graph, before: Graph, merged: Collection[str], summaries: Summaries) -> Graph:
    """The graph without `merged`, and without what only led to these or is of no use among what is new."""
    kinds = Analyses(graph, summaries).kinds
    candidates = ancestors(before, merged).difference(graph.arguments) | (graph.nodes.keys() - before.nodes.keys())
    used = {value.node for _, value in graph.outputs} | {name for _, name in graph.control_outputs}
    gone: set[str] = set()
    for name in reversed(topological(graph)):
        if name in merged or (name in candidates and name not in used and kinds[name] == PURE):
            gone.add(name)
        else:
            used.update(source for source, _ in graph.nodes[name].inputs)
            used |= graph.nodes[name].controls
    return graph.evolve({name: node for name, node in graph.nodes.items() if name not in gone})
