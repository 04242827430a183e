"""Puts the bodies of functions in the place of calls, with the orders that can be seen.

A call starts when all its operands and control inputs are there, and is over when all of its body has run. Of that,
what can be seen is kept:

- what reads or writes in the body waits for the call's control inputs, and for operands that come behind an effect
  (a write waits for those behind a read as well);
- control inputs of the call that compute hold back every node of the body that uses nothing else of it, because they
  may say when, or whether, the call runs (`tfreuse.analysis.memory` calls them anchors);
- what waited for the call waits for a `NoOp` in its place, which waits for all that reads or writes in the body or, if
  nothing does, for the outputs that are used;
- a write that came behind the call by data edges waits for that `NoOp` too, and so does a read if the body writes.

Nodes of the body that do not run, or that only compute outputs which nobody uses, are left out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from tfreuse.analysis.effects import EFFECT, PURE, READ, Effects, Summaries
from tfreuse.analysis.inlinable import Inlinable, needed_nodes
from tfreuse.ir.attrs import Attr, Attrs
from tfreuse.ir.graph import Graph, Node, Value
from tfreuse.ir.order import ancestors, topological
from tfreuse.pipeline.rewriter import Rewriter

Path = tuple[str, ...]
"""A call by the names of the calls that it stands in, outermost first, and its own."""


class _Body(NamedTuple):
    nodes: list[Node]
    outputs: dict[int, Value]
    waits: frozenset[str]


class Unfolding:
    """Edits that inline the calls `paths` of `graph`, and calls in their bodies; a path comes with those before it.

    `places` has for every new node the path of the call that brought it, and its name in that call's function.
    """

    def __init__(self, graph: Graph, summaries: Summaries, inlinable: Inlinable, paths: Collection[Path]) -> None:
        self.places: dict[str, Path] = {}
        self.inlined: dict[str, str] = {}
        self._graph = graph
        self._summaries = summaries
        self._inlinable = inlinable
        self._paths = paths

    def onto(self, rewriter: Rewriter) -> None:
        """Hand the edits to a rewriter of the graph."""
        self.places, self.inlined = self._inline(rewriter, self._graph, ())

    def _inline(self, rewriter: Rewriter, graph: Graph, above: Path) -> tuple[dict[str, Path], dict[str, str]]:
        """Inline the calls in one graph; gives the places of new nodes, and by call the scope of its body."""
        calls = [path[-1] for path in sorted(self._paths) if path[:-1] == above]
        if not calls:
            return {}, {}
        caller = _Caller(graph, self._summaries, calls)
        scopes = _Scopes(graph)
        places: dict[str, Path] = {}
        inlined: dict[str, str] = {}
        bodies: dict[str, tuple[_Body, dict[str, str]]] = {}
        for name in sorted(calls, key=caller.place.__getitem__):
            function = self._inlinable.body(graph.nodes[name])
            assert function is not None
            path, scope = (*above, name), scopes.for_body(function.name)
            body = Rewriter(function, "")
            within, deeper = self._inline(body, function, path)
            bound = caller.bind(graph.nodes[name], scope, body.finish(), self._summaries)
            for node in bound.nodes:
                local = node.name.removeprefix(f"{scope}/")
                places[node.name] = within.get(local, (*path, local))
            bodies[name] = bound, {name: scope, **{f"{scope}/{call}": f"{scope}/{to}" for call, to in deeper.items()}}
            inlined.update(bodies[name][1])
        waits = caller.waits()
        waited = {control for node in graph.nodes.values() for control in node.controls}.union(*waits.values())
        waited.update(control for body, _ in bodies.values() for node in body.nodes for control in node.controls)
        waited.update(name for _, name in graph.control_outputs)
        for name, (bound, gone) in bodies.items():
            rewriter.inline(name, bound.nodes, bound.outputs, bound.waits if name in waited else None, gone)
        for name, controls in waits.items():
            for control in sorted(controls):
                rewriter.wait(name, control)
        return places, inlined


class _Scopes:
    """Names for bodies: after the Python function, and such that nothing in the graph is called so, or stands in it.

    The runtime inlines calls under their own names, and in live graphs calls stay, disconnected.
    """

    def __init__(self, graph: Graph) -> None:
        self._taken: set[str] = set()
        for name in graph.nodes:
            parts = name.split("/")
            self._taken.update("/".join(parts[:length]) for length in range(1, len(parts) + 1))

    def for_body(self, function: str) -> str:
        """A name for one more body of a function; `__inference_tower_12` gives `tower`, `tower_1` and so on."""
        found = re.fullmatch(r"_*(?:inference|forward|backward)_(.+)_[0-9]+", function)
        label = re.sub(r"[^A-Za-z0-9_.-]", "_", found[1] if found else function).lstrip("_.-") or "call"
        name, number = label, 0
        while name in self._taken:
            number += 1
            name = f"{label}_{number}"
        self._taken.add(name)
        return name


class _Caller:
    """The graph that the calls stand in: what comes behind effects, reads and the calls, and which outputs are used."""

    def __init__(self, graph: Graph, summaries: Summaries, calls: Iterable[str]) -> None:
        self._graph = graph
        order = topological(graph)
        self.place = {name: index for index, name in enumerate(order)}
        kinds = Effects(graph, summaries).kinds()
        kinds.update(dict.fromkeys(graph.arguments, PURE))
        self._kinds = kinds
        self._behind_effect = _behind(graph, order, {name for name in order if kinds[name] == EFFECT})
        self._behind_access = _behind(graph, order, {name for name in order if kinds[name] in (READ, EFFECT)})
        self._used = {value for node in graph.nodes.values() for value in node.inputs}
        self._used.update(value for _, value in graph.outputs)
        self._calls = [name for name in calls if kinds[name] != PURE]
        self._inlined = set(calls)
        self._behind_call = {name: _behind(graph, order, {name}) - {name} for name in self._calls}

    def waits(self) -> dict[str, frozenset[str]]:
        """For nodes of the graph that read or write, the calls that were over when they ran, by data edges."""
        found = {
            name: self._over_before(name, kind) - self._graph.nodes[name].controls
            for name, kind in self._kinds.items()
            if kind in (READ, EFFECT) and name not in self._inlined
        }
        return {name: controls for name, controls in found.items() if controls}

    def _over_before(self, name: str, kind: str) -> frozenset[str]:
        """The calls that node `name` comes behind and whose reads or writes it could tell from later ones."""
        before = [call for call in self._calls if name in self._behind_call[call]]
        effects = [call for call in before if self._kinds[call] == EFFECT]
        concerned = before if kind == EFFECT else effects
        return frozenset(c for c in concerned if not any(other in self._behind_call[c] for other in effects))

    def bind(self, call: Node, scope: str, body: Graph, summaries: Summaries) -> _Body:
        """The body's nodes for one call, under names that begin with `scope`."""
        effects = Effects(body, summaries)
        needed = needed_nodes(body)
        kinds = {name: effects.kind(body.nodes[name]) for name in needed}
        outputs = {port: value for port, (_, value) in enumerate(body.outputs) if Value(call.name, port) in self._used}
        runs = ancestors(body, [v.node for v in outputs.values()] + [n for n in needed if kinds[n] not in (PURE, READ)])
        runs |= ancestors(body, [name for _, name in body.control_outputs])
        arguments = dict(zip(body.arguments, call.inputs, strict=True))
        operands = {source for source, _ in call.inputs}
        held = frozenset(name for name in call.controls if self._kinds[name] not in (READ, EFFECT))
        before_reads = held | (self._behind_effect & (operands | call.controls)) | self._over_before(call.name, READ)
        before_effects = call.controls | (self._behind_access & operands) | self._over_before(call.name, EFFECT)
        nodes = []
        for name in topological(body):
            if name not in runs or name in arguments:
                continue
            node = body.nodes[name]
            inputs = tuple(_bound(value, scope, arguments) for value in node.inputs)
            controls = frozenset(f"{scope}/{control}" for control in node.controls.difference(arguments))
            if kinds[name] == PURE:
                if all(value.node in arguments for value in node.inputs):
                    controls |= held
            else:
                controls |= before_reads if kinds[name] == READ else before_effects
            attrs = _with_shapes(node, body, len(summaries.ops.output_types(node.op, node.attrs)))
            bound = Node(f"{scope}/{name}", node.op, inputs, controls, attrs, node.device or call.device)
            nodes.append(_colocated(bound, scope, arguments) if attrs.is_colocated else bound)
        waits = {name for name in runs.difference(arguments) if kinds[name] != PURE}
        waits = waits or {value.node for value in outputs.values()}
        return _Body(
            nodes,
            {port: _bound(value, scope, arguments) for port, value in outputs.items()},
            frozenset(f"{scope}/{name}" for name in waits.difference(arguments)) or call.controls | operands,
        )


