"""Says how many nodes a graph has; changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tfreuse.pipeline.passes import Context, Pass
from tfreuse.pipeline.rewriter import Rewriter
from tfreuse.remarks.catalogue import ANALYSIS, Entry


@dataclass(frozen=True)
class CountNodes(Pass):
    """Option: `ops`, the op types that are counted, all by default."""

    ops: tuple[str, ...] = ()

    catalogue = (
        Entry("nodes-counted", ANALYSIS, "The number of nodes that a graph had at this point of the pipeline."),
    )

    def candidates(self, context: Context) -> Iterable[str]:
        """None: there is nothing to rewrite."""
        return ()

    def finish(self, context: Context, rewriter: Rewriter) -> None:
        """Leave the remark."""
        counted = [node for node in context.graph.nodes.values() if not self.ops or node.op in self.ops]
        context.remarks.add(context.remark("nodes-counted", (), f"{len(counted)} nodes"))
