"""Which summands of one sum are results of one linear op, so that it could be applied to a sum of operands instead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Container, Iterable
from typing import NamedTuple

from tfreuse.analysis.analyses import Analyses
from tfreuse.analysis.cost import HEAVY
from tfreuse.analysis.effects import EFFECT, FIXED, PURE
from tfreuse.analysis.shapes import stated_shapes
from tfreuse.ir.graph import NO_CONTROLS, Node, Value
from tfreuse.ops.elements import BINARY
from tfreuse.ops.linear import LINEAR, SUMS, Extents, Linear, is_float

Key = tuple[Value, ...]
"""The summands of a sum, sorted; one that counts twice stands twice."""

ELSEWHERE, NO_GAIN, LIMIT = "gradient-used-elsewhere", "gradient-no-gain", "gradient-limit"
SHAPES, BROADCAST, ORDER = "gradient-unknown-shape", "gradient-broadcast", "gradient-order"

_Way = tuple[object, ...]


class Factor(NamedTuple):
    """One op in the place of `members` (with repetitions), on `inner`, the sum of their operands `law.operand`."""

    op: str
    members: tuple[str, ...]
    law: Linear
    port: int
    inner: Key


class Refused(NamedTuple):
    """Nodes that keep their sum behind them, and the id of a remark that says why."""

    id: str
    nodes: tuple[str, ...]


class LinearSums:
    """Answers for the sums of one graph; `added` are nodes that passes added, which are not looked into.

    `set_aside` has nodes that must not become one with others; who asks fills it. `refused` are remarks.
    """

    def __init__(self, analyses: Analyses, added: Container[str]) -> None:
        self._nodes, self._kinds, self._added = analyses.graph.nodes, analyses.kinds, added
        self._graph = analyses.graph
        self._alone = analyses.clobbered | analyses.custom_gradients | analyses.graph.frozen
        self._number, self._meaning = analyses.congruence.number, analyses.congruence.attr_keys.key
        self.place = {name: number for number, name in enumerate(analyses.order)}
        self._extents = Extents(self._nodes, stated_shapes(analyses.graph), self._value_number)
        self.roots = self._roots()
        self._level = self._levels(analyses.order)
        self._known_ways: dict[Value, list[tuple[Linear, _Way]]] = {}
        self.set_aside: set[str] = set()
        self.refused: dict[Refused, None] = {}

    def refuse(self, id: str, names: Iterable[str]) -> None:
        """Note why the sum of some nodes stays behind them."""
        self.refused[Refused(id, tuple(sorted(set(names), key=self.place.__getitem__)))] = None

    def is_sum(self, node: Node) -> bool:
        """Whether a node adds its operands, all of one shape, and does no more."""
        if node.op not in SUMS or not self._is_open(node):
            return False
        if node.op == "AddN":
            return True
        one, other = node.inputs
        if self._extents.equal(one, other):
            return True
        shared = {way for _, way in self._ways(one)}.intersection(way for _, way in self._ways(other))
        if shared and self._nodes[one.node].op in HEAVY:
            self.refuse(BROADCAST, (one.node, other.node))
        return False

    def is_transparent(self, node: Node) -> bool:
        """Whether a node is its operand under another name that nobody knows."""
        return node.op == "Identity" and self._is_open(node) and node.name not in self._graph.kept

    def pieces(self, summands: Counter[Value]) -> list[Factor | Value]:
        """The summands, as many of them as can in the hands of ops on sums."""
        listed = sorted(summands, key=lambda value: (self.place[value.node], value.port))
        groups: dict[_Way, list[Value]] = {}
        for value in listed:
            for _, way in self._ways(value):
                groups.setdefault(way, []).append(value)
        pieces: list[Factor | Value] = []
        left, lone = dict.fromkeys(listed), []
        for value in listed:
            if value not in left:
                continue
            law, members = self._group(value, groups, left)
            for member in members:
                del left[member]
            if law is None or len(members) < 2:
                pieces += [value] * summands[value]
                lone.append(value)
                continue
            names = tuple(member.node for member in members for _ in range(summands[member]))
            inner = tuple(sorted(self._nodes[name].inputs[law.operand] for name in names))
            pieces.append(Factor(self._nodes[value.node].op, names, law, value.port, inner))
        self._note_other_levels(lone, groups)
        return pieces

    def _group(
        self, first: Value, groups: dict[_Way, list[Value]], left: Collection[Value]
    ) -> tuple[Linear | None, list[Value]]:
        """The largest group of a value, of those that lost no other member, and by which law it is one."""
        found = [(law, [value for value in groups[way] if value in left]) for law, way in self._ways(first)]
        law, members = max(found, key=lambda pair: len(pair[1]), default=(None, [first]))
        if law is None or len(members) < 2:
            return None, [first]
        return law, self._in_step(first, self._of_one_level(first, members), law)

    def _in_step(self, first: Value, members: list[Value], law: Linear) -> list[Value]:
        """The first one, and those of the others that wait for nothing and whose operands surely have its shape."""
        nodes = {value: self._nodes[value.node] for value in members}
        waiting = [value for value in members if nodes[value].controls]
        if waiting:
            if nodes[first].op in HEAVY:
                self.refuse(ORDER, (value.node for value in members))
            if first in waiting:
                return [first]
            members = [value for value in members if value not in waiting]
        if law.pinned:
            return members
        alike = [v for v in members if self._extents.equal(*(nodes[at].inputs[law.operand] for at in (first, v)))]
        if len(alike) < len(members) and (law.shrinks or nodes[first].op in HEAVY):
            self.refuse(SHAPES, (value.node for value in members))
        return alike

    def _of_one_level(self, first: Value, members: list[Value]) -> list[Value]:
        """Of more than two, those of the first one's level: the backward passes of one layer lie on one level, those of
        several layers with one set of weights do not."""
        if len(members) < 3:
            return members
        return [value for value in members if self._level[value.node] == self._level[first.node]]

    def _note_other_levels(self, lone: Iterable[Value], groups: dict[_Way, list[Value]]) -> None:
        """Remark convolutions and products that would be one with another, were it not for more uses of one of them."""
        for value in lone:
            for _, way in self._ways(value) if self._nodes[value.node].op in HEAVY else ():
                if len(groups[way]) > 2 and self._of_one_level(value, groups[way]) == [value]:
                    self.refuse(ELSEWHERE, (value.node,))

    def _ways(self, value: Value) -> list[tuple[Linear, _Way]]:
        """The laws by which a value may be one with others, each with what those must have in common with it: op,
        attributes, device, output, and the other operands."""
        if value not in self._known_ways:
            self._known_ways[value] = self._find_ways(value)
        return [] if value.node in self.set_aside else self._known_ways[value]

    def _find_ways(self, value: Value) -> list[tuple[Linear, _Way]]:
        node = self._nodes[value.node]
        found: list[tuple[Linear, _Way]] = []
        for law in LINEAR.get(node.op, ()) if self._is_open(node._replace(controls=NO_CONTROLS)) else ():
            if value.port < law.ports:
                others = [self._shared_number(v) for place, v in enumerate(node.inputs) if place != law.operand]
                found.append((law, (self._meaning(node), value.port, law, *others)))
        return found

    def _is_open(self, node: Node) -> bool:
        """Whether a node may be looked into: a function of floats, its operands, and no more than that."""
        return not node.controls and is_float(node) and self._is_own(node)

    def _is_own(self, node: Node) -> bool:
        return self._kinds[node.name] == PURE and node.name not in self._alone and node.name not in self._added

    def _value_number(self, value: Value) -> int:
        return self._number[value.node] + value.port

    def is_held_back(self, name: str) -> bool:
        """Whether a node is computed elementwise from values that are there long before, and waits for the gradient.

        TensorFlow writes `2 * gradient * (x - y)`, the gradient of a squared difference, in this way.
        """
        node = self._nodes[name]
        if not node.controls or any(self._kinds[control] != PURE for control in node.controls):
            return False
        return (node.op == "Const" or node.op in BINARY) and self._is_own(node)

    def _shared_number(self, value: Value) -> object:
        """The number of a value; equal ones that wait for two things have one."""
        if not self.is_held_back(value.node):
            return self._value_number(value)
        node = self._nodes[value.node]
        return (self._meaning(node), *(self._value_number(operand) for operand in node.inputs))

    def _roots(self) -> set[str]:
        """What must be there: what the outside knows, whatever has an effect, and, where nothing says what is wanted,
        all that nothing uses."""
        graph = self._graph
        roots = {*graph.roots, *self._kinds.names(FIXED, EFFECT)}
        if not (graph.outputs or graph.control_outputs or graph.closed):
            used = {source for node in self._nodes.values() for source, _ in node.inputs}
            roots |= self._nodes.keys() - used
        return roots

    def _levels(self, order: list[str]) -> dict[str, int]:
        """How many ops lie at most between a node and a root, sums aside."""
        levels = dict.fromkeys(self._nodes, 0)
        reached = set(self.roots)
        for name in reversed(order):
            if name in reached:
                node = self._nodes[name]
                level = levels[name] + (node.op not in SUMS and node.op != "Identity")
                for source, _ in node.inputs:
                    levels[source] = max(level, levels[source])
                    reached.add(source)
        return levels