def _bound(value: Value, scope: str, arguments: Mapping[str, Value]) -> Value:
    return arguments[value.node] if value.node in arguments else Value(f"{scope}/{value.node}", value.port)


def _colocated(node: Node, scope: str, arguments: Mapping[str, Value]) -> Node:
    """A node that stood beside another of its body, or beside an argument's source, still does."""
    names = [group.removeprefix(b"loc:@").decode() for group in node.attrs.value("_class")[1]]
    groups = [arguments[name].node if name in arguments else f"{scope}/{name}" for name in names]
    attr = Attr("list", ("s", tuple(f"loc:@{name}".encode() for name in dict.fromkeys(groups))))
    return node._replace(attrs=node.attrs.updated({"_class": attr}))


def _with_shapes(node: Node, body: Graph, outputs: int) -> Attrs:
    """The node's attributes; static shapes that somebody knows of the body, and the node does not state, among them."""
    if body.shapes is None or "_output_shapes" in node.attrs:
        return node.attrs
    shapes = tuple(body.shapes(Value(node.name, port)) for port in range(outputs))
    return node.attrs.updated({"_output_shapes": Attr("list", ("shape", shapes) if shapes else ("", ()))})


def _behind(graph: Graph, order: Iterable[str], sources: set[str]) -> frozenset[str]:
    """`sources`, and all nodes that come behind one."""
    found = set(sources)
    if found:
        for name in order:
            node = graph.nodes[name]
            if any(source in found for source, _ in node.inputs) or not found.isdisjoint(node.controls):
                found.add(name)
    return frozenset(found)
