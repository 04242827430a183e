"""Finds the calls of a graph that are worth inlining: which share something, and what trials say of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tfreuse.analysis.analyses import Analyses
from tfreuse.analysis.effects import EFFECT, READ, Effects, Summaries
from tfreuse.analysis.inlinable import CALLS, Inlinable, behind_optional
from tfreuse.analysis.live import live_nodes
from tfreuse.ir.graph import Graph, Node
from tfreuse.ir.order import topological
from tfreuse.pipeline.inlining import Path, Unfolding
from tfreuse.pipeline.inlining_trial import Gain, Trial, Weights, merged
from tfreuse.pipeline.passes import Pass
from tfreuse.pipeline.rewriter import Rewriter

_DEPTH = 16
"""So many calls, each in the body of the one before, are followed."""


_DEAD = "beside it is an effect of which nothing says whether it runs"


class Search:
    """Looks for calls of one graph to inline; `worth` ops pay for a convolution or a matrix product.

    `limit` is the number of nodes that one trial may bring; `exceeded` says whether a trial was too large for it.
    `refused` has calls that share an operand with another and must stay, with the reason.
    """

    def __init__(self, analyses: Analyses, following: Sequence[Pass], worth: int, limit: int) -> None:
        self._analyses = analyses
        self._following = following
        self._worth = worth
        self._limit = limit
        self._summaries: Summaries = analyses.summaries
        self._inlinable = Inlinable(self._summaries)
        self._weights = Weights(self._summaries)
        self._nested: dict[str, list[str]] = {}
        self._staying: set[str] = set()
        self.exceeded = False
        self.refused: dict[str, str] = {}

    def unfold(self, chosen: frozenset[Path], rewriter: Rewriter) -> Unfolding:
        """Hand the edits that inline `chosen` to a rewriter of the graph."""
        unfolding = Unfolding(self._analyses.graph, self._summaries, self._inlinable, chosen)
        unfolding.onto(rewriter)
        return unfolding

    def round(self, chosen: frozenset[Path]) -> frozenset[Path]:
        """The calls to inline in addition to those `chosen`; none where no trial pays.

        What the following passes merge anyway is merged before anything is tried, calls among it: what comes of this
        is what a second run of the pipeline would find.
        """
        analyses, places = self._analyses, {}
        if chosen:
            rewriter = Rewriter(analyses.graph, "trial")
            places = self.unfold(chosen, rewriter).places
            analyses = Analyses(rewriter.finish(), self._summaries)
        if not self._sharing(analyses):
            return frozenset()
        view, merges = merged(analyses.graph, self._summaries, self._following)
        alike: dict[str, list[str]] = {}
        for duplicate, survivor in merges:
            alike.setdefault(survivor, [survivor]).append(duplicate)
        stay = {survivor for survivor, names in alike.items() if any(name in self._staying for name in names)}
        calls = [name for name in self._sharing(Analyses(view, self._summaries)) if name not in stay]
        found = self._tried(view, frozenset((name,) for name in calls)) if calls else frozenset()
        return frozenset(
            (*places.get(name, (name,)), *path[1:]) for path in found for name in alike.get(path[0], path[:1])
        )

    def _tried(self, graph: Graph, paths: frozenset[Path]) -> frozenset[Path]:
        """What of `paths`, or of the calls in their bodies, pays."""
        for _ in range(_DEPTH):
            if self._size(graph, paths) > self._limit:
                self.exceeded = True
                break
            trial = self._trial(graph, paths)
            paying = [group for group in trial.groups() if self._pays(trial.gain(group))]
            if paying:
                for kept in (frozenset().union(*paying), frozenset().union(*map(trial.whole, paying))):
                    if self._pays(self._trial(graph, kept).net()):
                        return kept
            deeper = paths.union(inner for path in paths for inner in self._inside(graph, path))
            if deeper == paths:
                break
            paths = deeper
        return frozenset()

    def _pays(self, gain: Gain) -> bool:
        saved = gain.saved
        return max(saved) > 0 and saved.ops + self._worth * saved.heavy >= gain.growth

    def _trial(self, graph: Graph, paths: frozenset[Path]) -> Trial:
        return Trial(graph, paths, self._summaries, self._inlinable, self._following, self._weights)

    def _sharing(self, analyses: Analyses) -> list[str]:
        """Calls that may be inlined and share an operand with another call, or a resource with a node that reads it."""
        graph, live = analyses.graph, live_nodes(analyses.graph)
        calls = [node for node in graph.nodes.values() if node.op in CALLS and node.name in live]
        if not calls or analyses.effects.has_frames:
            return []
        optional = behind_optional(graph, analyses.kinds, analyses.order)
        dead = bool(graph.outputs) and not live.issuperset(analyses.kinds.names(EFFECT))
        refusals = {call.name: _DEAD if dead else self._inlinable.refusal(graph, call, optional) for call in calls}
        self._staying.update(name for name, reason in refusals.items() if reason)
        if all(refusals.values()) and len(calls) < 2:
            return []
        users = self._users(analyses, calls)
        sharing = [call for call in calls if any(len(users[key]) > 1 for key in self._keys(analyses, call))]
        for call in sharing:
            if refusals[call.name] and call.name not in self.refused and self._weights.of([call]).heavy:
                self.refused[call.name] = refusals[call.name]
        return [call.name for call in sharing if not refusals[call.name]]

    def _users(self, analyses: Analyses, calls: list[Node]) -> Mapping[int, set[str]]:
        """By operand, as the congruence numbers it, the calls and the reads that use it."""
        users: dict[int, set[str]] = {}
        kinds, calling = analyses.kinds, {call.name for call in calls}
        for name, node in analyses.graph.nodes.items():
            if name in calling or (kinds[name] == READ and node.inputs):
                for key in self._keys(analyses, node):
                    users.setdefault(key, set()).add(name)
        return users

    def _keys(self, analyses: Analyses, node: Node) -> Iterator[int]:
        number, nodes = analyses.congruence.number, analyses.graph.nodes
        return (number[source] + port for source, port in node.inputs if nodes[source].op != "Const")

    def _inside(self, graph: Graph, path: Path) -> list[Path]:
        """The calls in the body of the call at the end of `path` that may be inlined."""
        body = graph
        for name in path:
            found = self._inlinable.body(body.nodes[name])
            assert found is not None
            body = found
        if body.name not in self._nested:
            optional = behind_optional(body, Effects(body, self._summaries).kinds(), topological(body))
            self._nested[body.name] = [
                name
                for name in sorted(self._inlinable.needed(body))
                if body.nodes[name].op in CALLS and not self._inlinable.refusal(body, body.nodes[name], optional)
            ]
        return [(*path, name) for name in self._nested[body.name]]

    def _size(self, graph: Graph, paths: frozenset[Path]) -> int:
        """The nodes that inlining `paths` brings."""
        total = 0
        for path in paths:
            body = graph
            for name in path:
                body = self._inlinable.body(body.nodes[name]) or body
            total += len(self._inlinable.needed(body))
        return total
