"""One graph on its way through a pipeline: what it has become, the edits so far, and the analyses that still hold."""

from __future__ import annotations

from collections.abc import Mapping

from tfreuse.analysis.analyses import Analyses
from tfreuse.analysis.effects import READ, Summaries
from tfreuse.analysis.races import parted_reads
from tfreuse.ir.graph import Graph, Node, Value
from tfreuse.ir.order import check_graph, topological
from tfreuse.pipeline.passes import Context, Pass
from tfreuse.pipeline.rewriter import Edit, Rewriter
from tfreuse.remarks.remark import Remark, Remarks

_NOTHING = Node("", "")


class GraphRun:
    """Runs passes on one graph; a pass that raises leaves no trace but its remarks.

    The edits of passes that stack (`Pass.stacks`) are collected and carried out in one sweep, when a pass needs
    the graph or at the end.
    """

    def __init__(
        self,
        graph: Graph,
        summaries: Summaries,
        too_large: Mapping[str, str] | None = None,
        apart: frozenset[str] = frozenset(),
    ) -> None:
        self.graph = graph
        self.journal: list[Edit] = []
        self.equal: dict[str, str] = {}
        """Reads that were found equal to another and stay, on which merges of what uses them rely."""
        self.added: dict[str, Node] = {}
        """The nodes that passes added, as they were then; later passes may have merged some away."""
        self.sums: dict[str, tuple[Value, ...]] = {}
        """Of what some of these are the sums."""
        self._analyses = Analyses(graph, summaries, apart)
        self._analyses.too_large = too_large or {}
        self._pending: Rewriter | None = None
        self._orphans: dict[str, None] = {}
        self._held: frozenset[str] = frozenset()

    def run(self, step: Pass, remarks: Remarks, following: tuple[Pass, ...] = ()) -> None:
        """Run one pass, which is told what comes next.

        Raises:
            GraphError: if the pass left a dangling edge or a cycle; and whatever else it raises.
        """
        if not step.stacks:
            self.settle()
        rewriter = Rewriter(self.graph, step.name(), self._pending)
        ops, orphans = self._analyses.summaries.ops, self._orphans.keys()
        context = Context(self.graph, self._analyses, ops, remarks, step.name(), orphans, following, self.added.keys())
        step.run(context, rewriter)
        gone = {edit.node for edit in rewriter.journal if edit.kind not in ("order", "add")}
        if step.stacks:
            self._pending = rewriter
            self._analyses = self._analyses.without(gone)
        else:
            if any(edit.kind in ("merge", "alias") for edit in rewriter.journal):
                self._note_equal_reads()
            rewritten = rewriter.finish()
            if rewritten is not self.graph and "order" not in step.preserves:
                check_graph(rewritten)
            self._analyses = self._analyses.after(rewritten, step.preserves, gone)
            self.graph = rewritten
        self._note(rewriter)

    def settle(self) -> None:
        """Carry out the edits that are pending."""
        if self._pending is not None:
            self._note_equal_reads()
            self._held = frozenset(self._analyses.__dict__.get("held_apart", ()))
            rewritten = self._pending.finish()
            self._analyses = self._analyses.after(rewritten, frozenset({"order", "congruence"}), set())
            self.graph = rewritten
            self._pending = None

    def released(self) -> frozenset[str]:
        """Nodes that had to stay apart and need not any more, because what held them merged away.

        A public node may have stayed for want of the first place in the order: an equal one cannot give way to a later
        one. Once operands have merged, the order may be the other way round.
        """
        held = self._held & self.graph.nodes.keys()
        found = held.difference(self._analyses.held_apart) if held else held
        stayed = self._stayed()
        if stayed:
            place = {name: index for index, name in enumerate(topological(self.graph))}
            found = found.union([public for first, public in stayed if place[public] < place[first]])
        return found

    def _stayed(self) -> list[tuple[str, str]]:
        """Public nodes behind an equal one that is not, in the order that the passes went by."""
        kept, nodes = self.graph.kept, self.graph.nodes
        if not kept or "congruence" not in self._analyses.__dict__:
            return []
        return [
            (first, public)
            for first, *others in self._analyses.congruence.classes
            for public in kept.intersection(others)
            if first not in kept and first in nodes and public in nodes
        ]

    def renew(self) -> None:
        """Analyse the graph as it is now, its order too."""
        too_large = self._analyses.too_large
        self._analyses = Analyses(self.graph, self._analyses.summaries, self._analyses.apart)
        self._analyses.too_large = too_large

    def parted(self) -> dict[str, Remark]:
        """Reads that stay beside an equal one, each with the remark that says what may come between the two.

        Whatever was merged because these are equal must be taken back: a caller may pass one variable as two arguments.
        """
        names = {*self.equal, *self.equal.values()}
        here = names.intersection(self.graph.nodes)
        here.difference_update(node for kind, node, _, _, _ in self.journal if kind == "merge" or kind == "alias")
        left: dict[str, list[str]] = {}
        for read, first in self.equal.items():
            members = left.setdefault(first, [first] if first in here else [])
            if read in here:
                members.append(read)
        staying = {read: members[0] for members in left.values() for read in members[1:]}
        if not staying:
            return {}
        analyses = self._analyses
        parted = parted_reads(self.graph, analyses.effects, analyses.kinds, analyses.order, staying)
        detail = "a write may come between, should two handles be of one variable"
        return {read: Remark("racing-reads", self.graph.name, (staying[read], read), detail) for read in sorted(parted)}

    def _note(self, rewriter: Rewriter) -> None:
        self.journal += rewriter.journal
        self.added.update(rewriter.added)
        self.sums.update(rewriter.sums)
        nodes = rewriter.graph.nodes
        if self.added:
            nodes = {**self.added, **nodes}
        pairs = [(nodes[name], nodes[rewriter.forward[name]]) for name in rewriter.loose]
        # A body need not use every operand of its call.
        inlined = [name for kind, name, _, _, _ in rewriter.journal if kind == "inline" and name in nodes]
        pairs += [(nodes[name], _NOTHING) for name in inlined]
        sources = [value.node for one, other in pairs for value in one.inputs if value not in other.inputs]
        controls = [name for one, other in pairs for name in sorted(one.controls - other.controls)]
        self._orphans.update(dict.fromkeys([*sources, *controls]))

    def _note_equal_reads(self) -> None:
        if "congruence" in self._analyses.__dict__:
            kinds = self._analyses.kinds
            for first, *others in self._analyses.congruence.classes:
                if kinds[first] == READ:
                    self.equal.update(dict.fromkeys(others, first))
