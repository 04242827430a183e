"""Pipelines as text: `dedupe-reads,cse{ops=Conv2D+MatMul stateless-random=true},dce`; presets are such texts."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Any, get_type_hints

from tfreuse.errors import PipelineError
from tfreuse.pipeline.library import LibraryPass
from tfreuse.pipeline.moves import MotionPass
from tfreuse.pipeline.passes import Pass
from tfreuse.pipeline.registry import find_pass

_MOTION = "hoist-loop-invariants,hoist-common-branch-work"
_MERGES = "dedupe-constants,cse"  # constants first: what uses them then merges with all that it uses

PRESETS: dict[str, str] = {
    "exact": f"inline,dedupe-reads,{_MERGES},dce",
    "hoist": f"{_MOTION},inline,dedupe-reads,{_MERGES},dce",
    "conv": "dedupe-reads,dedupe-constants,cse{ops=conv},dce",
    "fast": f"share-moving-windows,inline,dedupe-reads,{_MERGES},share-overlap,factor-gradients,{_MERGES},dce",
}
"""`exact`: every bitwise pass that leaves loops and branches with the operands that they had (the default). `hoist`:
these, and loops and branches give up common work first (docs/adr/0011). `conv`: only convolutions and what feeds and
follows them. `fast`: `exact`, and passes that may round differently, and merges what these made equal; only loops over
overlapping windows get other operands."""

WHOLE_MODELS: dict[str, str] = dict.fromkeys(("exact", "hoist", "fast"), "drop-orphans,merge-functions")
"""What a preset has in addition for SavedModels."""

_STEP = re.compile(r"\s*([a-z][a-z0-9-]*)\s*(?:\{([^{}]*)\})?\s*(?:,|$)")

Pipeline = tuple[Pass, ...]


def parse_pipeline(text: str) -> Pipeline:
    """The passes that `text` names, with their options.

    Raises:
        PipelineError: for an unknown pass, an unknown option, a value of the wrong type or text that does not parse.
    """
    steps: list[Pass] = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            raise PipelineError(f"cannot read the pipeline at {text[position:]!r}; write PASS{{OPTION=VALUE}},PASS")
        steps.append(_make(find_pass(match[1]), match[1], match[2] or ""))
        position = match.end()
    if not steps:
        raise PipelineError("the pipeline is empty; name at least one pass")
    return tuple(steps)


def resolve_pipeline(pipeline: str | Pipeline | None, preset: str, whole: bool = False) -> Pipeline:
    """The pipeline that the user asked for: a text, passes, or a preset's name; `whole` says that it is for a model.

    Raises:
        PipelineError: for an unknown preset, for a pass that cannot stand where it does, or whatever `parse_pipeline`
            refuses.
    """
    if pipeline is None:
        if preset not in PRESETS:
            raise PipelineError(f"unknown preset {preset!r}; there are {', '.join(PRESETS)}")
        more = WHOLE_MODELS.get(preset) if whole else None
        return parse_pipeline(f"{PRESETS[preset]},{more}" if more else PRESETS[preset])
    if isinstance(pipeline, str):
        steps = parse_pipeline(pipeline)
    else:
        steps = tuple(pipeline) if isinstance(pipeline, Iterable) else ()
        if not steps or not all(isinstance(step, Pass) for step in steps):
            raise PipelineError("a pipeline is a text or a sequence of passes")
    last = [isinstance(step, LibraryPass) for step in steps]
    if last != sorted(last):
        raise PipelineError(f"pass {steps[last.index(True)].name()!r} comes last; move the passes behind it before it")
    first = [not isinstance(step, MotionPass) for step in steps]
    if first != sorted(first):
        late = steps[len(first) - 1 - first[::-1].index(False)]
        raise PipelineError(f"pass {late.name()!r} comes first; move it before the others")
    misplaced = next((step.name() for step in steps if step.whole), None)
    if misplaced and not whole:
        raise PipelineError(f"pass {misplaced!r} is for SavedModels; leave it out here")
    return steps


def print_pipeline(pipeline: Pipeline) -> str:
    """The text that `parse_pipeline` reads back; options at their defaults are left out."""
    return ",".join(_print_step(step) for step in pipeline)


def _print_step(step: Pass) -> str:
    options = []
    for field in dataclasses.fields(step):  # type: ignore[arg-type]  # every pass is a dataclass
        value = getattr(step, field.name)
        if value != field.default:
            options.append(f"{field.name.replace('_', '-')}={_print_value(value)}")
    return step.name() + (f"{{{' '.join(options)}}}" if options else "")


def _print_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "+".join(value) if isinstance(value, tuple) else str(value)


def _make(pass_type: type[Pass], name: str, options: str) -> Pass:
    if not dataclasses.is_dataclass(pass_type):
        raise PipelineError(f"pass {name!r} is not a dataclass")
    hints = get_type_hints(pass_type)
    known = {field.name.replace("_", "-"): field.name for field in dataclasses.fields(pass_type)}
    values: dict[str, Any] = {}
    for option in options.split():
        key, _, value = option.partition("=")
        if key not in known:
            listed = ", ".join(known) or "none"
            raise PipelineError(f"pass {name!r} has no option {key!r}; it has {listed}")
        if not value:
            raise PipelineError(f"option {key!r} of pass {name!r} has no value; write {name}{{{key}=VALUE}}")
        values[known[key]] = _value(hints[known[key]], value, f"{name}{{{key}}}")
    return pass_type(**values)


def _value(kind: Any, text: str, where: str) -> Any:
    if kind is bool:
        if text not in ("true", "false"):
            raise PipelineError(f"{where} takes true or false, not {text!r}")
        return text == "true"
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise PipelineError(f"{where} takes a number, not {text!r}") from None
    return tuple(text.split("+")) if kind == tuple[str, ...] else text
