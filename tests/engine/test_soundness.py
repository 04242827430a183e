"""Random programs before and after, over all schedules: whatever can be seen after could be seen before.

Set TFREUSE_FUZZ to a number of examples to search for longer, with other examples each time.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.engine.build import EXACT
from tests.engine.build import module as build
from tests.engine.interpreter import Term, TooManySchedules, expand, named_resources, outcomes
from tests.engine.programs import Shape, modules
from tfreuse.ir.graph import Module
from tfreuse.ir.text import print_module
from tfreuse.pipeline.text import parse_pipeline
from tfreuse.testing.golden import constant_hashes
from tfreuse.testing.schemas import snapshot_ops
from tfreuse.validate.proved import run_proved

OPS = snapshot_ops()
FUZZ = int(os.environ.get("TFREUSE_FUZZ", "0"))

ORDERED = Shape(ordered=True)
HANDLES = Shape(ordered=True, handles=True)
FED = Shape(ordered=True, fed=True)
RACING = Shape()
"""Writes may race with reads."""
MEMORY = ("ReadVariableOp", "ReadVariableOp", "ResourceGather", "AssignVariableOp", "AssignAddVariableOp", "Neg")

PIPELINES = (
    EXACT,
    "dedupe-reads",
    "cse,dce",
    "cse{ops=Neg+AddV2},dce",
    "dedupe-reads,dce,cse,dce",
)


def examples(count: int) -> settings:
    return settings(
        max_examples=FUZZ or count,
        derandomize=not FUZZ,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def rewrite(module: Module, pipeline: str = EXACT) -> Module:
    return run_proved(module, OPS, parse_pipeline(pipeline), raise_failures=True).after


def possible(before: Module, after: Module, resources: dict[str, str]) -> tuple[set[Term], set[Term]]:
    """The outcomes of both, in one numbering of terms."""
    terms: dict[Term, int] = {}
    try:
        return outcomes(expand(before, "", resources), terms), outcomes(expand(after, "", resources), terms)
    except TooManySchedules:
        assume(False)
        raise


def check(before: Module, after: Module, resources: dict[str, str]) -> None:
    was, now = possible(before, after, resources)
    assert now <= was, f"{resources}\n--- before\n{print_module(before)}\n--- after\n{print_module(after)}"


ARGUMENTS = "x = _Arg()\n a = _Arg()\n b = _Arg()\n argument x\n argument a\n argument b"
DISTINCT = {"a": "a", "b": "b"}
"""Two arguments, two variables."""


@examples(300)
@given(modules(ORDERED))
def test_ordered_programs_have_the_one_outcome_that_they_had(module: Module) -> None:
    was, now = possible(module, rewrite(module), DISTINCT)
    assert was == now
    assert len(was) == 1, "the generator should have ordered everything"


@examples(150)
@given(modules(HANDLES))
def test_ordered_programs_with_named_variables(module: Module) -> None:
    check(module, rewrite(module), DISTINCT)


@examples(150)
@given(modules(ORDERED), st.sampled_from(PIPELINES))
def test_ordered_programs_in_every_pipeline(module: Module, pipeline: str) -> None:
    check(module, rewrite(module, pipeline), DISTINCT)


@examples(150)
@given(modules(Shape(ordered=True, reads_order=False)))
def test_programs_that_get_one_variable_in_two_arguments(module: Module) -> None:
    check(module, rewrite(module), {"a": "a", "b": "a"})


@examples(100)
@given(modules(FED))
def test_programs_that_are_fed_in_between(module: Module) -> None:
    """The value is fed, or computed as it stands."""
    after = rewrite(module)
    check(module, after, DISTINCT)
    check(unfed(module), unfed(after), DISTINCT)


def unfed(module: Module) -> Module:
    return Module({**module.graphs, "": replace(module.graphs[""], arguments=("x", "a", "b"))})


@examples(200)
@given(modules(RACING))
def test_programs_whose_writes_race(module: Module) -> None:
    check(module, rewrite(module), DISTINCT)


@examples(150)
@given(modules(Shape(calls=False, kept=False, ops=MEMORY)), st.sampled_from(PIPELINES))
def test_programs_of_little_else_than_races(module: Module, pipeline: str) -> None:
    check(module, rewrite(module, pipeline), DISTINCT)


@examples(100)
@given(modules(Shape(reads_order=False)))
def test_programs_whose_writes_race_through_any_argument(module: Module) -> None:
    """Reads order nothing else here: where they do, `races/one_variable_in_two_arguments` fails."""
    after = rewrite(module)
    for resources in named_resources(("a", "b")):
        check(module, after, resources)


@examples(60)
@given(modules(Shape(nodes=14, stateful=14)))
def test_hashes_decide_nothing(module: Module) -> None:
    expected = print_module(rewrite(module))
    with constant_hashes():
        assert print_module(rewrite(module)) == expected


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("r = ReadVariableOp(a) {dtype: float}\n w = AssignVariableOp(a, x) {dtype: float}", 2),
        ("r = ReadVariableOp(a) {dtype: float}\n w = AssignVariableOp(a, x) {dtype: float} ^r", 1),
        ("r = ReadVariableOp(a) {dtype: float}\n w = AssignVariableOp(b, x) {dtype: float}", 1),
        ("r = RandomUniform(x) {dtype: float, T: int32}\n w = RandomUniform(x) {dtype: float, T: int32}", 2),
    ],
)
def test_the_interpreter_sees_every_schedule(text: str, count: int) -> None:
    found = build(f"{ARGUMENTS}\n {text}\n kept r\n kept w")
    assert len(outcomes(expand(found, "", DISTINCT), {})) == count
