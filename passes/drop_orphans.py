"""Removes nodes that nothing uses, whoever left them there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tfreuse.analysis.effects import PURE, READ
from tfreuse.pipeline.passes import Context, Pass
from tfreuse.pipeline.rewriter import Rewriter


@dataclass(frozen=True)
class DropOrphans(Pass):
    """Pure nodes and reads from which neither an output, nor a node that callers wait for, nor an effect is reached.

    TensorFlow prunes most of them whenever it instantiates the function. In the main graph of a TensorFlow 1 model
    anybody may fetch any node, so nothing goes there; that of a model with an object graph only holds variables and
    calls of signatures. A traced function in memory keeps its nodes as well, for gradients may ask for them.
    """

    preserves = frozenset({"order", "congruence"})
    whole = True

    def candidates(self, context: Context) -> Iterable[str]:
        """The nodes that nothing reaches, as the graph lists them."""
        graph = context.graph
        if not (graph.name or graph.closed):
            return
        kinds, stays = context.analyses.kinds, graph.roots | context.analyses.custom_gradients
        work = [name for name in graph.nodes if name in stays or kinds[name] not in (PURE, READ)]
        used = set(work)
        while work:
            node = graph.nodes[work.pop()]
            for source in (*(value.node for value in node.inputs), *node.controls):
                if source not in used:
                    used.add(source)
                    work.append(source)
        yield from (name for name in graph.nodes if name not in used)

    def apply(self, context: Context, candidate: str, rewriter: Rewriter) -> None:
        """Remove the node."""
        rewriter.remove(candidate)
