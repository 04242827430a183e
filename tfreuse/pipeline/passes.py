"""What a pass is: a frozen dataclass whose fields are its options, and four questions about each candidate."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tfreuse.analysis.analyses import Analyses
from tfreuse.ir.graph import Graph, Value
from tfreuse.ops.registry import Ops
from tfreuse.pipeline.rewriter import Rewriter
from tfreuse.remarks.catalogue import Entry, declare
from tfreuse.remarks.remark import Remark, Remarks

BITWISE = "bitwise"
"""The rewritten graph gives the same bits."""
REASSOCIATES = "reassociates"
"""The rewritten graph is equal in real arithmetic and may round differently."""


Lemma = Callable[[Graph, str], Value | None]
"""A law by which a node (by name) has the value of another, of one output both; None where the law does not hold.
The proof asks it again, of the graph as it was before the pipeline."""


@dataclass(frozen=True)
class Context:
    """What a pass may ask: the graph, its analyses, the op tables; and where it leaves its remarks.

    `orphans` are operands of nodes that earlier passes merged, without those of the survivors; `following` are the
    passes that come next; `added` names nodes that passes added.
    """

    graph: Graph
    analyses: Analyses
    ops: Ops
    remarks: Remarks
    by: str
    orphans: Collection[str] = ()
    following: tuple[Pass, ...] = ()
    added: Collection[str] = ()

    def remark(self, id: str, nodes: Iterable[str], detail: str = "", field: str = "") -> Remark:
        """A remark of this pass about nodes of this graph."""
        return Remark(id, self.graph.name, tuple(nodes), detail, field, self.by)


class Pass:
    """Base of all passes. A subclass is a frozen dataclass in a file that bears its name.

    For each of `candidates`, `legal` and `profitable` give None or the remark that refuses it, and `apply` hands
    the edits to the rewriter. `candidates`, `legal` and `profitable` change nothing.
    """

    exactness: ClassVar[str] = BITWISE
    preserves: ClassVar[frozenset[str]] = frozenset()
    """Analyses that hold for the graph it leaves: "order", "congruence" (see `Analyses.after`)."""
    catalogue: ClassVar[tuple[Entry, ...]] = ()
    """The kinds of remarks that only this pass makes."""
    lemmas: ClassVar[Mapping[str, Lemma]] = {}
    """What this pass knows beyond congruence, by name, for the proof of its merges."""
    stacks: ClassVar[bool] = False
    """Whether it needs no more of the graph than its classes of congruent nodes, so that its edits can be carried
    out together with those of the passes before it."""
    whole: ClassVar[bool] = False
    """Whether it needs a whole model, because the functions of a traced function in memory are not its own."""

    def __init_subclass__(cls) -> None:
        declare(cls.catalogue)

    @classmethod
    def name(cls) -> str:
        """The name in pipeline texts: `DedupeReads` is `dedupe-reads`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()

    def candidates(self, context: Context) -> Iterable[Any]:
        """What might be rewritten."""
        raise NotImplementedError  # each pass answers, unless it has a `run` of its own

    def legal(self, context: Context, candidate: Any) -> Remark | None:
        """None if the rewrite is proved to be right, else the refusal."""
        return None

    def profitable(self, context: Context, candidate: Any) -> Remark | None:
        """None if the rewrite pays, else the refusal."""
        return None

    def apply(self, context: Context, candidate: Any, rewriter: Rewriter) -> None:
        """Hand the edits for one candidate to the rewriter."""
        raise NotImplementedError  # as for `candidates`

    def finish(self, context: Context, rewriter: Rewriter) -> None:
        """Called once after all candidates, before the edits are carried out."""

    def run(self, context: Context, rewriter: Rewriter) -> None:
        """Ask the four questions about every candidate; the edits are handed to `rewriter`."""
        for candidate in self.candidates(context):
            refusal = self.legal(context, candidate) or self.profitable(context, candidate)
            if refusal is not None:
                context.remarks.add(refusal)
            else:
                self.apply(context, candidate, rewriter)
        self.finish(context, rewriter)
