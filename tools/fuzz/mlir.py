"""Kind c: what TensorFlow's own MLIR pipeline merges, beside what `@tfreuse.dedupe` merges in the same program."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import tensorflow as tf

import tfreuse
from tests.runtime.programs import WRITES, Step, generate
from tools.fuzz.outcome import Outcome
from tools.fuzz.programs import concrete, failure

WITHOUT_CSE = "func.func(tf-executor-graph-pruning,tf-executor-island-coarsening,canonicalize)"
WITH_CSE = "tf-standard-pipeline"
CALLS = frozenset({"StatefulPartitionedCall", "PartitionedCall", "If", "While", "StatelessIf", "StatelessWhile"})
TFREUSE, MLIR, BEFORE = "only tfreuse", "only MLIR", "MLIR before tfreuse only"
Explains = Callable[[tuple[Step, ...], "Counter[str]"], bool]
TABLES = frozenset({"LookupTableFindV2", "LookupTableSizeV2"})


def check(seed: int) -> Outcome:
    """Make the program of a seed and compare the counts of its ops."""
    tf.keras.backend.clear_session()
    steps = generate(seed, 4, 10)
    problem, merged, explained = compare(steps)
    if problem:
        return Outcome(0, failure("c", seed, steps, lambda fewer: compare(fewer)[:2]))
    return Outcome(merged, explained=explained)


def compare(steps: tuple[Step, ...]) -> tuple[str, int, dict[str, int]]:
    """A difference that nothing explains, how much was merged, and those that are explained, by reason."""
    found, merged = differences(steps)
    explained: Counter[str] = Counter()
    for who, ops in found.items():
        if not ops:
            continue
        reason = next((reason for reason, whose, explains in REASONS if whose == who and explains(steps, ops)), "")
        if not reason:
            return f"{who} merges {', '.join(sorted(ops))}", merged, {}
        explained[f"{who}: {reason}"] += sum(ops.values())
    return "", merged, dict(explained)


def differences(steps: tuple[Step, ...]) -> tuple[dict[str, Counter[str]], int]:
    """How many of each op one of the two merges and the other does not; and how much tfreuse merged."""
    plain = concrete(steps, tf.function)[1]
    function, ours = concrete(steps, tfreuse.dedupe)
    theirs, both, alone = count(plain, WITH_CSE), count(ours, WITH_CSE), count(ours, WITHOUT_CSE)
    merged = sum(function.report.to_dict()["totals"]["merged_ops"].values())
    return {TFREUSE: theirs - both, MLIR: alone - both, BEFORE: both - theirs}, merged


def count(function: Any, pipeline: str) -> Counter[str]:
    """How many of each op are left in all functions; constants aside, which any folding merges."""
    text = tf.mlir.experimental.convert_function(function, pass_pipeline=pipeline)
    return Counter(op for op in re.findall(r'"tf\.(\w+)"\(', text) if op != "Const")


def _hang_from(roots: frozenset[str]) -> Explains:
    """Explains ops of these types, and what can be merged only behind them."""
    return lambda steps, ops: not roots.isdisjoint(ops)


def _gone_without(change: Callable[[Step], Step]) -> Explains:
    """Explains a difference that goes when all statements are changed so."""

    def changed(step: Step) -> Step:
        blocks = tuple(tuple(changed(inner) for inner in block) for block in step.blocks)
        return change(replace(step, blocks=blocks))

    def explains(steps: tuple[Step, ...], ops: Counter[str]) -> bool:
        fewer = tuple(changed(step) for step in steps)
        if fewer == steps:
            return False
        found, _ = differences(fewer)
        return not any(ops.keys() & others.keys() for others in found.values())

    return explains


def _without_waits(step: Step) -> Step:
    return replace(step, kind="inline") if step.kind == "after" else step


def _without_bodies_effects(step: Step) -> Step:
    if step.kind in ("reader", "writer"):
        return replace(step, kind="skip")
    if step.kind not in ("cond", "loop"):
        return step
    blocks = tuple(
        tuple(replace(inner, kind="skip") if inner.kind in WRITES else inner for inner in block)
        for block in step.blocks
    )
    return replace(step, blocks=blocks)


def _without_writes(step: Step) -> Step:
    return replace(step, kind="skip") if step.kind in WRITES else step


def _without_branches(step: Step) -> Step:
    return replace(step, kind="skip") if step.kind == "cond" else step


_OTHER_STATE = "reads across an effect on something else: a node sees all effects before it (docs/adr/0003)"
_HELD = "operands of a branch, which stay apart so that it can be differentiated (docs/adr/0005)"
_READING_CALLS = "calls, branches and loops that only read; MLIR takes each for a write"
_TABLES = "table reads, which MLIR takes for writes"
_WRITING_BODIES = "reads around a call or body that reads them or writes other state; MLIR takes it to write all"
_WAITS = "control inputs without an effect, which MLIR drops or turns into an order"
_RECOMPUTED = "control inputs without an effect, which may hold a recomputation back"
REASONS: tuple[tuple[str, str, Explains], ...] = (
    (_READING_CALLS, TFREUSE, _hang_from(CALLS)),
    (_TABLES, TFREUSE, _hang_from(TABLES)),
    (_WRITING_BODIES, TFREUSE, _gone_without(_without_bodies_effects)),
    (_WAITS, TFREUSE, _gone_without(_without_waits)),
    (_RECOMPUTED, MLIR, _gone_without(_without_waits)),
    (_HELD, MLIR, _gone_without(_without_branches)),
    (_OTHER_STATE, MLIR, _gone_without(_without_writes)),
)
"""Why one of the two merges what the other keeps; a difference without a reason is a mismatch."""
