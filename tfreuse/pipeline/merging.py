"""What all passes that merge congruent nodes share: who may vanish, who survives, which orders must be put back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tfreuse.analysis.ordering import lost_orders
from tfreuse.ir.graph import Node
from tfreuse.ops.schema import VARIANT
from tfreuse.pipeline.passes import Context, Pass
from tfreuse.pipeline.rewriter import Rewriter
from tfreuse.remarks.remark import Remark

PUBLIC = "name-is-public"
"""The remark about equal nodes of which one cannot give way, because the outside knows its name."""


class Group(NamedTuple):
    """Congruent nodes: the survivor is the first of them in topological order.

    `public` says that the outside knows the duplicates by name.
    """

    survivor: str
    duplicates: tuple[str, ...]
    public: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The survivor and the duplicates."""
        return (self.survivor, *self.duplicates)


class MergePass(Pass):
    """Base of the passes that merge congruent nodes of the kinds that `selects` accepts."""

    preserves = frozenset({"order", "congruence"})
    stacks = True

    def selects(self, context: Context, node: Node) -> bool:
        """Whether this pass is about nodes such as `node`."""
        raise NotImplementedError  # each pass answers

    def candidates(self, context: Context) -> Iterable[Group]:
        """Each class of congruent nodes; frozen nodes and nodes held apart take no part.

        Public duplicates come one by one.
        """
        nodes, kept, apart = context.graph.nodes, context.graph.kept, context.analyses.held_apart
        excluded = context.graph.frozen.union(apart)
        special = excluded | kept
        for names in context.analyses.congruence.classes:
            if not self.selects(context, nodes[names[0]]):
                continue
            if special.isdisjoint(names):
                yield Group(names[0], tuple(names[1:]))
                continue
            for name in sorted(apart.keys() & set(names)):
                context.remarks.add(context.remark(apart[name], [name, *sorted(set(names) - {name})]))
            survivor, *duplicates = [name for name in names if name not in excluded] or names[:1]
            private = tuple([name for name in duplicates if name not in kept])
            if private:
                yield Group(survivor, private)
            for name in duplicates:
                if name in kept:
                    yield Group(survivor, (name,), public=True)

    def legal(self, context: Context, candidate: Group) -> Remark | None:
        """Variants stay, and public nodes that cannot become an alias."""
        node = context.graph.nodes[candidate.survivor]
        types = context.ops.output_types(node.op, node.attrs)
        if VARIANT in types:
            return context.remark("variant-value", candidate.names)
        if node.op in ("Identity", "NoOp") and (candidate.public or candidate.survivor in context.graph.kept):
            # A private one beside a public one stays as well, as it does where the public one becomes an alias.
            return context.remark(PUBLIC, candidate.names, "an alias would cost as much as it saves")
        if candidate.public and len(types) != 1:
            return context.remark(PUBLIC, candidate.names, f"it has {len(types)} outputs")
        return None

    def profitable(self, context: Context, candidate: Group) -> Remark | None:
        """Not where the merged result would take more memory than the user allows."""
        detail = context.analyses.too_large.get(candidate.survivor)
        return None if detail is None else context.remark("memory-growth", candidate.names, detail)

    def apply(self, context: Context, candidate: Group, rewriter: Rewriter) -> None:
        """Merge the group; a public duplicate stays under its name as an alias."""
        alias_type = None
        if candidate.public:
            node = context.graph.nodes[candidate.survivor]
            (alias_type,) = context.ops.output_types(node.op, node.attrs)
        for duplicate in candidate.duplicates:
            rewriter.merge(duplicate, candidate.survivor, alias_type)

    def finish(self, context: Context, rewriter: Rewriter) -> None:
        """Put back the orders between reads and writes that the merges would lose.

        Among frames of TF1 control flow no edge may be added, so nothing is merged instead.
        """
        analyses = context.analyses
        lost = lost_orders(context.graph, analyses.effects, analyses.order, rewriter.forward, rewriter.loose)
        if lost and analyses.effects.has_frames:
            context.remarks.add(context.remark("order-in-frames", lost[0]))
            rewriter.abandon()
            return
        for read, write in lost:
            if rewriter.wait(write, read):
                context.remarks.add(context.remark("order-restored", (write, read)))
