"""Puts the bodies of functions in the place of calls, with the orders that can be seen.

A call starts when all its operands and control inputs are there, and is over when all of its body has run. Of that,
what can be seen is kept:

- what reads or writes in the body waits for the call's control inputs, and for operands that come behind an effect
  (a write waits for those behind a read as well);
- control inputs of the call that compute hold back every node of the body that uses nothing else of it, because they
  may say when, or whether, the call runs (`tfreuse.analysis.memory` calls them anchors);
- what waited for the call waits for a `NoOp` in its place, which waits for all that reads or writes in the body or, if
  nothing does, for the outputs that are used; and, where anything is written, for what the call waited for;
- a write that came behind the call by data edges waits for that `NoOp` too, and so does a read if the body writes, or
  if an effect before the call is not before what the read uses of it any more.

Nodes of the body that do not run, or that only compute outputs which nobody uses, are left out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from tfreuse.analysis.effects import EFFECT, PURE, READ, Effects, Summaries
from tfreuse.analysis.inlinable import Inlinable, needed_nodes
from tfreuse.ir.attrs import Attr, Attrs
from tfreuse.ir.graph import Graph, Node, Value, fresh_name
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
        order = topological(graph)
        scopes = _Scopes(graph)
        functions: dict[str, Graph] = {}
        inside: dict[str, tuple[str, dict[str, Path], dict[str, str]]] = {}
        for name in sorted(calls, key={name: place for place, name in enumerate(order)}.__getitem__):
            function = self._inlinable.body(graph.nodes[name])
            assert function is not None
            body = Rewriter(function, "")
            inside[name] = scopes.for_body(function.name), *self._inline(body, function, (*above, name))
            functions[name] = body.finish()
        caller = _Caller(graph, self._summaries, order, functions)
        places: dict[str, Path] = {}
        inlined: dict[str, str] = {}
        bodies: dict[str, tuple[_Body, dict[str, str]]] = {}
        for name, (scope, within, deeper) in inside.items():
            bound = caller.bind(graph.nodes[name], scope)
            for node in bound.nodes:
                local = node.name.removeprefix(f"{scope}/")
                places[node.name] = within.get(local, (*above, name, local))
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
            self._taken.update("/".join(parts[:length]).lower() for length in range(1, len(parts) + 1))

    def for_body(self, function: str) -> str:
        """A name for one more body of a function; `__inference_tower_12` gives `tower`, `tower_1` and so on."""
        found = re.fullmatch(r"_*(?:inference|forward|backward)_(.+)_[0-9]+", function)
        label = re.sub(r"[^A-Za-z0-9_.-]", "_", found[1] if found else function).lstrip("_.-") or "call"
        return fresh_name(label, self._taken)


class _Caller:
    """The graph that the calls stand in: what comes behind effects, reads and the calls, and which outputs are used."""

    def __init__(
        self, graph: Graph, summaries: Summaries, order: Sequence[str], functions: Mapping[str, Graph]
    ) -> None:
        self._graph = graph
        self._summaries = summaries
        self._kinds = kinds = Effects(graph, summaries).kinds().but(graph.arguments, PURE)
        self._behind_effect = _behind(graph, order, set(kinds.names(EFFECT)))
        self._behind_access = _behind(graph, order, set(kinds.names(READ, EFFECT)))
        self._used = {value for node in graph.nodes.values() for value in node.inputs}
        self._used.update(value for _, value in graph.outputs)
        self._functions = functions
        self._of_body = {
            name: {node: effects.kind(body.nodes[node]) for node in needed_nodes(body)}
            for name, body in functions.items()
            for effects in [Effects(body, summaries)]
        }
        self._hides_effect = {name for name in functions if kinds[name] == EFFECT or self._hides(name, EFFECT)}
        self._hides_access = {name for name in functions if kinds[name] != PURE or self._hides(name, READ)}
        self._hides_access |= self._hides_effect
        self._behind_call = {name: _behind(graph, order, {name}) - {name} for name in self._hides_access}

    def _hides(self, name: str, kind: str) -> bool:
        """Whether the call comes behind an effect (or a read) that some output of its body need not come behind."""
        call, body, kinds = self._graph.nodes[name], self._functions[name], self._of_body[name]
        behind, free = (self._behind_effect, (PURE,)) if kind == EFFECT else (self._behind_access, (PURE, READ))
        if behind.isdisjoint(source for source, _ in call.inputs) and behind.isdisjoint(call.controls):
            return False
        operands = {argument: source for argument, (source, _) in zip(body.arguments, call.inputs, strict=True)}
        for port, (_, value) in enumerate(body.outputs):
            cone = ancestors(body, [value.node])
            waits = any(kinds.get(node, PURE) not in free for node in cone)
            sources = {*operands.values(), *call.controls}.intersection(behind)
            if Value(name, port) in self._used and not waits and sources.difference(operands.get(n, "") for n in cone):
                return True
        return False

    def waits(self) -> dict[str, frozenset[str]]:
        """For nodes of the graph that read or write, the calls that were over when they ran, by data edges."""
        found = {
            name: self._over_before(name, self._kinds[name]) - self._graph.nodes[name].controls
            for name in self._kinds.names(READ, EFFECT)
            if name not in self._functions
        }
        return {name: controls for name, controls in found.items() if controls}

    def _over_before(self, name: str, kind: str) -> frozenset[str]:
        """The calls that node `name` comes behind and whose reads or writes it could tell from later ones."""
        before = [call for call in self._behind_call if name in self._behind_call[call]]
        effects = [call for call in before if call in self._hides_effect]
        concerned = before if kind == EFFECT else effects
        return frozenset(c for c in concerned if not any(other in self._behind_call[c] for other in effects))

    def bind(self, call: Node, scope: str) -> _Body:
        """The body's nodes for one call, under names that begin with `scope`."""
        body, kinds = self._functions[call.name], self._of_body[call.name]
        outputs = {port: value for port, (_, value) in enumerate(body.outputs) if Value(call.name, port) in self._used}
        runs = ancestors(body, [v.node for v in outputs.values()] + [n for n in kinds if kinds[n] not in (PURE, READ)])
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
            attrs = _with_shapes(node, body, len(self._summaries.ops.output_types(node.op, node.attrs)))
            bound = Node(f"{scope}/{name}", node.op, inputs, controls, attrs, node.device or call.device)
            nodes.append(_colocated(bound, scope, arguments) if attrs.is_colocated else bound)
        waits = {name for name in runs.difference(arguments) if kinds[name] != PURE}
        waits = waits or {value.node for value in outputs.values()}
        over = frozenset(f"{scope}/{name}" for name in waits.difference(arguments)) or call.controls | operands
        if self._behind_effect and not any(kinds.get(name) == EFFECT for name in waits):
            over |= call.controls | (self._behind_access & operands)
        return _Body(nodes, {port: _bound(value, scope, arguments) for port, value in outputs.items()}, over)


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
