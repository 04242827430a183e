"""Passes that move work between functions, which run before the passes over single graphs.

Each such pass looks at the loops or branches of one graph after the other, called functions first, so that what leaves
an inner loop can leave the outer one as well. A move changes a caller and makes new functions; it is judged (proved)
on its own as soon as it is made, and one that is refused is not made.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tfreuse.analysis.analyses import Analyses
from tfreuse.analysis.clobber import overwriters
from tfreuse.analysis.effects import EFFECT, READ, Summaries
from tfreuse.analysis.growth import Growth
from tfreuse.analysis.inlinable import STAYS
from tfreuse.analysis.movable import Call
from tfreuse.errors import ProofError
from tfreuse.ir.graph import Graph, Module, Node
from tfreuse.ir.order import check_graph
from tfreuse.ir.view import callees_first
from tfreuse.ops.registry import Ops
from tfreuse.pipeline.allowance import Limit
from tfreuse.pipeline.lifting import ORIGINAL, lift
from tfreuse.pipeline.limit import OutOfTime, within
from tfreuse.pipeline.moves import MotionPass, Plan, with_body
from tfreuse.pipeline.passes import Pass
from tfreuse.pipeline.rewriter import Edit
from tfreuse.remarks.remark import Remark, Remarks

Judge = Callable[[Module, Module, str, str], str]
"""Asked of the module before and after one move, the caller and the loop or branch: why it is refused, or nothing."""


BodyJudge = Callable[[Module, Graph, str, str, Mapping[str, str]], str]
"""Asked of another body of a loop before anything moves: the module, the body, the caller and the loop, and which nodes
are said to stand for which."""


@dataclass
class Motion:
    """What passes of this kind made of a module.

    `origins` leads from a new function to the one that it was made from; `journal` and `added` are by caller.
    """

    module: Module
    origins: dict[str, str] = field(default_factory=dict)
    journal: dict[str, list[Edit]] = field(default_factory=dict)
    added: dict[str, dict[str, Node]] = field(default_factory=dict)
    remarks: Remarks = field(default_factory=Remarks)
    seconds: dict[str, float] = field(default_factory=dict)
    failures: list[BaseException] = field(default_factory=list)


def run_motion(
    module: Module,
    ops: Ops,
    pipeline: Sequence[Pass],
    *,
    skip: Collection[str] = (),
    judge: Judge | None = None,
    judge_body: BodyJudge | None = None,
    outside: Collection[str] = (),
    limit: Limit | None = None,
    raise_failures: bool = False,
    time_limit: float | None = None,
) -> Motion:
    """Run the passes of `pipeline` that move work, over the graphs that are not in `skip`.

    `outside` are functions that something beside the module names; of the others, those that no node names any more
    go. With a `limit`, what moves out of a graph's calls may take no more bytes than that.

    Raises:
        whatever a pass or `judge` raises, with `raise_failures`; else the pass's moves are undone.
    """
    found = Motion(module)
    for step in pipeline:
        if not isinstance(step, MotionPass):
            continue
        trial = replace(
            found,
            origins={**found.origins},
            journal={**found.journal},
            added={**found.added},
            remarks=Remarks({**found.remarks.items}),
            failures=[*found.failures],
        )
        started = time.perf_counter()
        try:
            within(time_limit, _Run(step, trial, ops, frozenset(skip), (judge, judge_body), limit, raise_failures).all)
            found = trial
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # as for other passes: whatever it raises must not cost the model
            if raise_failures:
                raise
            late = isinstance(error, OutOfTime)
            detail = f"not done within {time_limit} s" if late else f"{type(error).__name__}: {error}"
            found.failures.append(error)
            found.remarks.add(Remark("time-limit" if late else "pass-failed", "", (), detail, by=step.name()))
        found.seconds[step.name()] = time.perf_counter() - started
    if found.origins:
        found.module = _without_leftovers(found, outside)
    return found


def first_origin(origins: Mapping[str, str], name: str) -> str:
    """The function that a function was first made from."""
    while name in origins:
        name = origins[name]
    return name


class _Run:
    """One pass on its way through a module."""

    def __init__(
        self,
        step: MotionPass,
        motion: Motion,
        ops: Ops,
        skip: frozenset[str],
        judges: tuple[Judge | None, BodyJudge | None],
        limit: Limit | None,
        raises: bool,
    ) -> None:
        self._step, self._motion, self._ops, self._skip = step, motion, ops, skip
        (self._judge, self._judge_body), self._limit = judges, limit
        self._raises = raises
        self._left: int | None = None
        self._summaries: Summaries | None = None

    def all(self) -> None:
        """Look at every loop or branch of every graph."""
        module = self._motion.module
        if not any(self._step.ops & graph.by_op.keys() for graph in module.graphs.values()):
            return
        for group in callees_first(module):
            for caller in group:
                graph = module.graphs.get(caller)
                if len(group) > 1 or graph is None or first_origin(self._motion.origins, caller) in self._skip:
                    continue
                names = [name for name in graph.nodes if graph.nodes[name].op in self._step.ops]
                if self._limit is not None and names:
                    before = Growth(graph, self._ops).before
                    self._left = self._limit.of(min(before.one_by_one.peak, before.at_once.peak))
                for name in names:
                    self._try(caller, name)

    def _try(self, caller: str, name: str) -> None:
        """Move what can be moved out of one call, and pays."""
        motion, step = self._motion, self._step
        why = self._moved(caller, name)
        for id, detail in step.missed(motion.module, caller, name, why):
            motion.remarks.add(Remark(id, caller, (name,), detail, by=step.name()))

    def _moved(self, caller: str, name: str) -> str:
        """The same; gives back why nothing was moved, or not all."""
        motion, step = self._motion, self._step
        if self._summaries is None:
            self._summaries = Summaries(motion.module, self._ops)
        graph = motion.module.graphs[caller]
        analyses = Analyses(graph, self._summaries)
        call = self._call(graph, name)
        stays = graph.nodes[name].attrs.value(STAYS)
        if call is None and stays:
            motion.remarks.add(Remark("not-hoisted", caller, (name,), stays.decode(), by=step.name()))
        if call is None:
            return stays.decode() if stays else self._unknown(graph.nodes[name])
        if analyses.effects.has_frames or name in graph.frozen.union(graph.arguments):
            return "it stands among frames of TensorFlow 1, or the outside knows it by name"
        if any(analyses.kinds[control] not in (EFFECT, READ) for control in call.node.controls):
            return "it may be held back"  # by a recomputation say, and what moves would not be
        if any(overwriters(g, self._ops, self._summaries.overwriting) for g in (graph, *call.functions, *call.others)):
            return "something works in place"
        plan = step.plan(call, self._summaries, analyses)
        for node, reason in plan.stays:
            motion.remarks.add(Remark("not-hoisted", caller, (name,), f"{node}: {reason}", by=step.name()))
        if plan.outputs and stays:
            motion.remarks.add(Remark("not-hoisted", caller, (name,), stays.decode(), by=step.name()))
        if not plan.outputs or stays:
            return stays.decode() if stays else plan.why
        size = sum(count or 0 for count in plan.bytes)
        if self._left is not None and (None in plan.bytes or size > self._left):
            detail = f"{size} bytes would be kept, {self._left} are allowed"
            motion.remarks.add(Remark("memory-growth", caller, (name,), detail, by=step.name()))
            return detail
        self._take(caller, name, plan, analyses)
        self._left = None if self._left is None else self._left - size
        return plan.why

    def _take(self, caller: str, name: str, plan: Plan, analyses: Analyses) -> None:
        """Keep a move, if it is judged to be right."""
        motion, by = self._motion, self._step.name()
        before, rolled, refusal = motion.module, plan.rolled, ""
        assert plan.movable is not None
        taken = {*before.graphs, *before.opaque}
        lifted = lift(plan.movable, plan.outputs, analyses.kinds, taken, self._ops, self._step.scope)
        for graph in (lifted.caller, *lifted.functions.values()):
            check_graph(graph)
        if rolled is not None:
            if self._judge_body is not None:
                refusal = self._judge_body(before, rolled.body, caller, name, rolled.merged)
            before = with_body(before, rolled.body)
        after = replace(before, graphs={**before.graphs, caller: lifted.caller, **lifted.functions})
        if not refusal and self._judge is not None:
            refusal = self._judge(before, after, caller, name)
        if refusal:
            error = ProofError(caller, name, refusal)
            if self._raises:
                raise error
            motion.failures.append(error)
            motion.remarks.add(Remark("proof-refused", caller, (name,), refusal, by=by))
            return
        graphs = {**motion.module.graphs, caller: lifted.caller, **lifted.functions}
        motion.module, self._summaries = replace(motion.module, graphs=graphs), None
        motion.origins.update(lifted.origins)
        journal = [Edit("hoist", node, name, by) for node in lifted.added]
        motion.journal[caller] = [*motion.journal.get(caller, ()), *journal]
        motion.added[caller] = {**motion.added.get(caller, {}), **lifted.added}
        if rolled is None:
            motion.remarks.add(Remark("hoisted", caller, tuple(lifted.added), f"out of {name}", by=by))
        for windows in rolled.windows if rolled is not None else ():
            detail = f"{windows.total} windows of {windows.source} in the loop {name}, each element computed "
            detail += f"{windows.overlap:.3g} times before"
            motion.remarks.add(Remark("overlap-shared", caller, tuple(lifted.added), detail, by=by, windows=windows))

    @staticmethod
    def _unknown(node: Node) -> str:
        if node.attrs.value(ORIGINAL, len(node.inputs)) != len(node.inputs):
            return "its gradient was taken in the same function, and has outputs of its own"
        return "its functions are not known"

    def _call(self, graph: Graph, name: str) -> Call | None:
        """The call with its functions, if all are known."""
        node, graphs = graph.nodes[name], (self._motion.module.graphs)
        inside, beside = self._step.functions(node)
        if not inside or any(function not in graphs for function in [*inside, *beside]):
            return None
        schema, is_loop = self._ops.schema(node.op), bool(beside)
        if schema is None or node.attrs.value(ORIGINAL, len(node.inputs)) != len(node.inputs):
            return None
        first = next((schema.input_ranges(node.attrs)[arg.name][0] for arg in schema.inputs if arg.type_list_attr), 0)
        functions, others = [tuple(graphs[function] for function in names) for names in (inside, beside)]
        if any(len(function.arguments) != len(node.inputs) - first for function in (*functions, *others)):
            return None
        return Call(graph, name, functions, others, first, is_loop)


def _without_leftovers(motion: Motion, outside: Collection[str]) -> Module:
    """The module without functions that new ones were made from, and that nothing names any more."""
    graphs = dict(motion.module.graphs)
    candidates = set(motion.origins.values()).difference(outside)
    while True:
        named = {f.name for graph in graphs.values() for node in graph.naming for f in node.attrs.functions}
        named |= {op for graph in graphs.values() for op in graph.by_op}
        idle = candidates & (graphs.keys() - named)
        if not idle or motion.module.opaque:
            return replace(motion.module, graphs=graphs)
        for name in idle:
            del graphs[name]
