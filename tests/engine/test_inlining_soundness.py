"""Random programs with every call inlined that may be, over all schedules: whatever can be seen could be seen before.

The pass itself inlines where it pays; here it is the mechanics, and the proof of them, that are put to the test.
Set TFREUSE_FUZZ to a number of examples to search for longer, with other examples each time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import pytest
from hypothesis import assume, given

from tests.engine.build import EXACT
from tests.engine.interpreter import expand
from tests.engine.programs import OPS as OF_PROGRAMS
from tests.engine.programs import Shape, modules
from tests.engine.test_soundness import DISTINCT, OPS, check, examples
from tfreuse.analysis.inlinable import CALLS, Inlinable, behind_optional
from tfreuse.ir.graph import Module
from tfreuse.pipeline.inlining import Path, Unfolding
from tfreuse.pipeline.passes import Context, Pass
from tfreuse.pipeline.rewriter import Rewriter
from tfreuse.pipeline.run import Result, run_pipeline
from tfreuse.pipeline.text import parse_pipeline
from tfreuse.validate.proved import run_proved

AFTER = parse_pipeline(EXACT.removeprefix("inline,"))
ONE = {"a": "a", "b": "a"}
"""One variable in both arguments."""
CALLING = (*OF_PROGRAMS, *("StatefulPartitionedCall",) * 4)
SHAPES = {
    "ordered": Shape(ordered=True, nodes=6, stateful=5, ops=CALLING),
    "named variables": Shape(ordered=True, handles=True, nodes=6, stateful=5, ops=CALLING),
    "reads that order nothing": Shape(ordered=True, reads_order=False, nodes=6, stateful=5, ops=CALLING),
    "racing": Shape(nodes=6, stateful=5, ops=CALLING),
    "races of named variables": Shape(handles=True, nodes=6, stateful=5, ops=CALLING),
}


@dataclass(frozen=True)
class InlineAll(Pass):
    """Inlines every call that may be, and the calls in their bodies."""

    def candidates(self, context: Context) -> Iterable[frozenset[Path]]:
        inlinable = Inlinable(context.analyses.summaries)
        optional = behind_optional(context.graph, context.analyses.kinds, context.analyses.order)
        calls = [node for node in context.graph.nodes.values() if node.op in CALLS]
        found = {(c.name,) for c in calls if not inlinable.refusal(context.graph, c, optional)}
        if found:
            yield frozenset(found)

    def apply(self, context: Context, candidate: frozenset[Path], rewriter: Rewriter) -> None:
        summaries = context.analyses.summaries
        Unfolding(context.graph, summaries, Inlinable(summaries), candidate).onto(rewriter)


def inlined(result: Result) -> int:
    return sum(edit.kind == "inline" for edit in result.graphs[""].journal)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_the_proof_accepts_shows_nothing_new(shape: str) -> None:
    counts: Counter[str] = Counter()

    @examples(15)
    @given(modules(SHAPES[shape]))
    def search(module: Module) -> None:
        tried = run_pipeline(module, OPS, (InlineAll(), *AFTER))
        assume(inlined(tried))
        assert not tried.failures
        result = run_proved(module, OPS, (InlineAll(), *AFTER))
        counts["accepted" if inlined(result) else "refused"] += 1
        for resources in (DISTINCT, ONE):
            if resources is ONE and expand(module, "", ONE).has_race():
                continue  # two arguments count as two where something races
            check(module, result.after, resources)

    search()
    assert counts["accepted"] > 5


@pytest.mark.parametrize("shape", ["ordered", "reads that order nothing"])
def test_where_nothing_races_inlining_is_right_before_it_is_proved(shape: str) -> None:
    refused = 0

    @examples(15)
    @given(modules(SHAPES[shape]))
    def search(module: Module) -> None:
        nonlocal refused
        tried = run_pipeline(module, OPS, (InlineAll(),))
        assume(inlined(tried))
        check(module, tried.after, DISTINCT)
        refused += bool(run_proved(module, OPS, (InlineAll(),)).failures)

    search()
    assert refused == 0
