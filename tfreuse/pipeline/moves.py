"""What the passes that move work between functions have in common: they say what is to move out of one call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

from tfreuse.analysis.analyses import Analyses
from tfreuse.analysis.effects import Summaries
from tfreuse.analysis.movable import Call, Movable
from tfreuse.ir.graph import Graph, Module, Node
from tfreuse.pipeline.lifting import Output, Worth
from tfreuse.pipeline.passes import Context, Pass
from tfreuse.pipeline.rewriter import Rewriter
from tfreuse.pipeline.rolling import Rolled


class Plan(NamedTuple):
    """What is to move out of a call: terms of `movable`, with the bytes that their values take, None where not known.

    `rolled` is the loop's body that it is to move out of, where that is another. `why` says why nothing moves, or not
    all; nodes that stay although nothing in them changes are in `stays`, each with the reason.
    """

    movable: Movable | None = None
    outputs: Sequence[Output] = ()
    bytes: Sequence[int | None] = ()
    rolled: Rolled | None = None
    why: str = ""
    stays: Sequence[tuple[str, str]] = ()


class MotionPass(Pass):
    """Base of the passes that move work out of functions; such passes come first in a pipeline."""

    preserves: ClassVar[frozenset[str]] = frozenset({"order", "congruence"})
    scope: ClassVar[str] = ""
    """What the names of moved nodes have behind that of the call."""
    ops: ClassVar[frozenset[str]] = frozenset()

    def run(self, context: Context, rewriter: Rewriter) -> None:
        """Nothing to do in one graph."""

    def functions(self, node: Node) -> tuple[list[str], list[str]]:
        """The functions in which work is looked for, and those that run beside them."""
        raise NotImplementedError  # each pass answers

    def plan(self, call: Call, summaries: Summaries, analyses: Analyses) -> Plan:
        """What is to move; `analyses` are of the caller."""
        raise NotImplementedError  # as for `functions`

    def missed(self, module: Module, caller: str, name: str, why: str) -> Iterable[tuple[str, str]]:
        """Remarks (id and detail) on what is left in a call, behind a move as well; `why` says why nothing moved."""
        return ()


@dataclass(frozen=True)
class HoistPass(MotionPass):
    """Base of the passes that move what is the same in all iterations or branches.

    Options: what lies behind a value that moves is at least `multiply_adds` for each byte of the value, or takes at
    least `least_bytes` in results, and four times as many as the value.
    """

    multiply_adds: float = 0.5
    least_bytes: int = 65536

    def plan(self, call: Call, summaries: Summaries, analyses: Analyses) -> Plan:
        """All that pays."""
        movable = Movable(call, summaries, analyses)
        worth = Worth(movable, summaries.ops, self.multiply_adds, self.least_bytes)
        outputs = worth.chosen() if movable.terms else []
        stays = [(movable.terms[number].node.name, reason) for number, reason in sorted(worth.refused.items())]
        stays += [pair for found in movable.stays for pair in found.items()]
        return Plan(movable, outputs, [worth.costs[number].bytes for number, _ in outputs], stays=stays)


def body_and_condition(node: Node) -> tuple[list[str], list[str]]:
    """The body of a loop; beside it the condition, whose arguments have to be the same."""
    body, condition = node.attrs.value("body"), node.attrs.value("cond")
    return ([body.name], [condition.name]) if body is not None and condition is not None else ([], [])


def with_body(module: Module, body: Graph) -> Module:
    """The module with `body` in the place of the function of its name."""
    return replace(module, graphs={**module.graphs, body.name: body})
