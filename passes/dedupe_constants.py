"""Merges constants of equal type, shape and bits, however the protocol buffer spells them."""

from __future__ import annotations

from dataclasses import dataclass

from tfreuse.ir.graph import Node
from tfreuse.pipeline.merging import MergePass
from tfreuse.pipeline.passes import Context


@dataclass(frozen=True)
class DedupeConstants(MergePass):
    """A constant in a branch of TF1 control flow keeps its control input, so it never leaves the branch."""

    def selects(self, context: Context, node: Node) -> bool:
        """Constants."""
        return node.op == "Const"
