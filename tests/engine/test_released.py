"""Nodes held apart for a sum which merges away: the passes run once more, and no more often than that helps."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tests.engine.test_soundness import OPS
from tfreuse.ir.graph import Graph
from tfreuse.passes.cse import Cse
from tfreuse.passes.dedupe_reads import DedupeReads
from tfreuse.pipeline.merging import MergePass
from tfreuse.pipeline.passes import Context
from tfreuse.pipeline.rewriter import Rewriter
from tfreuse.pipeline.run import Result, run_pipeline
from tfreuse.testing.golden import read_case

CASE = read_case(Path(__file__).parent / "cases" / "gradients" / "sum_that_merges_away.txt")


@dataclass(frozen=True)
class Once(MergePass):
    """Merges once, and raises when it runs again."""

    runs: list[int] = field(default_factory=list)

    def run(self, context: Context, rewriter: Rewriter) -> None:
        self.runs.append(1)
        if len(self.runs) > 1:
            raise ValueError("once is enough")
        super().run(context, rewriter)


@dataclass(frozen=True)
class FailsLater(Once, DedupeReads):
    """Reads."""


@dataclass(frozen=True)
class SumsOnce(Once, Cse):
    """Pure nodes."""


def rewritten(*passes: Cse | DedupeReads) -> tuple[Graph, Result]:
    result = run_pipeline(CASE.before, OPS, passes)
    return result.after.graphs[""], result


def test_what_nothing_holds_any_more_merges() -> None:
    graph, result = rewritten(DedupeReads(), Cse())
    assert "n5" not in graph.nodes
    assert not result.failures
    assert not any(remark.nodes[0] == "n5" for remark in result.remarks.items if remark.id == "sum-of-equals")


def test_passes_that_fail_when_they_run_again_are_not_asked_for_ever() -> None:
    reads, sums = FailsLater(), SumsOnce()
    graph, result = rewritten(reads, sums)
    assert "n5" in graph.nodes
    assert (len(reads.runs), len(sums.runs)) == (2, 2)
    assert [str(error) for error in result.failures] == ["once is enough"] * 2
