"""The whole report of one run, from the pipeline's result."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tfreuse.analysis.effects import Summaries
from tfreuse.pipeline.run import Result
from tfreuse.pipeline.text import Pipeline, print_pipeline
from tfreuse.remarks.remark import Remark
from tfreuse.report.build import SCHEMA_VERSION, function_entry, totals
from tfreuse.report.library import library_entry, weights_entry
from tfreuse.report.report import Report


def make_report(
    results: list[Result],
    model: Mapping[str, Any],
    pipeline: Pipeline,
    failures: Sequence[Exception] = (),
    verification: Mapping[str, Any] | None = None,
    sizes: tuple[int | None, int | None] = (None, None),
    weights: Iterable[Any] | None = None,
) -> Report:
    """The report of one or several results on one model.

    `failures` are graphs that were given up and left alone; `verification` is what running both models gave; `sizes`
    are the bytes of the model's file before and after; `weights` what the checkpoint holds more than once.
    """

    def build() -> dict[str, Any]:
        functions: list[dict[str, Any]] = []
        name = str(model.get("name", ""))
        remarks = [Remark("not-optimized", name, (), f"{type(error).__name__}: {error}") for error in failures]
        seconds: dict[str, float] = {}
        for result in results:
            functions += _functions(result)
            remarks += result.remarks.items
            for name, spent in result.seconds.items():
                seconds[name] = seconds.get(name, 0.0) + spent
        return {
            "schema_version": SCHEMA_VERSION,
            "tool": tool_identity(),
            "model": dict(model),
            "pipeline": print_pipeline(pipeline),
            "seconds": seconds,
            "functions": functions,
            "totals": totals(functions),
            "library": library_entry(results, sizes),
            "remarks": [remark.to_dict() for remark in remarks if remark.kind != "missed" or not remark.nodes],
            **({} if weights is None else {"weights": weights_entry(weights)}),
            **({"verification": dict(verification)} if verification else {}),
        }

    return Report(build)


def tool_identity() -> dict[str, str]:
    """Names and versions of tfreuse, Python and TensorFlow."""
    return {
        "name": "tfreuse",
        "version": _version("tfreuse"),
        "python": platform.python_version(),
        "tensorflow": _version("tensorflow") or _version("tensorflow-cpu"),
    }


def _functions(result: Result) -> list[dict[str, Any]]:
    summaries = Summaries(result.after, result.ops)
    entries = []
    for name, graph in result.graphs.items():
        merges = [edit for edit in graph.journal if edit.kind in ("merge", "alias")]
        # What a pass made was no work before (a body was), and what is cut out of a union is no duplicate.
        inliners = {edit.by for edit in graph.journal if edit.kind == "inline"}
        made = {edit.node for edit in graph.journal if edit.kind == "add" and edit.by not in inliners}
        forward = {
            edit.node: edit.other
            for edit in merges
            if edit.node not in made and not (edit.lemma and edit.other in made)
        }
        remarks = [remark for remark in result.remarks.items if remark.function == name]
        entries.append(
            function_entry(
                graph.before,
                graph.after,
                forward,
                remarks,
                result.ops,
                summaries,
                result.labels.get(name, ""),
                graph.named,
            )
        )
    return entries


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
