"""The op tables against TensorFlow's op registry: names, operands, rows that contradict what it knows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import op_def_pb2, types_pb2

from tests.ops.tables import commutative, dtype_number, facts, lines, pure, registry, words

pytestmark = pytest.mark.tensorflow

EFFECTS = {"pure", "allocates", "calls", "control", "opaque", "unknown"}
AMBIENTS = {"@rng", "@io", "@python", "@network", "@clock", "@abort"}

LEGACY: dict[str, str] = {}
"""Ops in the tables that the newest TensorFlow no longer registers, with the reason why they stay."""

PURE_THOUGH_STATEFUL = {"GuaranteeConst": "an identity; the flag only keeps it from being folded"}
PURE_THOUGH_SEEDED = {"ComputeAccidentalHits": "the kernel does not read its seeds"}
PURE_WITHOUT_RESULT = {"NoOp": "carries order and nothing else"}
PURE_WITHOUT_OPERANDS = {
    "Const": "the value is an attribute",
    "EmptyTensorMap": "the value is always the same",
    "HostConst": "the value is an attribute",
    "OptionalNone": "the value is always the same",
}
WRITES_A_TENSOR = {"InplaceAdd", "InplaceSub", "InplaceUpdate"}
"""Ops whose written operand is neither a resource nor a reference: they overwrite its buffer."""


def attributes(definition: op_def_pb2.OpDef, *types: str) -> set[str]:
    """Names of the attributes of an op that have one of these types."""
    return {attr.name for attr in definition.attr if attr.type in types}


def has_type(definition: op_def_pb2.OpDef, dtype: int) -> bool:
    """Whether an operand or result of the op always has this type."""
    return any(arg.type == dtype for arg in itertools.chain(definition.input_arg, definition.output_arg))


def has_ref(definition: op_def_pb2.OpDef) -> bool:
    return any(arg.is_ref for arg in itertools.chain(definition.input_arg, definition.output_arg))


def unlisted_stateful_ops() -> list[str]:
    """Registered ops that the registry calls stateful and that have no row."""
    return sorted(op for op, definition in registry().items() if definition.is_stateful and op not in facts())


def version() -> tuple[int, ...]:
    return tuple(int(part) for part in tf.__version__.split(".")[:2])


# The text


def test_rows_use_the_vocabulary() -> None:
    for op, row in facts().items():
        assert row.effects, f"{op} has flags only"
        for effect in row.effects:
            mode, _, target = effect.partition(":")
            assert effect in EFFECTS or (mode in ("reads", "writes") and target), f"{op}: {effect}"
            assert not target.startswith("@") or target in AMBIENTS, f"{op}: {effect}"
        assert len(set(row.effects)) == len(row.effects), f"{op} repeats an effect"
        assert sum(effect in EFFECTS for effect in row.effects) <= 1, f"{op} has two natures: {row.effects}"
        if "pure" in row.effects:
            assert row.effects == ["pure"], f"{op} is pure and something else"


def test_flags_of_mergeable_ops_only_stand_at_pure_rows() -> None:
    for op, row in facts().items():
        if set(row.flags) - {"raises"}:
            assert row.effects == ["pure"], op


def test_groups_are_sorted() -> None:
    group: list[str] = []
    for line in lines("facts.txt"):
        group = [*group, words(line)[0]] if words(line) else []
        assert group == sorted(group), f"{group[-1]} stands in the wrong place"
    assert list(commutative()) == sorted(commutative())


# Names


@pytest.mark.parametrize("table", ["facts.txt", "commutative.txt"])
def test_ops_are_registered(table: str) -> None:
    named = facts() if table == "facts.txt" else commutative()
    missing = sorted(set(named) - set(registry()) - set(LEGACY))
    if version() >= (2, 21):
        assert not missing
    # An older TensorFlow lacks some; a wrong name would still show as nearly a whole family missing.
    assert len(missing) < 10, missing


def test_legacy_ops_have_a_row_and_a_reason() -> None:
    for op, reason in LEGACY.items():
        assert op in facts(), op
        assert reason


def test_accesses_name_operands() -> None:
    for op, row in facts().items():
        if op not in registry():
            continue
        operands = {arg.name: arg for arg in registry()[op].input_arg}
        for target in row.targets:
            if target.startswith("@"):
                continue
            assert target in operands, f"{op} has no operand {target}"
            arg = operands[target]
            holds_state = arg.is_ref or arg.type == types_pb2.DT_RESOURCE
            assert holds_state != (op in WRITES_A_TENSOR), f"{op}: {target} holds no state"


# State that the registry knows of


def test_no_op_with_references_is_pure() -> None:
    assert not sorted(op for op, definition in pure().items() if has_ref(definition))


def test_ops_with_references_have_a_row_that_says_so() -> None:
    for op, row in facts().items():
        if op in registry() and any(arg.is_ref for arg in registry()[op].input_arg):
            assert row.targets or row.effects in (["control"], ["unknown"]), op


def test_stateful_ops_are_not_pure_unless_reviewed() -> None:
    stateful = {op for op, definition in pure().items() if definition.is_stateful}
    assert stateful <= set(PURE_THOUGH_STATEFUL)


def test_no_op_on_resources_is_pure() -> None:
    assert not sorted(op for op, definition in pure().items() if has_type(definition, types_pb2.DT_RESOURCE))


def test_every_resource_operand_is_accounted_for() -> None:
    """A row that forgets one of several handles would let a read move across the write to it."""
    for op, row in facts().items():
        if op not in registry() or not {"control", "unknown"}.isdisjoint(row.effects):
            continue
        for arg in registry()[op].input_arg:
            if arg.is_ref or arg.type == types_pb2.DT_RESOURCE:
                assert arg.name in row.targets, f"{op} does not say what it does to {arg.name}"


def test_ops_on_variants_are_flagged() -> None:
    for op, definition in pure().items():
        assert ("variant" in facts()[op].flags) == has_type(definition, types_pb2.DT_VARIANT), op


def test_pure_ops_have_no_mark_of_state_in_their_attributes() -> None:
    """Names of shared state, tokens of Python functions, functions to call, seeds."""
    for op, definition in pure().items():
        names = {attr.name for attr in definition.attr}
        assert names.isdisjoint({"container", "shared_name", "token"}), op
        assert not attributes(definition, "func", "list(func)"), op
        if op not in PURE_THOUGH_SEEDED:
            assert not attributes(definition, "int", "float") & {"seed", "seed2"}, op


def test_ops_that_call_functions_have_one() -> None:
    for op, row in facts().items():
        if "calls" in row.effects and op in registry():
            assert attributes(registry()[op], "func", "list(func)"), op


def test_pure_ops_give_something_from_something() -> None:
    assert {op for op, definition in pure().items() if not definition.output_arg} == set(PURE_WITHOUT_RESULT)
    assert {op for op, definition in pure().items() if not definition.input_arg} == (
        set(PURE_WITHOUT_OPERANDS) | set(PURE_WITHOUT_RESULT)
    )


def test_datasets_are_never_pure() -> None:
    assert not sorted(op for op in pure() if "Dataset" in op)


# What has no row


def test_unlisted_stateful_ops_have_unknown_effects() -> None:
    from tfreuse.ops.registry import Ops

    ops = Ops(lambda op: None)
    unlisted = unlisted_stateful_ops()
    print(f"{len(unlisted)} stateful ops without a row:", *unlisted, sep="\n")
    for op in unlisted:
        assert ops.facts(op).kind == "unknown", op
        assert not ops.facts(op).accesses, op


def test_the_loader_reads_the_same_rows() -> None:
    from tfreuse.ops.facts import builtin_commutative, builtin_facts
    from tfreuse.ops.registry import Ops

    assert set(builtin_facts()) == set(facts())
    ops = Ops(lambda op: None)
    for op, row in facts().items():
        loaded = ops.facts(op)
        accesses = [f"{access.mode}s:{access.target}" for access in loaded.accesses]
        natures = [] if loaded.kind == "effects" else [loaded.kind]
        assert (sorted(accesses + natures), set(loaded.flags)) == (sorted(row.effects), set(row.flags)), op
    assert {op: set(types) for op, types in builtin_commutative().items()} == {
        op: {dtype_number(name) for name in names} for op, names in commutative().items()
    }


# Rows that contradict the registry on purpose


@pytest.mark.parametrize("noise", ["uniform", "gaussian"])
def test_extract_glimpse_draws_random_numbers(noise: str) -> None:
    """It is registered as stateless and fills what lies outside the image with noise."""
    image = tf.reshape(tf.range(64.0), [1, 8, 8, 1])

    def draw() -> bytes:
        glimpse = tf.raw_ops.ExtractGlimpseV2(
            input=image, size=[6, 6], offsets=[[0.9, 0.9]], noise=noise, uniform_noise=noise == "uniform"
        )
        return bytes(glimpse.numpy().tobytes())

    assert len({draw() for _ in range(4)}) > 1


@pytest.mark.parametrize("op", ["FractionalMaxPool", "FractionalAvgPool"])
def test_fractional_pooling_draws_random_numbers(op: str) -> None:
    image = tf.reshape(tf.range(1024.0), [1, 32, 32, 1])

    def draw() -> bytes:
        pooled = getattr(tf.raw_ops, op)(value=image, pooling_ratio=[1.0, 1.44, 1.73, 1.0], pseudo_random=True)
        return bytes(np.asarray(pooled.row_pooling_sequence).tobytes() + pooled.output.numpy().tobytes())

    assert len({draw() for _ in range(8)}) > 1


def test_file_reads_are_reads_although_registered_as_stateless() -> None:
    for op in ("MatchingFiles", "ReadFile", "GenerateVocabRemapping"):
        assert not registry()[op].is_stateful
        assert facts()[op].effects == ["reads:@io"]
