"""Kinds b and c of the fuzzer: a few programs beside tf.function and beside TensorFlow's MLIR pipeline."""

from __future__ import annotations

import pytest

from tests.runtime.programs import generate
from tools.fuzz import mlir, programs


def test_a_share_of_the_programs() -> None:
    found = [programs.check(seed) for seed in range(6)]
    assert [outcome.failure for outcome in found if outcome.failure] == []
    assert sum(outcome.merges for outcome in found) > 20


def test_a_share_of_the_comparisons_with_mlir() -> None:
    found = [mlir.check(seed) for seed in range(8)]
    assert [outcome.failure for outcome in found if outcome.failure] == []
    assert sum(outcome.merges for outcome in found) > 50


def test_programs_that_tensorflow_cannot_differentiate_once_loaded_are_compared_all_the_same() -> None:
    for seed in (279257014, 279257042):
        assert programs.check(seed).failure is None


@pytest.mark.parametrize("seed", [279257029, 279257099, 5034, 5075])
def test_differences_to_mlir_have_a_reason(seed: int) -> None:
    problem, merged, explained = mlir.compare(generate(seed, 4, 10))
    assert not problem
    assert merged > 0
    assert explained
