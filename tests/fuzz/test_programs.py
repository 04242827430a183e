"""Kinds b and c of the fuzzer: a few programs beside tf.function and beside TensorFlow's MLIR pipeline."""

from __future__ import annotations

from tools.fuzz import mlir, programs


def test_a_share_of_the_programs() -> None:
    found = [programs.check(seed) for seed in range(6)]
    assert [outcome.failure for outcome in found if outcome.failure] == []
    assert sum(outcome.merges for outcome in found) > 20


def test_a_share_of_the_comparisons_with_mlir() -> None:
    found = [mlir.check(seed) for seed in range(8)]
    assert [outcome.failure for outcome in found if outcome.failure] == []
    assert sum(outcome.merges for outcome in found) > 50
