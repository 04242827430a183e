"""Removes nodes that nothing uses any more because of a merge; what was unused before is left as it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from tfreuse.analysis.effects import PURE, READ
from tfreuse.ir.graph import Node
from tfreuse.pipeline.passes import Context, Pass
from tfreuse.pipeline.rewriter import Rewriter


@dataclass(frozen=True)
class Dce(Pass):
    """Works back from the operands of merged nodes; only pure nodes and reads go, and no public name."""

    preserves = frozenset({"order", "congruence"})

    def candidates(self, context: Context) -> Iterable[str]:
        """Unused operands of merged nodes, and what they alone used, users before operands."""
        graph = context.graph
        work = [name for name in context.orphans if name in graph.nodes]
        if not work:
            return
        used = {source for node in graph.nodes.values() for source, _ in node.inputs}
        used.update(*[node.controls for node in graph.nodes.values() if node.controls])
        if used.issuperset(name for name in work if name not in graph.roots):
            return
        uses: Counter[str] = Counter()
        for node in graph.nodes.values():
            uses.update(_sources(node))
        gone: set[str] = set()
        while work:
            name = work.pop()
            if uses[name] or name in graph.roots or name in gone:  # an orphan may be the operand of another
                continue
            if context.analyses.kinds[name] not in (PURE, READ):
                continue
            gone.add(name)
            yield name
            for source in _sources(graph.nodes[name]):
                uses[source] -= 1
                if not uses[source]:
                    work.append(source)

    def apply(self, context: Context, candidate: str, rewriter: Rewriter) -> None:
        """Remove the node."""
        rewriter.remove(candidate)


def _sources(node: Node) -> list[str]:
    return sorted({value.node for value in node.inputs} | node.controls)
