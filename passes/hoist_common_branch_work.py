"""Work that all branches of an `If` or a `Case` do on the same operands: computed once, in front of it."""

from __future__ import annotations

from dataclasses import dataclass

from tfreuse.analysis.movable import BRANCHES
from tfreuse.ir.graph import Node
from tfreuse.pipeline.moves import HoistPass


@dataclass(frozen=True)
class HoistCommonBranchWork(HoistPass):
    """Moves what every branch runs, so that nothing runs that did not; its value is an operand more of each branch.

    One branch runs at a time: what is saved is a copy of the work in the model, and the work itself where it is also
    done outside the branches, or in those of another call.
    """

    scope = "common"
    ops = BRANCHES

    def functions(self, node: Node) -> tuple[list[str], list[str]]:
        """All branches."""
        return [function.name for function in node.attrs.functions], []
