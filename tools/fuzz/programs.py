"""Kind b: random programs through `@tfreuse.dedupe` and as SavedModels, beside tf.function."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import tfreuse
from tests.runtime.programs import Interpreter, State, Step, differences, generate, run_steps
from tfreuse.bridge.module import ops_of, read_module
from tfreuse.ir.graph import Module
from tfreuse.pipeline.text import PRESETS
from tools.fuzz.outcome import Failure, Outcome

CALLS = 3
SAVED = 2
"""One program in so many is also saved, optimised and loaded."""
SPEC = tf.TensorSpec([3], tf.float64, "x")

Judged = tuple[str, int]


def check(seed: int, preset: str = "exact") -> Outcome:
    """Make the program of a seed, run it all ways and compare."""
    tf.keras.backend.clear_session()
    steps = generate(seed, 3, 7)
    for judge in [decorated, *([saved] if seed % SAVED == 0 else [])]:
        judged = partial(judge, preset=preset)
        problem, merged = judged(steps)
        if problem:
            return Outcome(0, failure("b", seed, steps, judged, preset))
    return Outcome(merged)


def decorated(steps: tuple[Step, ...], preset: str = "exact") -> Judged:
    """What differs through `@tfreuse.dedupe`, in a few words; and how much was merged."""
    expected, _ = run_steps(steps, tf.function, CALLS)
    actual, function = run_steps(steps, partial(tfreuse.dedupe, preset=preset), CALLS)
    if function.report.failures:
        return "the report has failures", 0
    return _difference(expected, actual), _merged(function.report)


def saved(steps: tuple[Step, ...], preset: str = "exact") -> Judged:
    """What differs between a SavedModel and the optimised one; and how much was merged."""
    steps = tuple(_without_notes(step) for step in steps)
    with tempfile.TemporaryDirectory() as folder:
        before, after = str(Path(folder, "before")), str(Path(folder, "after"))
        tf.saved_model.save(_model(steps), before)
        report = tfreuse.optimize_saved_model(before, after, preset=preset)
        if report.failures:
            return "the report has failures, saved", 0
        try:
            expected, with_slopes = _run_saved(before), True
        except (ValueError, TypeError, AssertionError):  # what TensorFlow raises for loaded loops and branches
            expected, with_slopes = _run_saved(before, False), False
        found = _difference(expected, _run_saved(after, with_slopes))
    return f"{found}, saved" if found else "", _merged(report)


def failure(
    kind: str, seed: int, steps: tuple[Step, ...], judge: Callable[[tuple[Step, ...]], Judged], preset: str = "exact"
) -> Failure:
    """The failure of a program, whose statements are left out one by one for as long as it stays."""
    problem = judge(steps)[0]
    position = 0
    while position < len(steps):
        fewer = (*steps[:position], replace(steps[position], kind="skip", blocks=()), *steps[position + 1 :])
        if steps[position].kind != "skip" and judge(fewer)[0] == problem:
            steps = fewer
        position += 1
    notes = [f"Statement {place}: {step}" for place, step in enumerate(steps) if step.kind != "skip"]
    return Failure(kind, seed, problem, PRESETS[preset], traced(steps), None, tuple(notes))


def concrete(steps: tuple[Step, ...], decorate: Callable[..., Any]) -> tuple[Any, Any]:
    """The function of a program and its one trace."""
    interpreter = Interpreter(State())
    function = decorate(lambda x: tf.stack(interpreter.block(steps, [x])), autograph=False)
    return function, function.get_concrete_function(SPEC)


def traced(steps: tuple[Step, ...]) -> Module:
    """The program as tf.function traces it."""
    graph = concrete(steps, tf.function)[1].graph
    graph_def = graph.as_graph_def()
    names = [tensor.op.name for tensor in graph.outputs] + [op.name for op in graph.control_outputs]
    arguments = [tensor.op.name for tensor in graph.inputs]
    return read_module(graph_def, ops_of(graph_def), arguments, {"": dict.fromkeys(names)})


def _difference(expected: dict[str, Any], actual: dict[str, Any]) -> str:
    found = differences(expected, actual)
    return f"other {found[0].split()[0]}" if found else ""


def _merged(report: Any) -> int:
    return sum(report.to_dict()["totals"]["merged_ops"].values())


def _without_notes(step: Step) -> Step:
    """Python functions cannot be saved."""
    blocks = tuple(tuple(_without_notes(inner) for inner in block) for block in step.blocks)
    return replace(step, kind="skip" if step.kind == "note" else step.kind, blocks=blocks)


def _model(steps: tuple[Step, ...]) -> Any:
    state = State()
    interpreter = Interpreter(state)
    model = tf.Module()
    model.weights, model.rows, model.table = state.weights, state.rows, state.table
    model.parts = [state.reader, state.writer]
    model.run = tf.function(lambda x: tf.stack(interpreter.block(steps, [x])), autograph=False, input_signature=[SPEC])
    model.export = tf.function(state.table.export, input_signature=[])
    return model


def _run_saved(path: str, with_slopes: bool = True) -> dict[str, Any]:
    model = tf.saved_model.load(path)
    seen: dict[str, Any] = {}
    for call in range(CALLS):
        x = tf.constant([1.0, -2.0, float(call)], tf.float64)
        if with_slopes:
            with tf.GradientTape() as tape:
                tape.watch(x)
                values = model.run(x)
            slopes = tape.gradient(values, [x, model.weights, model.rows])
        else:
            values, slopes = model.run(x), []
        seen[f"values {call}"] = values.numpy()
        seen[f"slopes {call}"] = [None if slope is None else tf.convert_to_tensor(slope).numpy() for slope in slopes]
    keys, values = model.export()
    order = np.argsort(keys)
    seen |= {"weights": model.weights.numpy(), "rows": model.rows.numpy()}
    return {**seen, "keys": keys.numpy()[order], "values": values.numpy()[order]}
