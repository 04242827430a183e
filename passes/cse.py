"""Common-subexpression elimination of pure nodes, whole subgraphs at once because the numbering is recursive."""

from __future__ import annotations

from collections.abc import Iterable
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
    `stateless_random` and `quantization` merge such nodes as well; `cheap_large` merges large results that are cheap to
    compute even where they are used so far apart that to keep one takes more memory.
    """

    ops: tuple[str, ...] = ()
    stateless_random: bool = False
    quantization: bool = False
    cheap_large: bool = False

    def selects(self, context: Context, node: Node) -> bool:
        """Pure nodes of the wanted op types."""
        if node.op == "Const" or context.analyses.kinds[node.name] != PURE:
            return False
        return not self.ops or op_filter(self.ops)(node.op)

    def candidates(self, context: Context) -> Iterable[Group]:
        """Classes of congruent nodes; of one that has parts used far apart the parts, and then their first nodes."""
        if self.cheap_large or not context.analyses.repetition.is_possible:
            return super().candidates(context)
        return self._parts(context)

    def _parts(self, context: Context) -> Iterable[Group]:
        for group in super().candidates(context):
            parts = [] if group.public else context.analyses.repetition.parts(group.names)
            if not parts:
                yield group
                continue
            yield from (Group(part[0], tuple(part[1:])) for part in parts if len(part) > 1)
            yield Group(parts[0][0], tuple(part[0] for part in parts[1:]))

    def legal(self, context: Context, candidate: Group) -> Remark | None:
        """What all merges must satisfy, and the two kinds of nodes that stay apart by default."""
        flags = context.ops.facts(context.graph.nodes[candidate.survivor].op).flags
        if "stateless-random" in flags and not self.stateless_random:
            return context.remark("stateless-random", candidate.names)
        if "quantization-unit" in flags and not self.quantization:
            return context.remark("quantization-unit", candidate.names)
        return super().legal(context, candidate)

    def profitable(self, context: Context, candidate: Group) -> Remark | None:
        """What all merges must satisfy, and no parts that are used far apart."""
        if not self.cheap_large and context.analyses.repetition.is_possible:
            apart = context.analyses.repetition.between(candidate.names)
            if apart:
                return context.remark("cheap-to-repeat", candidate.names, apart)
        return super().profitable(context, candidate)
