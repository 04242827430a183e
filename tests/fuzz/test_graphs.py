"""Kind a of the fuzzer: the engine holds, and three broken ones are found, reduced and kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.interpreter import TooManySchedules, expand, outcomes
from tfreuse.analysis.effects import READ, Access, Effects
from tfreuse.analysis.memory import NO_STATE, Memory
from tfreuse.ir.graph import Module
from tfreuse.pipeline import merging
from tfreuse.testing.golden import read_case
from tools.fuzz import engine
from tools.fuzz.graphs import make
from tools.fuzz.keep import keep
from tools.fuzz.outcome import Failure
from tools.reduce import reduce, size

Patch = pytest.MonkeyPatch


def first_failure(most: int) -> Failure:
    for seed in range(most):
        if (found := engine.check(seed).failure) is not None:
            return found
    raise AssertionError(f"nothing found in {most} cases")


def test_a_share_of_the_search() -> None:
    merges = 0
    for seed in range(400):
        outcome = engine.check(seed)
        assert outcome.failure is None, outcome.failure
        merges += outcome.merges
    assert merges > 300


def no_states(patch: Patch) -> None:
    patch.setattr(Memory, "of", lambda self, name: NO_STATE)


def writing_calls_read(patch: Patch) -> None:
    original = Effects._call
    patch.setattr(
        Effects, "_call", lambda self, node: frozenset(Access("read", found.resource) for found in original(self, node))
    )


def draws_are_reads(patch: Patch) -> None:
    original = Effects._plain_kind
    patch.setattr(Effects, "_plain_kind", lambda self, op: READ if op == "RandomUniform" else original(self, op))


def orders_stay_lost(patch: Patch) -> None:
    patch.setattr(merging, "lost_orders", lambda *_: [])


BREAKAGES = (no_states, writing_calls_read, draws_are_reads)


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_engine_is_found_by_the_interpreter_alone(
    breakage: Callable[[Patch], None], monkeypatch: Patch, tmp_path: Path
) -> None:
    proved = engine.run_proved
    monkeypatch.setattr(engine, "run_proved", lambda *arguments, **options: proved(*arguments, **options, proof=False))
    breakage(monkeypatch)
    failure = first_failure(400)
    assert failure.problem.startswith("a new outcome")
    case = read_case(keep(failure, tmp_path, seconds=6.0))
    assert size(case.before) <= min(8, size(failure.module))
    assert failure.judge is not None
    assert failure.judge(case.before) == "a new outcome"
    monkeypatch.undo()
    assert engine.judged(case.before)[0] == ""


def test_the_proof_finds_an_order_that_is_lost(monkeypatch: Patch) -> None:
    orders_stay_lost(monkeypatch)
    assert first_failure(1500).problem.startswith("ProofError")


def test_schedules_left_out_give_no_other_outcome() -> None:
    compared = 0
    for seed in range(60):
        _, module = make(seed)
        program = expand(module, "", {"a": "a", "b": "b", "t": "t"})
        terms: dict[tuple[object, ...], int] = {}
        try:
            every = outcomes(program, terms, 1000)
        except TooManySchedules:
            continue
        assert outcomes(program, terms, 1000, every=False) == every
        compared += 1
    assert compared > 40


def test_reducing_takes_any_predicate() -> None:
    module = next(module for seed in range(100) if "Split" in ops(module := make(seed)[1]))
    small = reduce(module, lambda candidate: "a split" if "Split" in ops(candidate) else "")
    assert size(small) == 1
    with pytest.raises(ValueError, match="does not fail"):
        reduce(small, lambda _: "")


def ops(module: Module) -> set[str]:
    return {node.op for graph in module.graphs.values() for node in graph.nodes.values()}
