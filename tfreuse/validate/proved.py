"""Runs a pipeline and keeps of it what is proved; a graph whose proof fails is given back as it was."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from tfreuse.errors import ProofError
from tfreuse.ir.graph import Module
from tfreuse.ops.registry import Ops
from tfreuse.pipeline.passes import Lemma
from tfreuse.pipeline.run import GraphResult, Progress, Result, run_pipeline
from tfreuse.pipeline.sharing import SELECTION
from tfreuse.pipeline.text import Pipeline
from tfreuse.remarks.catalogue import PASSED
from tfreuse.remarks.remark import Remark
from tfreuse.validate.touches import Touches
from tfreuse.validate.translation import Refusal, Witness, prove

PROOF = "proof"
"""The name under which the report has the proof's time."""


def run_proved(
    module: Module,
    ops: Ops,
    pipeline: Pipeline,
    progress: Progress | None = None,
    skip: frozenset[str] = frozenset(),
    raise_failures: bool = False,
    proof: bool = True,
    time_limit: float | None = None,
) -> Result:
    """`run_pipeline`, and a proof of every graph that it changed (not with `proof=False`).

    Raises:
        ProofError: for a rewrite that is not proved, with `raise_failures`; else that graph is rolled back.
    """
    result = run_pipeline(module, ops, pipeline, progress, skip, raise_failures, time_limit)
    if proof:
        check_result(result, raise_failures)
    return result


def check_result(result: Result, raise_failures: bool = False) -> None:
    """Prove every graph of `result` that changed, and roll back those whose proof is refused."""
    started = time.perf_counter()
    touches = Touches(result.before, result.ops)
    lemmas = {(step.name(), name): lemma for step in result.pipeline for name, lemma in step.lemmas.items()}
    graphs = dict(result.after.graphs)
    for name, found in result.graphs.items():
        if found.after is found.before:
            continue
        try:
            refusal = prove(found.before, found.after, witness_of(found, lemmas), touches, result.ops)
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


def witness_of(found: GraphResult, lemmas: Mapping[tuple[str, str], Lemma] | None = None) -> Witness:
    """What the journal claims of one graph; `lemmas` by pass and name."""
    merges = [edit for edit in found.journal if edit.kind in ("merge", "alias")]
    laws = lemmas or {}
    by_law = {edit.node: laws[edit.by, edit.lemma] for edit in merges if (edit.by, edit.lemma) in laws}
    selections = frozenset(edit.node for edit in merges if edit.lemma == SELECTION and edit.node not in by_law)
    return Witness({edit.node: edit.other for edit in merges}, found.equal, by_law, selections)


def _remark(graph: str, refusal: Refusal) -> Remark:
    nodes = (refusal.node,) if refusal.node else ()
    return Remark("proof-refused", graph, nodes, refusal.reason, by=PROOF)
