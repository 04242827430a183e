"""All analyses of one graph, each computed when it is first asked for and kept as long as the graph stands."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from functools import cached_property

from tfreuse.analysis.apart import held_apart
from tfreuse.analysis.clobber import clobbered
from tfreuse.analysis.congruence import Congruence
from tfreuse.analysis.effects import FIXED, READ, Effects, Summaries
from tfreuse.analysis.gradients import custom_gradients
from tfreuse.analysis.kinds import Kinds
from tfreuse.analysis.memory import Memory
from tfreuse.analysis.races import racing_reads
from tfreuse.analysis.repetition import Repetition
from tfreuse.ir.graph import Graph
from tfreuse.ir.order import topological


class Analyses:
    """The analyses of `graph`; `summaries` tell what calls do, `apart` names reads that are equal to no other."""

    def __init__(self, graph: Graph, summaries: Summaries, apart: frozenset[str] = frozenset()) -> None:
        self.graph = graph
        self.summaries = summaries
        self.apart = apart
        self.racing: frozenset[str] = frozenset()
        self.too_large: Mapping[str, str] = {}
        """Survivors that would take more memory than the user allows, with a text that says how much."""

    @cached_property
    def order(self) -> list[str]:
        """Topological order of the node names."""
        return topological(self.graph)

    @cached_property
    def effects(self) -> Effects:
        """What nodes read and write."""
        return Effects(self.graph, self.summaries)

    @cached_property
    def kinds(self) -> Kinds:
        """The class of every node; arguments, and reads that race with a write, are fixed."""
        kinds = self.effects.kinds().but(self.graph.arguments, FIXED)
        self.racing = racing_reads(self.graph, self.effects, kinds, self.order)
        return kinds.but(self.racing | (self.apart & self.graph.nodes.keys()), FIXED)

    @cached_property
    def memory(self) -> Memory:
        """Which state nodes see."""
        return Memory(self.graph, self.kinds, self.order, self.effects.has_frames, bool(self.racing))

    @cached_property
    def clobbered(self) -> frozenset[str]:
        """Nodes whose buffer may be overwritten."""
        return clobbered(self.graph, self.summaries.ops, self.summaries.overwriting)

    @cached_property
    def custom_gradients(self) -> frozenset[str]:
        """Nodes whose gradient the user wrote."""
        return custom_gradients(self.graph, self.summaries.customized)

    @cached_property
    def congruence(self) -> Congruence:
        """Value numbers and classes of equal nodes."""
        # A frozen read stays another node, and may race with a write that its twin comes before.
        frozen_reads = {name for name in self.graph.frozen if self.kinds.get(name) == READ}
        alone = self.clobbered | self.custom_gradients | frozen_reads
        summaries = self.summaries
        return Congruence(self.graph, summaries.ops, self.memory, self.order, alone, lambda: summaries.fingerprints)

    @cached_property
    def held_apart(self) -> dict[str, str]:
        """Nodes that must not be merged although they are congruent to others, with the id of a remark."""
        return held_apart(self.graph, self.congruence.number)

    @cached_property
    def repetition(self) -> Repetition:
        """Which equal nodes had better be computed twice."""
        alone = self.graph.frozen | self.held_apart.keys()
        return Repetition(self.graph, self.order, self.congruence.number, self.summaries.ops, alone)

    def without(self, gone: set[str]) -> Analyses:
        """The same analyses, with classes of congruent nodes that leave out `gone`."""
        other = copy(self)
        other.congruence = self.congruence.without(gone)
        return other

    def after(self, graph: Graph, preserved: frozenset[str], gone: set[str]) -> Analyses:
        """Analyses of the graph that a pass left, with those that it says it preserved carried over.

        `gone` are the nodes that it merged away, turned into aliases or removed.

        *order* is preserved by a pass that only drops nodes and redirects uses to earlier ones, *congruence* by
        one that only merges congruent nodes and drops unused ones.
        """
        if graph is self.graph:
            return self
        fresh = Analyses(graph, self.summaries, self.apart)
        fresh.too_large = self.too_large
        if "order" in preserved and "order" in self.__dict__ and not self.graph.known_ordered:
            fresh.order = list(filter(graph.nodes.__contains__, self.order))
        if "congruence" in preserved and "congruence" in self.__dict__:
            fresh.congruence = self.congruence.without(gone)
            fresh.kinds = self.kinds
            fresh.racing = self.racing
        return fresh
