"""Random programs full of effects look the same through `tfreuse.dedupe` as through tf.function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tests.runtime.programs import BLOCKS, PURE, READS, WRITES, Step, differences, generate, run
from tfreuse.report.report import Report

SEEDS = range(40)


@cache
def deduped(seed: int) -> tuple[Any, Report]:
    """What a program gives through `tfreuse.dedupe`, and the report."""
    results, function = run(seed, tfreuse.dedupe)
    return results, function.report


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_program_looks_the_same(seed: int) -> None:
    expected, _ = run(seed, tf.function)
    actual, report = deduped(seed)
    assert differences(expected, actual) == [], "; ".join(map(str, generate(seed)))
    assert not report.failures


def test_the_programs_had_much_to_merge() -> None:
    merged: Counter[str] = Counter()
    for seed in SEEDS:
        merged.update(deduped(seed)[1].to_dict()["totals"]["merged_ops"])
    for op in ("ReadVariableOp", "ResourceGather", "LookupTableFindV2", "LookupTableSizeV2", "StatefulPartitionedCall"):
        assert merged[op] > 5, op
    assert sum(merged.values()) > 1000


def steps_of(block: tuple[Step, ...]) -> Iterator[Step]:
    for step in block:
        yield step
        for inner in step.blocks:
            yield from steps_of(inner)


def test_the_programs_hold_every_kind_of_statement() -> None:
    kinds = Counter(step.kind for seed in SEEDS for step in steps_of(generate(seed)))
    assert kinds.keys() == {*PURE, *READS, *WRITES, *BLOCKS}
    assert min(kinds.values()) >= 10
    assert generate(3) == generate(3) != generate(4)
