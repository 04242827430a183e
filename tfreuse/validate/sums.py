"""The lemma of linear ops, checked: an op on a sum of operands gives the sum of what it gave for each of them.

A rewrite says of its new nodes which values of the graph before they are the sum of. Nothing of that is believed. Each
such claim is checked against the node itself, those of its operands first:

- a new `AddN` or `Identity` is the sum of what its operands are;
- a new op that is linear in an operand is the sum of the outputs of old nodes if each of these is the same op, on the
  same device, with the same attributes and, that operand aside, the same operands, and if the new operand is the sum of
  theirs. All are of floating point, and the operands of one shape, or the op would repeat one along an axis.

Sums are compared as multisets of the values of the graph before, its own sums taken apart: a summand that is missing,
or that counts twice, makes another multiset. Which op is linear in what is data (`tfreuse.ops.linear`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping

from tfreuse.ir.graph import Graph, Node, Value
from tfreuse.ops.linear import LINEAR, SUMS, Extents, Linear, is_float

Claims = Mapping[str, tuple[Value, ...]]
"""Of which values a node's output 0 is the sum; output p of those that are p outputs further on."""


class Sums:
    """Checks `claims` about nodes of `after`, one at a time and those of operands first.

    `classes` has a number for every node of `before`, and for those of `after` as far as they are known; it may grow.
    """

    def __init__(
        self,
        before: Graph,
        after: Graph,
        claims: Claims,
        classes: Mapping[str, int],
        is_pure: Callable[[str], bool],
        meaning: Callable[[Node], Hashable],
        shape_of: Callable[[Value], tuple[int, ...] | None],
    ) -> None:
        self._old, self._new, self._claims = before.nodes, after.nodes, claims
        self._classes, self._is_pure, self._meaning = classes, is_pure, meaning
        self._extents = Extents(before.nodes, shape_of, lambda value: classes[value.node] + value.port)
        self._held: dict[str, int] = {}
        self._apart: dict[str, Counter[int]] = {}

    def holds(self, name: str) -> bool:
        """Check the claim about a node, if there is one; those about its operands must have been asked for before."""
        claim = self._claims.get(name)
        if claim is None or not claim or any(value.node not in self._old for value in claim):
            return False
        node = self._new[name]
        if not is_float(node) or node.controls:
            return False
        ports = self._adds(node, claim) or self._is_linear(node, claim)
        if ports:
            self._held[name] = ports
        return ports > 0

    def equals(self, old: str, name: str) -> bool:
        """Whether a node whose claim holds has the value of an old one, in output 0."""
        return name in self._held and self._sum([Value(old)]) == self._sum(self._claims[name])

    def _adds(self, node: Node, claim: tuple[Value, ...]) -> int:
        if node.op not in ("AddN", "Identity"):
            return 0
        found: Counter[int] = Counter()
        for operand in node.inputs:
            parts = self._parts(operand)
            if parts is None:
                return 0
            found.update(self._sum(parts))
        return int(found == self._sum(claim))

    def _is_linear(self, node: Node, claim: tuple[Value, ...]) -> int:
        """The number of outputs of which the claim holds."""
        members = [self._old[value.node] for value in claim]
        meaning = self._meaning(node)
        for member in members:
            if not self._is_pure(member.name) or member.controls or self._meaning(member) != meaning:
                return 0
        if any(value.port for value in claim):
            return 0
        return next((law.ports for law in LINEAR.get(node.op, ()) if self._obeys(law, node, members)), 0)

    def _obeys(self, law: Linear, node: Node, members: list[Node]) -> bool:
        operands = [member.inputs[law.operand] for member in members]
        for member in members:
            if len(member.inputs) != len(node.inputs):
                return False
            for place, (one, other) in enumerate(zip(member.inputs, node.inputs, strict=True)):
                if place != law.operand and (one.port != other.port or not self._is_equal(one.node, other.node)):
                    return False
        if not law.pinned and not all(self._extents.equal(operands[0], operand) for operand in operands):
            return False
        parts = self._parts(node.inputs[law.operand])
        return parts is not None and self._sum(parts) == self._sum(operands)

    def _is_equal(self, old: str, name: str) -> bool:
        return self._classes.get(name, -1) == self._classes[old]

    def _parts(self, operand: Value) -> Iterable[Value] | None:
        """What an operand of a node afterwards is the sum of."""
        if operand.node in self._held:
            claim = self._claims[operand.node]
            return (
                [Value(node, port + operand.port) for node, port in claim]
                if operand.port < self._held[operand.node]
                else None
            )
        return [operand] if operand.node in self._old else None

    def _sum(self, values: Iterable[Value]) -> Counter[int]:
        found: Counter[int] = Counter()
        for value in values:
            found.update(self._taken_apart(value))
        return found

    def _taken_apart(self, value: Value) -> Counter[int]:
        """A value as a multiset of the classes of its summands, a stack of our own, because sums are deep."""
        work = [value]
        while work:
            at = work[-1]
            node = self._old[at.node]
            if at.port or not self._is_sum(node):
                work.pop()
                continue
            missing = [operand for operand in node.inputs if self._of(operand) is None]
            if missing and node.name not in self._apart:
                work += missing
                continue
            work.pop()
            found: Counter[int] = Counter()
            for operand in node.inputs:
                found.update(self._of(operand))
            self._apart[node.name] = found
        return self._of(value) or Counter()

    def _of(self, value: Value) -> Counter[int] | None:
        node = self._old[value.node]
        if value.port or not self._is_sum(node):
            return Counter([self._classes[value.node] + value.port])
        return self._apart.get(node.name)

    def _is_sum(self, node: Node) -> bool:
        """Whether an old node adds its operands, and repeats none of them along an axis."""
        if node.op not in SUMS and node.op != "Identity":
            return False
        if not self._is_pure(node.name) or not is_float(node):
            return False
        return node.op in ("AddN", "Identity") or self._extents.equal(*node.inputs)
