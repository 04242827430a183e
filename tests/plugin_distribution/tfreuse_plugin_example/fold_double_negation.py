"""Lets the users of -(-x) use x: the sign bit flips twice, so the bits are those of x, NaN and -0.0 included."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from tfreuse.analysis.effects import PURE
from tfreuse.ir.graph import Graph, Value
from tfreuse.pipeline.passes import BITWISE, Context, Pass
from tfreuse.pipeline.rewriter import Rewriter
from tfreuse.remarks.catalogue import MISSED, Entry
from tfreuse.remarks.remark import Remark


class Pair(NamedTuple):
    """The node `outer` negates the node `inner`, which negates something."""

    outer: str
    inner: str


def double_negation(graph: Graph, name: str) -> Value | None:
    """-(-x) is x: the value that a node negates twice."""
    outer = graph.nodes[name]
    inner = graph.nodes[outer.inputs[0].node] if outer.op == "Neg" else outer
    return inner.inputs[0] if outer is not inner and inner.op == "Neg" else None


@dataclass(frozen=True)
class FoldDoubleNegation(Pass):
    """The inner negation stays for its other users; `dce` removes it where it has none."""

    exactness = BITWISE
    lemmas = {"double-negation": double_negation}  # noqa: RUF012  # a frozen dataclass's field it is not
    catalogue = (
        Entry(
            "double-negation-kept",
            MISSED,
            "A tensor is negated twice, and its users cannot be given the tensor itself.",
        ),
    )

    def candidates(self, context: Context) -> Iterable[Pair]:
        """Negations of negations, operands before users."""
        nodes, kind = context.graph.nodes, context.analyses.effects.kind
        for name in context.analyses.order:
            node = nodes[name]
            if node.op != "Neg" or name in context.graph.frozen or kind(node) != PURE:
                continue
            inner = nodes[node.inputs[0].node]
            if inner.op == "Neg" and kind(inner) == PURE:
                yield Pair(name, inner.name)

    def legal(self, context: Context, candidate: Pair) -> Remark | None:
        """The tensor must be there whenever its double negation would be, on the same device, and stay as it is."""
        nodes = context.graph.nodes
        outer, inner = nodes[candidate.outer], nodes[candidate.inner]
        value = inner.inputs[0]
        source = nodes[value.node]
        if outer.controls or inner.controls:
            reason = "a negation waits for another node"
        elif context.analyses.effects.kind(source) != PURE or value.port:
            reason = f"{source.op} is no pure op with one output"
        elif outer.device != source.device:
            reason = "the devices differ"
        elif outer.name in context.analyses.clobbered:
            reason = "an op may overwrite the result"
        else:
            return None
        return context.remark("double-negation-kept", candidate, reason)

    def apply(self, context: Context, candidate: Pair, rewriter: Rewriter) -> None:
        """Send the users of the outer negation to the operand of the inner one, or to what took its place."""
        outer = context.graph.nodes[candidate.outer]
        source = context.graph.nodes[candidate.inner].inputs[0].node
        alias_type = None
        if outer.name in context.graph.kept:
            (alias_type,) = context.ops.output_types(outer.op, outer.attrs)
        rewriter.merge(outer.name, rewriter.forward.get(source, source), alias_type, lemma="double-negation")
