"""Selective inlining: calls that hold equal work give way to the bodies of their functions, and no others do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tfreuse.analysis.inlinable import CALLS
from tfreuse.pipeline.inlining import Path
from tfreuse.pipeline.inlining_search import Search
from tfreuse.pipeline.passes import Context, Pass
from tfreuse.pipeline.rewriter import Rewriter


@dataclass(frozen=True)
class Inline(Pass):
    """Calls that share an operand, or a resource with a read beside them, are inlined on trial, as deeply as it takes.

    A trial stands if the passes that come next can merge work of two calls, and if that pays: the ops saved, with each
    convolution or matrix product counting `worth` times, are at least as many as the nodes that the graph grows by.
    Equal calls are left to those passes, which merge them whole. Options: `worth`; `max_nodes`, the nodes that one
    trial may bring; `rounds`, how often calls are looked for that share what an earlier round brought to light.
    """

    worth: int = 500
    max_nodes: int = 20_000
    rounds: int = 8

    def candidates(self, context: Context) -> Iterable[Search]:
        """One search, where there are calls."""
        if not CALLS.isdisjoint(context.graph.by_op):
            yield Search(context.analyses, context.following, self.worth, self.max_nodes)

    def apply(self, context: Context, candidate: Search, rewriter: Rewriter) -> None:
        """Inline what rounds of trials find to pay."""
        chosen: frozenset[Path] = frozenset()
        for _ in range(self.rounds):
            more = candidate.round(chosen)
            if not more:
                break
            chosen |= more
        else:
            context.remarks.add(context.remark("inline-limit", (), f"{self.rounds} rounds did not find an end"))
        if candidate.exceeded:
            context.remarks.add(context.remark("inline-limit", (), f"a trial would bring {self.max_nodes} nodes"))
        for call, reason in candidate.refused.items():
            context.remarks.add(context.remark("not-inlined", (call,), reason))
        if chosen:
            for call, scope in candidate.unfold(chosen, rewriter).inlined.items():
                context.remarks.add(context.remark("inlined", (call,), f"as {scope}"))
