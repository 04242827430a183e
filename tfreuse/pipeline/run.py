"""Runs a pipeline over every graph of a module, each graph by itself; a pass that fails is rolled back whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from tfreuse.analysis.apart import HELD
from tfreuse.analysis.effects import Summaries
from tfreuse.analysis.fingerprint import Alike
from tfreuse.ir.graph import Graph, Module, Node, Value
from tfreuse.ir.order import check_graph
from tfreuse.ops.registry import Ops
from tfreuse.pipeline.allowance import Allowance, Limit, parse_limit
from tfreuse.pipeline.graph_run import GraphRun
from tfreuse.pipeline.library import LibraryResult
from tfreuse.pipeline.limit import OutOfTime, check_time_limit, within
from tfreuse.pipeline.merging import PUBLIC
from tfreuse.pipeline.rewriter import Edit
from tfreuse.pipeline.text import Pipeline
from tfreuse.remarks.remark import Remark, Remarks


@dataclass
class GraphResult:
    """One graph before and after, the edits in between, reads that stay and equal another (by name), the nodes that
    passes added, as they were then, and what some of these are the sums of."""

    before: Graph
    after: Graph
    journal: list[Edit]
    equal: dict[str, str] = field(default_factory=dict)
    added: dict[str, Node] = field(default_factory=dict)
    sums: dict[str, tuple[Value, ...]] = field(default_factory=dict)

    @property
    def named(self) -> Graph:
        """The graph before with the added nodes beside: every node that the journal names."""
        return self.before.evolve({**self.before.nodes, **self.added}) if self.added else self.before


@dataclass
class Result:
    """What running a pipeline over a module gave; `labels` are the names by which users know its functions."""

    before: Module
    after: Module
    ops: Ops
    pipeline: Pipeline
    graphs: dict[str, GraphResult] = field(default_factory=dict)
    remarks: Remarks = field(default_factory=Remarks)
    seconds: dict[str, float] = field(default_factory=dict)
    failures: list[BaseException] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    given_up: set[str] = field(default_factory=set)
    """Passes whose time is over."""
    alike: Mapping[str, Alike] = field(default_factory=dict)
    """Functions that are equal to another, as the merges of calls of them rely on."""
    library: LibraryResult = field(default_factory=LibraryResult)
    origins: dict[str, str] = field(default_factory=dict)
    """The functions that passes made, each with the one that it is a changed copy of."""


Progress = Callable[[str, int, int], None]
"""Called with a graph's name, its number and the number of graphs before each graph."""


def run_pipeline(
    module: Module,
    ops: Ops,
    pipeline: Pipeline,
    *,
    progress: Progress | None = None,
    skip: frozenset[str] = frozenset(),
    raise_failures: bool = False,
    time_limit: float | None = None,
    max_memory_growth: str | int | None = None,
) -> Result:
    """Run `pipeline` over every graph of `module` whose name is not in `skip`.

    A pass that raises, or that leaves a graph with a dangling edge or a cycle, is undone for that graph, with a
    remark; the exception is kept in `failures`, or raised at once with `raise_failures`. `KeyboardInterrupt` is the
    user's and goes through; any other exception, `SystemExit` among them, is the pass's own.

    A pass that has spent `time_limit` seconds over all graphs is given up, with a remark: the graph that it was at is
    left as it was, and those that follow do without that pass.

    Merges that make the estimated peak of a graph's memory grow by more than `max_memory_growth` (see `parse_limit`)
    are left out.

    Raises:
        InputError: if the time limit is no positive number, or the growth no size.
    """
    check_time_limit(time_limit)
    limit = parse_limit(max_memory_growth)
    result = Result(module, module, ops, pipeline)
    summaries = Summaries(module, ops)
    graphs = dict(module.graphs)
    names = [name for name in graphs if name not in skip]
    for number, name in enumerate(names):
        if progress is not None:
            progress(name, number, len(names))
        attempt = partial(_run_graph, graphs[name], summaries, raise_failures=raise_failures, time_limit=time_limit)
        found = attempt(result) if limit is None else _within_limit(graphs[name], attempt, result, limit)
        result.graphs[name] = found
        graphs[name] = found.after
    result.after = Module(graphs, module.opaque)
    if "fingerprints" in summaries.__dict__:
        same = summaries.fingerprints
        result.alike = {name: same.alike(name) for first, *others in same.classes() for name in others}
    return result


