"""Overlapping windows that a loop moves over one value: computed once on their union, in front of the loop."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from tfreuse.analysis.analyses import Analyses
from tfreuse.analysis.effects import Summaries
from tfreuse.analysis.loops import Loop
from tfreuse.analysis.movable import LOOPS, Call, Movable
from tfreuse.analysis.moving import moving
from tfreuse.ir.graph import Module, Node
from tfreuse.pipeline.moves import MotionPass, Plan, body_and_condition, with_body
from tfreuse.pipeline.passes import REASSOCIATES
from tfreuse.pipeline.rolling import MAX_NODES, MAX_TRIPS, Rolling


@dataclass(frozen=True)
class ShareMovingWindows(MotionPass):
    """Shares what `share-overlap` shares, where the windows are those of a loop of which all iterations are known.

    The body cuts its window's result out of a computation on the union, which is then the same in each iteration and
    moves in front of the loop; either both happen or nothing does.

    Options: as those of `share-overlap`.
    """

    least: float = 1.2
    max_growth: float = 2.0

    exactness: ClassVar[str] = REASSOCIATES
    scope = "union"
    ops = LOOPS

    def functions(self, node: Node) -> tuple[list[str], list[str]]:
        """The body; beside it the condition."""
        return body_and_condition(node)

    def plan(self, call: Call, summaries: Summaries, analyses: Analyses) -> Plan:
        """The union's values, as the body has them once it is rolled up again."""
        loop = Loop(summaries.module, call.caller, call.node)
        trips = loop.trips
        if trips is None or trips < 2 or not any(slice.is_known for slice in moving(loop, call.node, self.least)):
            return Plan()
        if trips > MAX_TRIPS or trips * len(loop.body.nodes) > MAX_NODES:
            return Plan(why=f"it has more than {MAX_TRIPS} iterations, or more than {MAX_NODES} nodes in all of them")
        if Analyses(loop.body, summaries).effects.has_frames:
            return Plan(why="frames of TensorFlow 1 stand in its body")
        rolling = Rolling(loop, trips, summaries, self.least)
        rolled = rolling.rolled(call, self.max_growth)
        if isinstance(rolled, str):
            return Plan(why=rolled)
        module = with_body(summaries.module, rolled.body)
        again = call._replace(functions=(rolled.body,), runs=True)
        movable = Movable(again, Summaries(module, summaries.ops), analyses)
        numbers = movable.numbers[0]
        stays = [value.node for value in rolled.shared if value.node not in numbers]
        if stays:
            why = next(iter(movable.stays[0].values()), "something in it belongs to its iteration")
            return Plan(why=f"the union cannot move: {why}")
        outputs = [(numbers[value.node], value.port) for value in rolled.shared]
        return Plan(movable, outputs, [rolled.bytes], rolled, rolling.why())

    def missed(self, module: Module, caller: str, name: str, why: str) -> Iterable[tuple[str, str]]:
        """Windows whose results stay in the loop."""
        graph = module.graphs[caller]
        inside, beside = self.functions(graph.nodes[name])
        if inside and all(function in module.graphs for function in (*inside, *beside)):
            loop = Loop(module, graph, graph.nodes[name])
            for found in moving(loop, graph.nodes[name], self.least):
                if why or not found.is_known:  # else what it computes has nothing in common
                    reason = f"; {why}" if found.is_known else ""
                    yield "overlap-loop", f"{found.node} in its body: {found.detail}{reason}"
