"""A loop's body written once for each iteration, so that its counters are constants: to look at, not to run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tfreuse.analysis.loops import Loop
from tfreuse.analysis.shapes import Shape, stated_shapes
from tfreuse.ir.attrs import Attr, Attrs
from tfreuse.ir.constants import whole_constant
from tfreuse.ir.graph import ARGUMENT_OP, Graph, Node, Value
from tfreuse.ir.order import topological


class Copy(NamedTuple):
    """A node of the body, and the iteration (from 0) that a copy of it stands in."""

    name: str
    iteration: int


class Unrolled(NamedTuple):
    """All iterations in one graph.

    What no iteration changes stands there once, under its own name; `copies` leads from the other nodes to those of
    the body, `names` back.
    """

    graph: Graph
    copies: dict[str, Copy]
    names: dict[Copy, str]


def unrolled(loop: Loop, trips: int) -> Unrolled:
    """The first `trips` iterations of a loop. A variable that is a counter is a constant in each, any other what the
    iteration before gave."""
    body = loop.body
    order = topological(body)
    moving = _changing(loop, order)
    stated = stated_shapes(body)
    counters = {
        name: line
        for name in body.arguments
        if stated(Value(name)) in (None, ()) and (line := loop.line(Value(name))) is not None
    }
    copies: dict[str, Copy] = {}
    names: dict[Copy, str] = {}
    nodes: dict[str, Node] = {}

    def at(value: Value, iteration: int) -> Value:
        return Value(names.get(Copy(value.node, iteration), value.node), value.port)

    for name in order:
        if name not in moving:
            constant = counters.get(name)
            node = body.nodes[name]
            nodes[name] = node if constant is None else whole_constant(name, (), (constant.first,), _type(node))
    for iteration in range(trips):
        for name in order:
            if name not in moving:
                continue
            copy, node = f"{name}@{iteration}", body.nodes[name]  # no name of TensorFlow's has an @
            if name in counters:
                line = counters[name]
                made = whole_constant(copy, (), (line.first + line.by * iteration,), _type(node))
            elif name in body.arguments and iteration:
                before = at(body.outputs[body.arguments.index(name)][1], iteration - 1)
                made = Node(copy, "Identity", (before,), attrs=Attrs({"T": Attr("type", _type(node))}))
            else:
                inputs = tuple(at(value, iteration) for value in node.inputs)
                controls = frozenset(at(Value(control), iteration).node for control in node.controls)
                made = node._replace(name=copy, inputs=inputs, controls=controls)
            nodes[copy] = made
            copies[copy] = Copy(name, iteration)
            names[copies[copy]] = copy

    def shape_of(value: Value) -> Shape | None:
        origin = copies[value.node].name if value.node in copies else value.node
        shape = stated(Value(origin, value.port)) if origin in body.nodes else None
        return loop.shapes.get(origin) if shape is None else shape

    all_of_them = range(trips)  # the results of each iteration count, whether or not the next one uses them
    graph = Graph(
        body.name,
        nodes,
        tuple(name for name, node in nodes.items() if node.op == ARGUMENT_OP),
        tuple((f"{label}@{t}", at(value, t)) for t in all_of_them for label, value in body.outputs),
        tuple((f"{label}@{t}", at(Value(name), t).node) for t in all_of_them for label, name in body.control_outputs),
        shapes=shape_of,
    )
    return Unrolled(graph, copies, names)


def _changing(loop: Loop, order: list[str]) -> set[str]:
    """What is not the same in each iteration, by what it is computed from; effects stay in their iterations."""
    found = {name for place, name in enumerate(loop.body.arguments) if not loop.is_invariant(place)}
    for name in order:
        node = loop.body.nodes[name]
        if not found.isdisjoint(_sources(node)):
            found.add(name)
    return found


def _sources(node: Node) -> Iterator[str]:
    yield from (source for source, _ in node.inputs)
    yield from node.controls


def _type(argument: Node) -> int:
    found: int = argument.attrs.value("T")
    return found
