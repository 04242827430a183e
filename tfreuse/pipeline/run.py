"""Runs a pipeline over every graph of a module, each graph by itself; a pass that fails is rolled back whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tfreuse.analysis.effects import Summaries
from tfreuse.errors import GraphError
from tfreuse.ir.graph import Graph, Module
from tfreuse.ir.order import check_graph
from tfreuse.ops.registry import Ops
from tfreuse.pipeline.graph_run import GraphRun
from tfreuse.pipeline.rewriter import Edit
from tfreuse.pipeline.text import Pipeline
from tfreuse.remarks.remark import Remark, Remarks


@dataclass
class GraphResult:
    """One graph before and after, the edits in between, and reads that stay and equal another (by name)."""

    before: Graph
    after: Graph
    journal: list[Edit]
    equal: dict[str, str] = field(default_factory=dict)


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
    failures: list[Exception] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)


Progress = Callable[[str, int, int], None]
"""Called with a graph's name, its number and the number of graphs before each graph."""


def run_pipeline(
    module: Module,
    ops: Ops,
    pipeline: Pipeline,
    progress: Progress | None = None,
    skip: frozenset[str] = frozenset(),
    raise_failures: bool = False,
) -> Result:
    """Run `pipeline` over every graph of `module` whose name is not in `skip`.

    A pass that raises, or that leaves a graph with a dangling edge or a cycle, is undone for that graph, with a
    remark; the exception is kept in `failures`, or raised at once with `raise_failures`.
    """
    result = Result(module, module, ops, pipeline)
    summaries = Summaries(module, ops)
    graphs = dict(module.graphs)
    names = [name for name in graphs if name not in skip]
    for number, name in enumerate(names):
        if progress is not None:
            progress(name, number, len(names))
        found = _run_graph(graphs[name], summaries, result, raise_failures)
        result.graphs[name] = found
        graphs[name] = found.after
    result.after = Module(graphs, module.opaque)
    return result


def _run_graph(graph: Graph, summaries: Summaries, result: Result, raise_failures: bool) -> GraphResult:
    run = GraphRun(graph, summaries)

    def failed(error: Exception, by: str) -> None:
        if raise_failures:
            raise error
        result.failures.append(error)
        result.remarks.add(Remark("pass-failed", graph.name, (), f"{type(error).__name__}: {error}", by=by))

    for step in result.pipeline:
        started = time.perf_counter()
        try:
            run.run(step, result.remarks)
        except Exception as error:  # noqa: BLE001  # a pass may be third-party code: whatever it raises must not cost the model
            failed(error, step.name())
        result.seconds[step.name()] = result.seconds.get(step.name(), 0.0) + time.perf_counter() - started
    try:
        run.settle()
        if run.graph is not graph:
            check_graph(run.graph)
    except GraphError as error:
        failed(error, "the pipeline")
        return GraphResult(graph, graph, [])
    return GraphResult(graph, run.graph, run.journal, run.equal)