def _within_limit(graph: Graph, attempt: Callable[..., GraphResult], result: Result, limit: Limit) -> GraphResult:
    """The first attempt that the limit accepts; each leaves out more merges than the one before."""
    allowance = Allowance(limit, graph, result.ops)
    while True:
        refused = dict(allowance.refused)
        trial = replace(result, remarks=Remarks(), failures=[])
        found = attempt(trial, too_large=refused)
        accepted = allowance.accepts(found.after, found.journal)
        if accepted or len(allowance.refused) == len(refused):
            break
    if not accepted:  # by a pass that does not ask
        found = GraphResult(graph, graph, [])
        trial.remarks.add(Remark("memory-growth", graph.name, (), "the graph is left as it was"))
    result.remarks.items.update(trial.remarks.items)
    result.failures += trial.failures
    return found


def _run_graph(
    graph: Graph,
    summaries: Summaries,
    result: Result,
    raise_failures: bool,
    time_limit: float | None,
    too_large: Mapping[str, str] | None = None,
) -> GraphResult:
    """Run the passes; once more where equal reads stayed that need not see one state, with these numbered apart."""
    apart: dict[str, Remark] = {}
    while True:
        run = GraphRun(graph, summaries, too_large, frozenset(apart))
        trial = replace(result, remarks=Remarks(), failures=[])
        found = _run_passes(run, trial, raise_failures, time_limit)
        parted = {} if found.after is graph else run.parted()
        if parted.keys() <= apart.keys():
            break
        apart.update(parted)
    for remark in apart.values():
        trial.remarks.add(remark)
    result.remarks.items.update(trial.remarks.items)
    result.failures += trial.failures
    return found


def _run_passes(run: GraphRun, result: Result, raise_failures: bool, time_limit: float | None) -> GraphResult:
    graph = run.graph
    untouched = GraphResult(graph, graph, [])

    def failed(error: BaseException, by: str, id: str = "pass-failed", detail: str = "") -> None:
        if raise_failures:
            raise error
        result.failures.append(error)
        result.remarks.add(Remark(id, graph.name, (), detail or f"{type(error).__name__}: {error}", by=by))

    def run_all() -> bool:
        """Run every pass; False where the time is over."""
        for index, step in enumerate(result.pipeline):
            name, started, remarks = step.name(), time.perf_counter(), Remarks()
            spent = result.seconds.get(name, 0.0)
            if name in result.given_up:
                continue
            try:
                within(
                    None if time_limit is None else time_limit - spent,
                    partial(run.run, step, remarks, result.pipeline[index + 1 :]),
                )
            except KeyboardInterrupt:
                raise
            except OutOfTime as error:
                result.given_up.add(name)
                detail = f"not done within {time_limit} s; the graphs after this do without it"
                failed(error, name, "time-limit", detail)
                return False
            except BaseException as error:  # noqa: BLE001  # a pass may be third-party code: whatever it raises must not cost the model
                failed(error, name)
            finally:
                result.seconds[name] = spent + time.perf_counter() - started
            result.remarks.items.update(remarks.items)
        return True

    if not run_all():
        return untouched
    try:
        run.settle()
        seen: frozenset[str] = frozenset()
        while (released := run.released()) - seen:
            seen |= released  # a pass that fails now would release the same nodes for ever
            for remark in [found for found in result.remarks.items if _is_about(found, graph, released)]:
                del result.remarks.items[remark]
            run.renew()
            if not run_all():
                return untouched
            run.settle()
        if run.graph is not graph:
            check_graph(run.graph)
    except Exception as error:  # noqa: BLE001  # edits without sense may fail in any way
        failed(error, "the pipeline")
        return untouched
    return GraphResult(graph, run.graph, run.journal, run.equal, run.added, run.sums)


def _is_about(remark: Remark, graph: Graph, released: frozenset[str]) -> bool:
    """Whether a remark says that a node has to stay apart which need not any more."""
    if remark.function != graph.name:
        return False
    return (remark.id in HELD and remark.nodes[0] in released) or (remark.id == PUBLIC and remark.nodes[-1] in released)
