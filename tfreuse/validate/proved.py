"""Runs a pipeline and keeps of it what is proved; a graph whose proof fails is given back as it was."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from tfreuse.errors import ProofError
from tfreuse.ir.graph import Module
from tfreuse.ops.registry import Ops
from tfreuse.pipeline.allowance import parse_limit
from tfreuse.pipeline.library import Library, LibraryResult
from tfreuse.pipeline.library_run import note_in_graphs, run_library
from tfreuse.pipeline.motion import Motion, run_motion
from tfreuse.pipeline.passes import Lemma
from tfreuse.pipeline.run import GraphResult, Progress, Result, run_pipeline
from tfreuse.pipeline.sharing import SELECTION
from tfreuse.pipeline.text import Pipeline
from tfreuse.remarks.catalogue import PASSED
from tfreuse.remarks.remark import Remark
from tfreuse.validate.bodies import Bodies
from tfreuse.validate.iterations import refuse_body
from tfreuse.validate.libraries import prove_library
from tfreuse.validate.motion import refuse_move
from tfreuse.validate.touches import Touches
from tfreuse.validate.translation import prove
from tfreuse.validate.witness import Refusal, Witness

PROOF = "proof"
"""The name under which the report has the proof's time."""


def run_proved(
    module: Module,
    ops: Ops,
    pipeline: Pipeline,
    *,
    progress: Progress | None = None,
    skip: frozenset[str] = frozenset(),
    raise_failures: bool = False,
    proof: bool = True,
    time_limit: float | None = None,
    library: Library | None = None,
    max_memory_growth: str | int | None = None,
) -> Result:
    """`run_pipeline`, and a proof of every graph that it changed (not with `proof=False`).

    With `library`, the passes over a whole library follow, and a proof of what they did.

    Raises:
        ProofError: for a rewrite that is not proved, with `raise_failures`; else that graph is rolled back.
    """
    motion = run_motion(
        module,
        ops,
        pipeline,
        skip=skip,
        judge=partial(refuse_move, ops=ops) if proof else None,
        judge_body=partial(refuse_body, ops=ops) if proof else None,
        outside=() if library is None else library.public.keys() | library.pinned,
        limit=parse_limit(max_memory_growth),
        raise_failures=raise_failures,
        time_limit=time_limit,
    )
    result = run_pipeline(
        motion.module,
        ops,
        pipeline,
        progress=progress,
        skip=skip.union(new for new, old in motion.origins.items() if old in skip),
        raise_failures=raise_failures,
        time_limit=time_limit,
        max_memory_growth=max_memory_growth,
    )
    if proof:
        check_result(result, raise_failures)
    if library is not None:
        proved = result.after
        run_library(result, library, raise_failures, time_limit)
        if proof and result.after is not proved:
            _check_library(result, proved, library, raise_failures)
        note_in_graphs(result)
    _note_motion(result, module, motion)
    return result


def _note_motion(result: Result, before: Module, motion: Motion) -> None:
    """Bring `result` in line with what was done before its pipeline ran: it is the result for `before`."""
    result.before, result.origins = before, motion.origins
    result.remarks.items = {**motion.remarks.items, **result.remarks.items}
    result.failures[:0] = motion.failures
    for name, seconds in motion.seconds.items():
        result.seconds[name] = result.seconds.get(name, 0.0) + seconds
    for name, found in result.graphs.items():
        origin = name
        while origin in motion.origins:
            origin = motion.origins[origin]
        if motion.module.graphs[name] is not before.graphs.get(name):
            found.before = before.graphs[origin]
            found.journal[:0] = motion.journal.get(name, [])
            found.added = {**motion.added.get(name, {}), **found.added}


def check_result(result: Result, raise_failures: bool = False) -> None:
    """Prove every graph of `result` that changed, and roll back those whose proof is refused."""
    started = time.perf_counter()
    touches = Touches(result.before, result.ops)
    bodies = Bodies(result.before, result.ops, touches, result.alike)
    lemmas = {(step.name(), name): lemma for step in result.pipeline for name, lemma in step.lemmas.items()}
    graphs = dict(result.after.graphs)
    for name, found in result.graphs.items():
        if found.after is found.before:
            continue
        try:
            refusal = prove(found.before, found.after, witness_of(found, lemmas), touches, result.ops, bodies)
        except Exception as crash:  # noqa: BLE001  # nothing is proved of edits without sense
            refusal = Refusal("", f"the proof failed ({type(crash).__name__}: {crash})")
        if refusal is None:
            continue
        error = ProofError(name, refusal.node, refusal.reason)
        if raise_failures:
            raise error
        result.failures.append(error)
        undone = [remark for remark in result.remarks.items if remark.function == name and remark.kind == PASSED]
        for remark in undone:
            del result.remarks.items[remark]
        result.remarks.add(_remark(name, refusal))
        result.graphs[name] = GraphResult(found.before, found.before, [])
        graphs[name] = found.before
    result.after = replace(result.after, graphs=graphs)
    result.seconds[PROOF] = time.perf_counter() - started


def _check_library(result: Result, before: Module, library: Library, raise_failures: bool) -> None:
    """Prove what library passes made of `before`, and roll it back where that fails."""
    started = time.perf_counter()
    found = result.library
    try:
        refusal = prove_library(before, result.after, found.merged, found.alike, library, result.ops)
    except Exception as crash:  # noqa: BLE001  # nothing is proved of edits without sense
        refusal = Refusal("", f"the proof failed ({type(crash).__name__}: {crash})")
    result.seconds[PROOF] += time.perf_counter() - started
    if refusal is None:
        return
    error = ProofError(refusal.node, "", refusal.reason)
    if raise_failures:
        raise error
    result.failures.append(error)
    result.remarks.add(_remark(refusal.node, refusal._replace(node="")))
    result.after, result.library = before, LibraryResult()


def witness_of(found: GraphResult, lemmas: Mapping[tuple[str, str], Lemma] | None = None) -> Witness:
    """What the journal claims of one graph; `lemmas` by pass and name."""
    merges = [edit for edit in found.journal if edit.kind in ("merge", "alias")]
    laws = lemmas or {}
    by_law = {edit.node: laws[edit.by, edit.lemma] for edit in merges if (edit.by, edit.lemma) in laws}
    inlined = {edit.node: edit.other for edit in found.journal if edit.kind == "inline"}
    selections = frozenset(edit.node for edit in merges if edit.lemma == SELECTION and edit.node not in by_law)
    forward = {edit.node: edit.other for edit in merges}
    sums = {_end(forward, name): summands for name, summands in found.sums.items()}
    return Witness(forward, found.equal, by_law, inlined, selections, sums)


def _end(forward: Mapping[str, str], name: str) -> str:
    """The node that stands for another in the end."""
    while name in forward:
        name = forward[name]
    return name


def _remark(graph: str, refusal: Refusal) -> Remark:
    nodes = (refusal.node,) if refusal.node else ()
    return Remark("proof-refused", graph, nodes, refusal.reason, by=PROOF)
