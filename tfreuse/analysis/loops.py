"""What a loop's condition, its body and what it begins with say: how its counters move, and how often it runs.

A loop variable is a *counter* if the body gives it back with a fixed number added, *invariant* if it gives it back as
it is. In iteration t (from 0) a counter is `first + by * t`, and so is every sum and multiple of counters, a `Line`.
The loop runs until its condition, comparisons of such values, is false for the first time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from tfreuse.analysis.shapes import Shape, stated_shapes
from tfreuse.ir.graph import Graph, Module, Node, Value
from tfreuse.ops.integers import Integers

_DEPTH = 16


class Line(NamedTuple):
    """A whole number that is `first` in the first iteration, and `by` more in each that follows."""

    first: int
    by: int = 0


class Loop:
    """The loop that the node `call` of `caller` runs; the module holds its body."""

    def __init__(self, module: Module, caller: Graph, call: Node) -> None:
        body, cond = (call.attrs.value(name) for name in ("body", "cond"))
        self.body: Graph = module.graphs[body.name]
        self._cond = module.graphs.get(cond.name) if cond is not None else None
        self._back = [_source(self.body, value) for _, value in self.body.outputs]
        self._integers = Integers(self.body.nodes, self.body.arguments)
        known = Integers(caller.nodes, caller.arguments)
        starts = [known.number_of(value) for value in call.inputs]
        stated = stated_shapes(caller)
        shapes = ((place, stated(value)) for place, value in enumerate(call.inputs) if self.is_invariant(place))
        self.shapes: dict[str, Shape] = {self.body.arguments[at]: shape for at, shape in shapes if shape is not None}
        """The shapes of arguments of the body that every iteration hands on, as the caller states them."""
        self._variables: dict[int, Line] = {}
        for place, first in enumerate(starts):
            if first is not None and self.is_invariant(place):
                self._variables[place] = Line(first)
        count = min(len(self._back), len(self.body.arguments))
        steps = {place: self._step(place) for place in range(count) if place not in self._variables}
        for place, by in steps.items():
            first = starts[place] if place < len(starts) else None
            if first is not None and by is not None:
                self._variables[place] = Line(first, by)

    def is_invariant(self, place: int) -> bool:
        """Whether every iteration hands on the variable at `place` as it is."""
        arguments = self.body.arguments
        return place < min(len(self._back), len(arguments)) and self._back[place] == Value(arguments[place])

    def changes(self, names: Collection[str]) -> bool:
        """Whether one of some nodes of the body is a variable that is not invariant."""
        return any(name in names and not self.is_invariant(place) for place, name in enumerate(self.body.arguments))

    def place_of(self, value: Value) -> int | None:
        """Which variable a value of the body is; None for what is none."""
        source = _source(self.body, value)
        return self.body.arguments.index(source.node) if source.node in self.body.arguments else None

    def line(self, value: Value) -> Line | None:
        """A value of the body as a line; None if it is not known to be one."""
        return self._line(self.body, value, 0)

    def lines(self, value: Value) -> list[Line] | None:
        """The elements of a vector of the body, each as a line."""
        known = self._integers.list_of(value)
        if known is not None:
            return [Line(number) for number in known]
        node = self.body.nodes[_source(self.body, value).node]
        if node.op == "Pack":
            parts: list[Line | None] = [self.line(operand) for operand in node.inputs]
        elif node.op in ("Add", "AddV2", "Mul"):
            one, other = map(self._parts, node.inputs)
            longest = max(len(one), len(other))
            pairs = zip([*one] * (longest // len(one)), [*other] * (longest // len(other)), strict=False)
            parts = [_joined(node.op, *pair) for pair in pairs]
        else:
            return None
        found = [part for part in parts if part is not None]
        return found if found and len(found) == len(parts) else None

    def _parts(self, value: Value) -> Sequence[Line | None]:
        """The elements of a vector, or a scalar as one."""
        return self.lines(value) or [self.line(value)]

    @property
    def trips(self) -> int | None:
        """How often the body runs; None if that is not known."""
        if self._cond is None or len(self._cond.outputs) != 1:
            return None
        counts = [self._count(self._cond, value) for value in _conjuncts(self._cond, self._cond.outputs[0][1])]
        known = [count for count in counts if count is not None]
        return min(known) if known and len(known) == len(counts) else None

    def _step(self, place: int) -> int | None:
        """What an iteration adds to a variable."""
        node, argument = self.body.nodes[self._back[place].node], Value(self.body.arguments[place])
        if node.op not in ("Add", "AddV2", "Sub"):
            return None
        others = [value for value in node.inputs if _source(self.body, value) != argument]
        added = self.line(others[0]) if len(others) == 1 else None
        if added is None or added.by or (node.op == "Sub" and others[0] == node.inputs[0]):
            return None
        return -added.first if node.op == "Sub" else added.first

    def _line(self, graph: Graph, value: Value, depth: int) -> Line | None:
        node = graph.nodes[value.node]
        if value.node in graph.arguments:
            return self._variables.get(graph.arguments.index(value.node))
        if value.port or depth > _DEPTH:
            return None
        if node.op == "Const":
            number = Integers({node.name: node}, ()).number_of(value)
            return None if number is None else Line(number)
        if node.op == "Identity":
            return self._line(graph, node.inputs[0], depth + 1)
        if node.op not in ("Add", "AddV2", "Sub", "Mul"):
            return None
        one, other = (self._line(graph, operand, depth + 1) for operand in node.inputs)
        return _joined(node.op, one, other)

    def _count(self, cond: Graph, value: Value) -> int | None:
        """The iterations before a comparison is false for the first time."""
        node = cond.nodes[value.node]
        if node.op not in ("Less", "LessEqual", "Greater", "GreaterEqual"):
            return None
        sides = [self._line(cond, operand, 0) for operand in node.inputs]
        low, high = reversed(sides) if node.op.startswith("Greater") else sides
        if low is None or high is None:
            return None
        gap, closing = high.first - low.first + node.op.endswith("Equal"), low.by - high.by
        if gap <= 0:
            return 0
        return -(-gap // closing) if closing > 0 else None


def _joined(op: str, one: Line | None, other: Line | None) -> Line | None:
    """The sum, difference or product of two lines, if it is one."""
    if one is None or other is None or (op == "Mul" and one.by and other.by):
        return None
    if op == "Mul":
        return Line(one.first * other.first, one.by * other.first + one.first * other.by)
    sign = -1 if op == "Sub" else 1
    return Line(one.first + sign * other.first, one.by + sign * other.by)


def _source(graph: Graph, value: Value) -> Value:
    node = graph.nodes[value.node]
    while node.op == "Identity" and node.name not in graph.arguments:
        value = node.inputs[0]
        node = graph.nodes[value.node]
    return value


def _conjuncts(cond: Graph, value: Value) -> Iterator[Value]:
    value = _source(cond, value)
    node = cond.nodes[value.node]
    if node.op == "LogicalAnd":
        for operand in node.inputs:
            yield from _conjuncts(cond, operand)
    else:
        yield value
