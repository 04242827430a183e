"""Moves out of loops: one that is refused or too large is not made, and a pass that fails leaves no trace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tfreuse.errors import ProofError
from tfreuse.ir.graph import Module
from tfreuse.passes.hoist_loop_invariants import HoistLoopInvariants
from tfreuse.pipeline.allowance import parse_limit
from tfreuse.pipeline.motion import Motion, run_motion
from tfreuse.pipeline.text import parse_pipeline
from tfreuse.testing.golden import read_case
from tfreuse.testing.schemas import snapshot_ops
from tfreuse.validate.proved import run_proved

CASES = Path(__file__).parent / "cases" / "hoisting"
PASSES = parse_pipeline("hoist-loop-invariants")
KEPT = 64 * 64 * 4
"""The bytes of the product that moves."""


def before() -> Module:
    return read_case(CASES / "product_in_a_loop.txt").before


def ids(motion: Motion) -> list[str]:
    return [remark.id for remark in motion.remarks.items]


def test_a_refused_move_is_not_made() -> None:
    module = before()
    motion = run_motion(module, snapshot_ops(), PASSES, judge=lambda *asked: "no")
    assert motion.module is module
    assert (ids(motion), motion.origins, motion.journal) == (["proof-refused"], {}, {})
    assert [type(error) for error in motion.failures] == [ProofError]
    with pytest.raises(ProofError):
        run_motion(module, snapshot_ops(), PASSES, judge=lambda *asked: "no", raise_failures=True)


def test_the_judge_is_asked_about_each_move() -> None:
    asked = []
    module = read_case(CASES / "shared_body.txt").before
    run_motion(module, snapshot_ops(), PASSES, judge=lambda one, two, caller, node: asked.append((caller, node)) or "")
    assert asked == [("", "w"), ("", "w2")]


def test_a_pass_that_fails_is_undone() -> None:
    class Broken(HoistLoopInvariants):
        def functions(self, node: object) -> tuple[list[str], list[str]]:
            raise RuntimeError("broken")

    module = before()
    motion = run_motion(module, snapshot_ops(), [Broken()])
    assert motion.module is module
    assert ids(motion) == ["pass-failed"]
    with pytest.raises(RuntimeError):
        run_motion(module, snapshot_ops(), [Broken()], raise_failures=True)


@pytest.mark.parametrize(("limit", "moves"), [(KEPT, True), (KEPT - 1, False)])
def test_no_more_bytes_move_than_are_allowed(limit: int, moves: bool) -> None:
    motion = run_motion(before(), snapshot_ops(), PASSES, limit=parse_limit(limit))
    assert ids(motion) == (["hoisted"] if moves else ["memory-growth"])


def test_functions_that_the_outside_names_stay() -> None:
    module = before()
    assert "body" in run_motion(module, snapshot_ops(), PASSES, outside=["body"]).module.graphs
    assert "body" not in run_motion(module, snapshot_ops(), PASSES).module.graphs
    shared = {**module.graphs, "other": replace(module.graphs[""], name="other")}
    found = run_motion(Module(shared), snapshot_ops(), PASSES, skip=["other"]).module.graphs
    assert {"body", "cond", "body_hoisted", "cond_hoisted"} <= found.keys()


def test_the_result_is_the_one_for_the_module_given() -> None:
    module = before()
    result = run_proved(module, snapshot_ops(), PASSES, raise_failures=True)
    assert result.before is module
    assert result.graphs[""].before is module.graphs[""]
    assert [(edit.kind, edit.node) for edit in result.graphs[""].journal] == [("hoist", "w/invariant/m")]
    assert result.graphs["body_hoisted"].before is module.graphs["body"]
