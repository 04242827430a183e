"""Sums of gradients that share an operand become one gradient of the sum: f(a) + f(b) = f(a + b)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from tfreuse.analysis.cost import HEAVY
from tfreuse.analysis.factoring import Factoring
from tfreuse.ops.linear import LINEAR, SUMS
from tfreuse.pipeline.factoring import FactoredSums
from tfreuse.pipeline.passes import REASSOCIATES, Context, Pass
from tfreuse.pipeline.rewriter import Rewriter


@dataclass(frozen=True)
class FactorGradients(Pass):
    """What a layer that runs twice leaves in a training step once its forward pass is one: two gradients of one filter,
    added up. The sum moves in front of them, and on through all that lies between the layers (`Factoring`).

    A sum of floats is rounded in another order. What else uses a gradient keeps it, so that nothing is computed that
    was not computed before; a sum changes only if convolutions or matrix products are saved with it.
    """

    exactness: ClassVar[str] = REASSOCIATES

    def candidates(self, context: Context) -> Iterable[Factoring]:
        """The plan for all sums, if there are any to change; what stands in the way of others is remarked."""
        by_op = context.graph.by_op
        if SUMS.isdisjoint(by_op) or all(len(by_op.get(op, ())) < 2 for op in HEAVY & LINEAR.keys()):
            return
        if context.analyses.effects.has_frames:  # among frames and branches of TF1 an op may never run
            return
        plan = Factoring(context.analyses, context.added)
        for refused in plan.refused:
            context.remarks.add(context.remark(refused.id, refused.nodes))
        yield plan

    def apply(self, context: Context, candidate: Factoring, rewriter: Rewriter) -> None:
        """Put each sum in front of the ops whose results it added."""
        sums = FactoredSums(candidate, context.ops, rewriter)
        for name in sorted(candidate.wanted, key=candidate.place.__getitem__):
            context.remarks.add(context.remark("gradient-factored", (name, *sums.replace(name))))
