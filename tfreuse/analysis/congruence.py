"""Value numbering: equal numbers mean that two nodes compute the same values and see the same state.

One pass over the topological order, linear in the size of the graph (Alpern, Wegman and Zadeck, "Detecting
equality of variables in programs", POPL 1988, for the term; the barriers are inside the numbering, so whatever
depends on two different draws or writes differs as well). A key holds whole structures, not digests: the hash
finds a candidate and the comparison of keys proves it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence, Set
from copy import copy

from tfreuse.analysis.effects import EFFECT, FIXED
from tfreuse.analysis.fingerprint import INSIGNIFICANT, Fingerprints
from tfreuse.analysis.memory import Memory
from tfreuse.ir.attrs import Attr, Attrs
from tfreuse.ir.graph import Graph, Node
from tfreuse.ops.registry import Ops

_PORT_BITS = 20
_STEP = 1 << _PORT_BITS


class AttrKeys:
    """Small integers for (op, device, significant attributes with defaults filled in, `_class` aside).

    A function is named by the first of those that are equal to it.
    """

    def __init__(self, ops: Ops, fingerprints: Callable[[], Fingerprints] | None = None) -> None:
        self._ops = ops
        self._fingerprints = fingerprints
        self.by_object: dict[tuple[str, str, int], int] = {}
        self._alive: list[Attrs] = []
        self._by_meaning: dict[Hashable, int] = {}

    def key(self, node: Node) -> int:
        """The number of the node's op, device and attributes; equal numbers mean equal ones."""
        # Readers share equal sets of attributes, so the object finds most keys; meaning decides, by comparison.
        shortcut = (node.op, node.device, id(node.attrs))
        found = self.by_object.get(shortcut)
        if found is None:
            attrs = self.significant(node)
            if node.attrs.is_colocated:
                del attrs["_class"]
            op = node.op
            if self._fingerprints is not None and self._ops.facts(op).kind == "unknown":  # a function's name, maybe
                op = self._fingerprints().first(op)
            meaning = (op, node.device, frozenset(attrs.items()))
            found = self.by_object[shortcut] = self._by_meaning.setdefault(meaning, len(self._by_meaning))
            self._alive.append(node.attrs)  # or another set could come to have its id
        return found

    def significant(self, node: Node) -> dict[str, Attr]:
        """The attributes that count, with defaults filled in."""
        attrs = node.attrs
        if self._fingerprints is not None and attrs.functions:
            attrs = self._fingerprints().renamed(attrs)
        filled = {**self._ops.defaults(node.op), **dict(attrs.items())}
        for name in INSIGNIFICANT:
            filled.pop(name, None)
        return filled


class Congruence:
    """`number` of every node, and `classes` of two nodes or more in topological order; `alone` are equal to none."""

    def __init__(
        self,
        graph: Graph,
        ops: Ops,
        memory: Memory,
        order: list[str],
        alone: frozenset[str],
        fingerprints: Callable[[], Fingerprints] | None = None,
    ) -> None:
        self.number: dict[str, int] = {}
        self.attr_keys = AttrKeys(ops, fingerprints)
        self._ops = ops
        self._memory = memory
        self._earlier: dict[str, int] = {}
        self._is_ahead = False
        alone = alone.union(graph.arguments)
        members = self._number(graph, order, alone)
        count = -1
        while self._is_ahead and len(members) != count:
            # A group stands behind its members in the order: once more, by the number that it turned out to have.
            count, self._earlier, self.number = len(members), self.number, {}
            members = self._number(graph, order, alone)
        self.classes: Sequence[list[str]] = list(members.values())
        """Two congruent nodes or more each, in topological order."""

    def _number(self, graph: Graph, order: list[str], alone: frozenset[str]) -> dict[int, list[str]]:
        """Fill `number`; gives the nodes of each number that two or more have.

        A number is the place in `order` of the first node that has it.
        """
        members: dict[int, list[str]] = {}
        found: dict[Hashable, int] = {}
        number = self.number
        commutes, attr_key, known_keys = self._ops.commutes, self.attr_keys.key, self.attr_keys.by_object
        nodes, own = graph.nodes, -_STEP
        lone_ops, lone_nodes = self._memory.kinds.whole_ops(FIXED, EFFECT)
        lone = alone.union(lone_nodes)
        for node in nodes.values() if graph.known_ordered else [nodes[name] for name in order]:
            own += _STEP
            name, op, inputs, controls, attrs, device = node
            if op in lone_ops or name in lone:
                number[name] = own
                continue
            meaning: Hashable
            key: Hashable
            if attrs.is_colocated:
                meaning = self.attributes(node)
            else:
                meaning = known_keys.get((op, device, id(attrs)))
                if meaning is None:
                    meaning = attr_key(node)
            if len(inputs) == 2:
                (left, left_port), (right, right_port) = inputs
                one, other = number[left] + left_port, number[right] + right_port
                key = (meaning, other, one) if one > other and commutes(op, attrs) else (meaning, one, other)
            else:
                key = (meaning, *[number[source] + port for source, port in inputs])
            if controls:
                state = self.state(node)
                key = (None, key, state) if state else key  # no meaning is None
            number[name] = first = found.setdefault(key, own)
            if first != own:
                if first in members:
                    members[first].append(name)
                else:
                    members[first] = [order[first >> _PORT_BITS], name]
        return members

    def attributes(self, node: Node) -> Hashable:
        """Op, device and attributes; of two colocation groups the value numbers count, not the names."""
        kind, groups = node.attrs.value("_class") if node.attrs.is_colocated else ("", ())
        if kind != "s":
            return self.attr_keys.key(node), groups
        names = [group.removeprefix(b"loc:@").decode(errors="replace") for group in groups]
        known = self._earlier or self.number
        self._is_ahead = self._is_ahead or not known.keys() >= set(names)
        return self.attr_keys.key(node), tuple([known.get(name, name) for name in names])

    def operands(self, node: Node) -> tuple[int, ...]:
        """The numbers of the operands (with their ports), sorted where the op commutes."""
        number = self.number
        numbers = tuple([number[source] + port for source, port in node.inputs])
        if len(numbers) == 2 and numbers[0] > numbers[1] and self._ops.commutes(node.op, node.attrs):
            return numbers[1], numbers[0]
        return numbers

    def state(self, node: Node) -> Hashable:
        """The state that the node sees, by the numbers of its anchors and its effect ancestors.

        An anchor that is congruent to an operand says nothing: the node waits for its operands.
        """
        anchors, effects = self._memory.of(node.name)
        if not anchors:
            return effects
        number = self.number
        waits = {number[anchor] for anchor in anchors}.difference([number[source] for source, _ in node.inputs])
        return (frozenset(waits), effects) if waits else effects

    def without(self, gone: Set[str]) -> Congruence:
        """The same numbers, and the classes without nodes that were merged away, turned into aliases or removed."""
        other = copy(self)
        if gone:
            other.classes = [
                names
                for members in self.classes
                for names in [members if gone.isdisjoint(members) else [name for name in members if name not in gone]]
                if len(names) > 1
            ]
        return other
