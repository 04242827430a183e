"""Merges reads of state that see the same state: the two `ReadVariableOp`s of a layer that is called twice."""

from __future__ import annotations

from dataclasses import dataclass

from tfreuse.analysis.effects import READ
from tfreuse.ir.graph import Node
from tfreuse.pipeline.merging import MergePass
from tfreuse.pipeline.passes import Context


@dataclass(frozen=True)
class DedupeReads(MergePass):
    """Two reads merge when no write is forced between them (`tfreuse.analysis.memory` has the argument).

    Calls, branches and loops whose bodies only read count as reads.
    """

    def selects(self, context: Context, node: Node) -> bool:
        """Nodes that read state and do nothing else."""
        return context.analyses.kinds[node.name] == READ
