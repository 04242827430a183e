"""The public names and their signatures, pinned: a change here is a line in CHANGELOG.md."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest

import tfreuse
from tfreuse import errors
from tfreuse.pipeline.passes import Context, Pass
from tfreuse.remarks.remark import Remark

FUNCTIONS = {
    "dedupe": (
        "(func: Callable[..., Any] | None = None, *, pipeline: str | Pipeline | None = None, preset: str = exact, "
        "on_error: str = fallback, proof: bool = True, max_memory_growth: str | int | None = None, "
        "**tf_function_arguments: Any) -> Any"
    ),
    "inspect": (
        "(src: str | PathLike[str], *, preset: str = exact, tags: Iterable[str] | None = None, "
        "max_memory_growth: str | int | None = None) -> Report"
    ),
    "optimize": (
        "(concrete_function: Any, *, pipeline: str | Pipeline | None = None, preset: str = exact, "
        "proof: bool = True, verify: int = 0, max_memory_growth: str | int | None = None) -> tuple[Any, Report]"
    ),
    "optimize_graph_def": (
        "(graph_def: Any, *, outputs: Iterable[str], inputs: Iterable[str] = (), "
        "pipeline: str | Pipeline | None = None, preset: str = exact, proof: bool = True, verify: int = 0, "
        "feeds: FeedSource | None = None, time_limit: float | None = None, "
        "max_memory_growth: str | int | None = None) -> tuple[Any, Report]"
    ),
    "optimize_saved_model": (
        "(src: str | PathLike[str], dst: str | PathLike[str] | None, *, pipeline: str | Pipeline | None = None, "
        "preset: str = exact, tags: Iterable[str] | None = None, overwrite: bool = False, dry_run: bool = False, "
        "progress: Progress | None = None, proof: bool = True, verify: int = 0, "
        "feeds: FeedSource | None = None, time_limit: float | None = None, strip_shapes: bool = False, "
        "weights: bool = False, max_memory_growth: str | int | None = None) -> Report"
    ),
}

MEMBERS: dict[type, list[str]] = {
    tfreuse.Report: ["failures", "merged", "missed", "to_dict", "to_json"],
    # What passes of other distributions are written against.
    Pass: [
        "apply",
        "candidates",
        "catalogue",
        "exactness",
        "finish",
        "legal",
        "lemmas",
        "name",
        "preserves",
        "profitable",
        "run",
        "stacks",
        "whole",
    ],
    Context: ["added", "analyses", "by", "following", "graph", "ops", "orphans", "remark", "remarks"],
    Remark: ["by", "detail", "field", "function", "id", "kind", "nodes", "to_dict", "windows"],
}

ERRORS = {
    "GraphError": "TfreuseError",
    "InputError": "TfreuseError, ValueError",
    "NotSupportedError": "TfreuseError",
    "PipelineError": "InputError",
    "ProofError": "TfreuseError",
    "TensorFlowMissingError": "TfreuseError, ImportError",
    "TfreuseError": "Exception",
    "UnknownOpError": "TfreuseError",
    "VerificationError": "TfreuseError",
}


def spell(function: Any) -> str:
    """The signature without quotes, with which Pythons differ around annotations."""
    return str(inspect.signature(function)).replace("'", "")


def members(kind: type) -> list[str]:
    fields = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    return sorted(name for name in {*vars(kind), *fields} if not name.startswith("_"))


def test_names() -> None:
    assert sorted(tfreuse.__all__) == sorted([*FUNCTIONS, "Report", "TfreuseError"])
    assert dir(tfreuse) == sorted(tfreuse.__all__)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signature(name: str) -> None:
    assert spell(getattr(tfreuse, name)) == FUNCTIONS[name]


@pytest.mark.parametrize("kind", MEMBERS, ids=lambda kind: kind.__name__)
def test_members(kind: type) -> None:
    assert members(kind) == MEMBERS[kind]


def test_errors() -> None:
    found = {
        name: ", ".join(base.__name__ for base in kind.__bases__)
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and kind.__module__ == errors.__name__
    }
    assert found == ERRORS


@pytest.mark.parametrize("name", tfreuse.__all__)
def test_documented(name: str) -> None:
    assert inspect.getdoc(getattr(tfreuse, name))


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'tfreuse' has no attribute 'merge'"):
        _ = tfreuse.merge
