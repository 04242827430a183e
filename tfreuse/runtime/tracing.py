"""Follows one trace: rewires its graph when the scope ends, and the bodies of its loops, branches and calls before."""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass, field
from functools import cache
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary

from tfreuse.pipeline.run import Result
from tfreuse.pipeline.text import Pipeline
from tfreuse.report.document import make_report
from tfreuse.report.report import Report
from tfreuse.runtime.live import LiveGraph, rewire
from tfreuse.runtime.live_loops import is_registering

MAX_REPORTS = 64
"""Reports kept of one function; a function that is traced without end must not keep every graph alive."""


@dataclass
class Recorder:
    """What one decorated function is to do with its traces, and their reports."""

    pipeline: Pipeline
    raise_failures: bool = False
    proof: bool = True
    max_memory_growth: str | int | None = None
    reports: list[Report] = field(default_factory=list)
    warned: bool = False

    def record(self, report: Report) -> None:
        """Keep the report of one trace."""
        self.reports.append(report)
        del self.reports[:-MAX_REPORTS]


class _Active(threading.local):
    """The traces under way in this thread, outermost first."""

    def __init__(self) -> None:
        self.traces: list[Trace] = []


_active = _Active()
_finished: WeakKeyDictionary[Any, Trace] = WeakKeyDictionary()
"""Traces whose function has returned and whose graph is still to be rewired, by that graph."""


class Trace:
    """A context manager around the user's function while `graph`, a `FuncGraph`, is traced."""

    def __init__(self, graph: Any, recorder: Recorder) -> None:
        self.graph = graph
        self._recorder = recorder
        self._manager = graph.experimental_acd_manager  # gone by the time the scope ends
        self._results: dict[Any, Result] = {}  # by graph
        self._failures: list[Exception] = []

    def __enter__(self) -> Trace:
        _watch_bodies()
        # Called when the trace's scope ends: behind automatic control dependencies and after the outputs are
        # known, before TensorFlow copies the control outputs. It is called after an error, too.
        self.graph._add_scope_exit_callback(self._on_scope_exit)
        _active.traces.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _active.traces.remove(self)
        if kind is None:
            _finished[self.graph] = self

    def optimize(self, graph: Any, manager: Any) -> None:
        """Rewire one graph; `manager` as in `LiveGraph`.

        A loop's or branch's body comes again with what TensorFlow added to it for its gradient, and with all that was
        found before: what is disconnected stays in it. The later result is the whole one, but for what left loops and
        branches, which is not found twice.
        """
        recorder = self._recorder
        try:
            live = LiveGraph(graph, manager)
            result = rewire(
                live, recorder.pipeline, recorder.raise_failures, recorder.proof, recorder.max_memory_growth
            )
            if graph in self._results:
                result.labels = self._results[graph].labels
                for remark in self._results[graph].remarks.items:
                    if remark.id == "hoisted":
                        result.remarks.add(remark)
            self._results[graph] = result
        except Exception as error:  # whatever goes wrong here costs the optimisation, never the user's function
            if recorder.raise_failures:
                raise
            self._failures.append(error)

    def _on_scope_exit(self) -> None:
        # Threads of a tf.distribute strategy enter and leave the graph's scope while the function still runs, and the
        # function may itself be what they run. No order is known before automatic control dependencies are there; the
        # finished graph comes by `_on_body`.
        if self.graph.experimental_acd_manager is not None:
            return
        if _finished.pop(self.graph, None) is self:
            self.close(self._manager)

    def close(self, manager: Any) -> None:
        """Rewire the function's own graph and record the report; `manager` as in `LiveGraph`."""
        self.optimize(self.graph, manager)
        model = {"kind": "function", "name": self.graph.name}
        results = list(self._results.values())
        self._recorder.record(make_report(results, model, self._recorder.pipeline, self._failures))
        for error in [*self._failures, *(error for result in results for error in result.failures)]:
            self._warn(error)

    def _warn(self, error: BaseException) -> None:
        if not self._recorder.warned:
            self._recorder.warned = True
            warnings.warn(
                f"tfreuse left {self.graph.name} as tf.function made it: {type(error).__name__}: {error}",
                RuntimeWarning,
                stacklevel=2,
            )


@cache
def _watch_bodies() -> bool:
    """Ask TensorFlow to show us each function body before it becomes a function; False where it has no such hook."""
    try:
        from tensorflow.python.eager.polymorphic_function.transform import FUNC_GRAPH_TRANSFORMS
    except ImportError:
        return False
    FUNC_GRAPH_TRANSFORMS.append(_on_body)
    return True


def _on_body(graph: Any) -> None:
    """Optimise the body of a loop, a branch or an inner function of a trace that is under way in this thread.

    A finished function comes by here, too, and is done if its scope had ended early. So does a body of which work moved
    away; it was optimised before, and its caller is being edited.
    """
    if is_registering():
        return
    late = _finished.pop(graph, None)
    if late is not None:
        late.close(None)
        return
    for trace in reversed(_active.traces):
        if graph is trace.graph:
            return
        if _encloses(trace.graph, graph):
            trace.optimize(graph, None)
            return


def _encloses(outer: Any, inner: Any) -> bool:
    while inner is not None and inner is not outer:
        inner = getattr(inner, "outer_graph", None)
    return inner is outer
