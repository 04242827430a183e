"""Builds what a plan of `tfreuse.analysis.factoring` wants: sums of operands, and one op behind each."""

from __future__ import annotations

from collections.abc import Iterable

from tfreuse.analysis.factoring import Factoring, Part, Piece
from tfreuse.analysis.linear_sums import Factor, Key
from tfreuse.ir.attrs import Attr, Attrs
from tfreuse.ir.graph import ARGUMENT_OP, Node, Value
from tfreuse.ops.registry import Ops
from tfreuse.pipeline.rewriter import Rewriter

LINEARITY = "linearity"
"""The lemma of these merges: a sum goes into a linear op as it comes out. The proof has its own account of it."""


class FactoredSums:
    """Adds the nodes of one plan to a graph, each sum once, and lets them stand for the sums that they replace."""

    def __init__(self, plan: Factoring, ops: Ops, rewriter: Rewriter) -> None:
        self._plan, self._ops, self._rewriter = plan, ops, rewriter
        self._values = {key: Value(name) for key, name in plan.existing.items()}
        self._factors: dict[tuple[object, ...], str] = {}
        self._order = list(plan.place)
        self._behind: dict[str, int] = {}
        self._taken: set[str] = set()

    def replace(self, name: str) -> list[str]:
        """Let the new nodes stand for the sum `name`; gives the ops that it added up and that became one."""
        graph = self._rewriter.graph
        node, key = graph.nodes[name], self._plan.wanted[name]
        value = self._sum(key)
        if value.port or value.node in self._taken:
            # Two equal sums may stay apart for their users' sake (docs/adr/0005); this pass does not ask.
            attrs, again = Attrs({"T": node.attrs["T"]}), self._rewriter.fresh_name(f"{name}/again")
            self._add(Node(again, "Identity", (value,), attrs=attrs, device=node.device), key)
            value = Value(again)
        self._taken.add(value.node)
        alias = self._ops.output_types(node.op, node.attrs)[0] if name in graph.kept else None
        self._rewriter.merge(name, value.node, alias, lemma=LINEARITY)
        factors = [piece for piece in self._plan.pieces(key) if isinstance(piece, Factor)]
        return [member for factor in factors for member in dict.fromkeys(factor.members)]

    def _sum(self, key: Key) -> Value:
        """The value of a sum, those that it needs first."""
        work = [key]
        while work:
            pieces = self._plan.pieces(work[-1])
            first = [
                piece.inner if isinstance(piece, Factor) else piece.key
                for piece in pieces
                if not isinstance(piece, Value)
            ]
            missing = [found for found in first if found not in self._values]
            if missing:
                work += missing
                continue
            at = work.pop()
            if at not in self._values:
                self._values[at] = self._added_up(at)
        return self._values[key]

    def _added_up(self, key: Key) -> Value:
        values = tuple(self._value(piece) for piece in self._plan.pieces(key))
        if len(values) == 1:
            return values[0]
        last = self._last(value.node for value in key)
        (kind,) = {self._type(value) for value in key}
        attrs = Attrs({"N": Attr("i", len(values)), "T": Attr("type", kind)})
        node = Node(self._rewriter.fresh_name(f"{last.name}/sum"), "AddN", values, attrs=attrs, device=last.device)
        self._add(node, key)
        return Value(node.name)

    def _value(self, piece: Piece) -> Value:
        if isinstance(piece, Part):
            return self._values[piece.key]
        return self._applied(piece) if isinstance(piece, Factor) else piece

    def _applied(self, factor: Factor) -> Value:
        """The op on the sum of its members' operands; one node for all of its outputs."""
        like = self._rewriter.graph.nodes[factor.members[0]]
        shared = (factor.members, factor.law)
        if shared not in self._factors:
            last = self._last(factor.members)
            inputs = list(like.inputs)
            for place in range(len(inputs)):
                if place != factor.law.operand and self._plan.is_made_again(factor, place):
                    inputs[place] = self._made_again(factor, place)
            inputs[factor.law.operand] = self._values[factor.inner]
            attrs = like.attrs.updated({"_output_shapes": None, "_class": None})
            name = self._rewriter.fresh_name(f"{last.name}/of_sum")
            node = Node(name, like.op, tuple(inputs), attrs=attrs, device=like.device)
            self._add(node, tuple(Value(member) for member in factor.members))
            self._factors[shared] = name
        return Value(self._factors[shared], factor.port)

    def _made_again(self, factor: Factor, place: int) -> Value:
        """An operand that each member held back until its own gradient was there: one that waits for their sum."""
        last = self._last(self._rewriter.graph.nodes[name].inputs[place].node for name in factor.members)
        awaited = self._values[factor.inner].node
        key = (last.op, last.attrs, last.inputs, last.device, awaited)
        if key not in self._factors:
            name = self._rewriter.fresh_name(f"{last.name}/again")
            attrs = last.attrs.updated({"_output_shapes": None, "_class": None})
            controls = frozenset([awaited]) & self._rewriter.added.keys()
            self._add(Node(name, last.op, last.inputs, controls, attrs, last.device))
            self._factors[key] = name
        return Value(self._factors[key])

    def _add(self, node: Node, sum_of: Key = ()) -> None:
        """Add a node, in the list right behind the last of what it uses."""
        used = [*(source for source, _ in node.inputs), *node.controls]
        self._behind[node.name] = place = max(self._behind.get(name, self._plan.place.get(name, 0)) for name in used)
        self._rewriter.add(node, self._order[min(place + 1, len(self._order) - 1)], sum_of)

    def _last(self, names: Iterable[str]) -> Node:
        return self._rewriter.graph.nodes[max(names, key=self._plan.place.__getitem__)]

    def _type(self, value: Value) -> int:
        node = self._rewriter.graph.nodes[value.node]
        if node.op == ARGUMENT_OP:
            return int(node.attrs.value("T"))
        return self._ops.output_types(node.op, node.attrs)[value.port]
