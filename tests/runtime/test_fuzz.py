"""Random programs full of effects look the same through `tfreuse.dedupe` as through tf.function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
import tensorflow as tf

import tfreuse
from tests.runtime.programs import BLOCKS, PURE, READS, WRITES, Step, differences, generate, run

SEEDS = range(40)


@pytest.fixture(scope="module")
def merged() -> Counter[str]:
    """How many of each op type the programs of this module merged."""
    return Counter()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_program_looks_the_same(seed: int, merged: Counter[str]) -> None:
    expected, _ = run(seed, tf.function)
    actual, function = run(seed, tfreuse.dedupe)
    assert differences(expected, actual) == [], "; ".join(map(str, generate(seed)))
    assert not function.report.failures
    merged.update(function.report.to_dict()["totals"]["merged_ops"])


def test_the_programs_had_much_to_merge(merged: Counter[str]) -> None:
    """Runs after the programs, in file order."""
    if not merged:
        pytest.skip("no program ran before")
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
