"""Work in the body of a loop that is the same in every iteration: computed once, in front of the loop."""

from __future__ import annotations

from dataclasses import dataclass

from tfreuse.analysis.movable import LOOPS
from tfreuse.ir.graph import Node
from tfreuse.pipeline.moves import HoistPass, body_and_condition


@dataclass(frozen=True)
class HoistLoopInvariants(HoistPass):
    """Moves what depends only on loop variables that every iteration hands on as they are (`analysis.movable`).

    The loop may not run at all, so only what cannot fail moves; its value is one more loop variable that stays as it
    is. `maximum_iterations`, `parallel_iterations` and the outputs keep their places.
    """

    scope = "invariant"
    ops = LOOPS

    def functions(self, node: Node) -> tuple[list[str], list[str]]:
        """The body; beside it the condition."""
        return body_and_condition(node)
