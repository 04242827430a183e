"""Common-subexpression elimination of pure nodes, whole subgraphs at once because the numbering is recursive."""

from __future__ import annotations

from dataclasses import dataclass

from tfreuse.analysis.effects import PURE
from tfreuse.ir.graph import Node
from tfreuse.ops.families import op_filter
from tfreuse.pipeline.merging import Group, MergePass
from tfreuse.pipeline.passes import Context
from tfreuse.remarks.remark import Remark


@dataclass(frozen=True)
class Cse(MergePass):
    """Merges pure nodes with congruent operands, constants aside (`dedupe-constants` merges those).

    Options: `ops`, op types or families (`conv`: convolutions and what feeds and follows them), all by default;
    `stateless_random` and `quantization` merge such nodes as well.
    """

    ops: tuple[str, ...] = ()
    stateless_random: bool = False
    quantization: bool = False

    def selects(self, context: Context, node: Node) -> bool:
        """Pure nodes of the wanted op types."""
        if node.op == "Const" or context.analyses.kinds[node.name] != PURE:
            return False
        return not self.ops or op_filter(self.ops)(node.op)

    def legal(self, context: Context, candidate: Group) -> Remark | None:
        """What all merges must satisfy, and the two kinds of nodes that stay apart by default."""
        flags = context.ops.facts(context.graph.nodes[candidate.survivor].op).flags
        if "stateless-random" in flags and not self.stateless_random:
            return context.remark("stateless-random", candidate.names)
        if "quantization-unit" in flags and not self.quantization:
            return context.remark("quantization-unit", candidate.names)
        return super().legal(context, candidate)
