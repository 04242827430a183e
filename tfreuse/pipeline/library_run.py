"""Runs the library passes of a pipeline over what the passes over graphs left; one that fails leaves no trace."""

from __future__ import annotations

import time
from functools import partial

from tfreuse.analysis.effects import Summaries
from tfreuse.analysis.fingerprint import Alike
from tfreuse.ir.graph import Graph
from tfreuse.pipeline.library import Library, LibraryContext, LibraryEdits, LibraryPass, LibraryResult, carried_out
from tfreuse.pipeline.limit import OutOfTime, within
from tfreuse.pipeline.run import GraphResult, Result
from tfreuse.remarks.remark import Remark, Remarks


def run_library(
    result: Result, library: Library, raise_failures: bool = False, time_limit: float | None = None
) -> None:
    """Run them, and note in `result` what they made of its module `after`.

    All see the module that the passes over graphs left. A pass that raises is undone, with a remark.
    """
    steps = [step for step in result.pipeline if isinstance(step, LibraryPass)]
    if not steps or "" not in result.after.graphs:
        return
    summaries = Summaries(result.after, result.ops)
    edits = LibraryEdits(result.after, library)
    for step in steps:
        name, started, remarks = step.name(), time.perf_counter(), Remarks()
        spent = result.seconds.get(name, 0.0)
        trial = edits.copy()
        context = LibraryContext(result.after, summaries, library, remarks, name)
        try:
            within(None if time_limit is None else time_limit - spent, partial(step.rewrite, context, trial))
            carried_out(result.after, trial)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a pass may be third-party code: whatever it raises must not cost the model
            if raise_failures:
                raise
            late = isinstance(error, OutOfTime)
            detail = f"not done within {time_limit} s" if late else f"{type(error).__name__}: {error}"
            result.failures.append(error)
            result.remarks.add(Remark("time-limit" if late else "pass-failed", "", (), detail, by=name))
            continue
        finally:
            result.seconds[name] = spent + time.perf_counter() - started
        edits = trial
        result.remarks.items.update(remarks.items)
    alike: dict[str, Alike] = {}
    if edits.merged:
        same = summaries.fingerprints
        alike = {name: same.alike(name) for first, *others in same.classes() for name in others}
    result.library = LibraryResult(edits.merged, edits.removed, edits.without_shapes, alike)
    result.after = carried_out(result.after, edits)


def note_in_graphs(result: Result) -> None:
    """Bring the results of single graphs in line: of a function that went, nothing is left to tell."""
    library = result.library
    for name, found in result.graphs.items():
        if name in library.merged or name in library.removed:
            result.graphs[name] = GraphResult(found.before, Graph(name, {}), [])
        else:
            found.after = result.after.graphs[name]
