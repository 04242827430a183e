"""Kind c: what TensorFlow's own MLIR pipeline merges, beside what `@tfreuse.dedupe` merges in the same program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import Any

import tensorflow as tf

import tfreuse
from tests.runtime.programs import WRITES, Step, generate
from tools.fuzz.listing import Listing
from tools.fuzz.outcome import Outcome
from tools.fuzz.programs import concrete, failure

WITHOUT_CSE = "func.func(tf-executor-graph-pruning,tf-executor-island-coarsening,canonicalize)"
WITH_CSE = "tf-standard-pipeline"
MERGES = "dedupe-reads,cse,dedupe-constants,dce"
"""What merges, and nothing that MLIR's pipeline has no counterpart of."""
TFREUSE, MLIR, BEFORE = "only tfreuse", "only MLIR", "MLIR before tfreuse only"


def check(seed: int, preset: str = "exact") -> Outcome:
    """Make the program of a seed and compare the counts of its ops; the preset is no matter."""
    tf.keras.backend.clear_session()
    steps = generate(seed, 4, 10)
    problem, merged, explained = compare(steps)
    if problem:
        return Outcome(0, failure("c", seed, steps, lambda fewer: compare(fewer)[:2]))
    return Outcome(merged, explained=explained)


def compare(steps: tuple[Step, ...]) -> tuple[str, int, dict[str, int]]:
    """A difference that nothing explains, how much was merged, and those that are explained, by reason."""
    found, unseen, merged = differences(steps)
    explained: Counter[str] = Counter()
    if known := found[TFREUSE] & unseen:
        explained[f"{TFREUSE}: {_UNSEEN}"] = known.total()
        found[TFREUSE] -= known
    for who, ops in found.items():
        if not ops:
            continue
        reasons = _reasons(steps, who, ops)
        if not reasons:
            return f"{who} merges {', '.join(sorted(ops))}", merged, {}
        explained[f"{who}: {'; and '.join(reasons)}"] += ops.total()
    return "", merged, dict(explained)


def differences(steps: tuple[Step, ...]) -> tuple[dict[str, Counter[str]], Counter[str], int]:
    """How many of each op one of the two merges and the other does not; how many MLIR keeps because it does not tell
    what ops read and write; and how much tfreuse merged."""
    plain = concrete(steps, tf.function)[1]
    function, ours = concrete(steps, partial(tfreuse.dedupe, pipeline=MERGES))
    listing = run(plain, WITH_CSE)
    theirs, both, alone = listing.ops(), run(ours, WITH_CSE).ops(), run(ours, WITHOUT_CSE).ops()
    merged = sum(function.report.to_dict()["totals"]["merged_ops"].values())
    found = {TFREUSE: theirs - both, MLIR: alone - both, BEFORE: both - theirs}
    return found, theirs - listing.left(), merged


def run(function: Any, pipeline: str) -> Listing:
    """What MLIR's passes make of a function."""
    return Listing(tf.mlir.experimental.convert_function(function, pass_pipeline=pipeline))


def _reasons(steps: tuple[Step, ...], who: str, ops: Counter[str]) -> list[str]:
    """The fewest reasons such that the difference goes when all statements are changed as they say."""
    offered = [(reason, change) for reason, whose, change in REASONS if whose == who]
    for count in range(1, len(offered) + 1):
        for chosen in combinations(offered, count):
            fewer = steps
            for _, change in chosen:
                fewer = tuple(_changed(step, change) for step in fewer)
            if fewer != steps and _agree(fewer, who, ops):
                return [reason for reason, _ in chosen]
    return []


def _agree(steps: tuple[Step, ...], who: str, ops: Counter[str]) -> bool:
    """Whether the two merge the same of these ops, but for what MLIR does not see."""
    found, unseen, _ = differences(steps)
    found[TFREUSE] -= unseen
    return not ops.keys() & found[who].keys()


def _changed(step: Step, change: Callable[[Step], Step]) -> Step:
    blocks = tuple(tuple(_changed(inner, change) for inner in block) for block in step.blocks)
    return change(replace(step, blocks=blocks))


def _without_waits(step: Step) -> Step:
    return replace(step, kind="inline") if step.kind == "after" else step


def _without_writes(step: Step) -> Step:
    return replace(step, kind="skip") if step.kind in WRITES else step


def _without_branches(step: Step) -> Step:
    return replace(step, kind="skip") if step.kind == "cond" else step


_OTHER_STATE = "reads across an effect on something else: a node sees all effects before it (docs/adr/0003)"
_HELD = "operands of a branch, which stay apart so that it can be differentiated (docs/adr/0005)"
_UNSEEN = "what is equal once it is known what each op and function reads and writes (tools/fuzz/listing.py)"
_WAITS = "control inputs without an effect, which MLIR drops or turns into an order"
_RECOMPUTED = "control inputs without an effect, which may hold a recomputation back"
REASONS: tuple[tuple[str, str, Callable[[Step], Step]], ...] = (
    (_WAITS, TFREUSE, _without_waits),
    (_RECOMPUTED, MLIR, _without_waits),
    (_HELD, MLIR, _without_branches),
    (_OTHER_STATE, MLIR, _without_writes),
)
"""Why one of the two merges what the other keeps; a difference without a reason is a mismatch."""
