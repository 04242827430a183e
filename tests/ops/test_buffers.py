"""The table of buffers against TensorFlow: who takes over a buffer, and whose result is one that was there."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2, op_def_pb2

from tfreuse.bridge.opdefs import registered
from tfreuse.ops.buffers import REUSES, VIEW, buffer_ops
from tfreuse.ops.facts import builtin_facts
from tools.bench.allocator import peak_bytes

pytestmark = pytest.mark.tensorflow

SIDE = 64
OTHERS: dict[str, Any] = {
    "AddN": lambda fill: tf.raw_ops.AddN(inputs=[fill(), fill()]),
    "BiasAdd": lambda fill: tf.raw_ops.BiasAdd(value=fill(), bias=tf.ones([SIDE])),
    "BiasAddV1": lambda fill: tf.raw_ops.BiasAddV1(value=fill(), bias=tf.ones([SIDE])),
    "Bitcast": lambda fill: tf.raw_ops.Bitcast(input=fill(), type=tf.int32),
    "CheckNumerics": lambda fill: tf.raw_ops.CheckNumerics(tensor=fill(), message=""),
    "CheckNumericsV2": lambda fill: tf.raw_ops.CheckNumericsV2(tensor=fill(), message=""),
    "EnsureShape": lambda fill: tf.raw_ops.EnsureShape(input=fill(), shape=[SIDE, SIDE]),
    "ExpandDims": lambda fill: tf.raw_ops.ExpandDims(input=fill(), axis=0),
    "IdentityN": lambda fill: tf.raw_ops.IdentityN(input=[fill()])[0],
    "PlaceholderWithDefault": lambda fill: tf.raw_ops.PlaceholderWithDefault(input=fill(), shape=[SIDE, SIDE]),
    "Reshape": lambda fill: tf.raw_ops.Reshape(tensor=fill(), shape=[-1]),
    "Select": lambda fill: tf.raw_ops.Select(condition=tf.constant([True, False] * (SIDE // 2)), x=fill(), y=fill()),
    "SelectV2": lambda fill: tf.raw_ops.SelectV2(condition=tf.constant([[True]]), t=fill(), e=fill()),
}
"""Ops whose operands are not all of the type of their result, or which have an attribute without a default."""
NOT_RUN = {
    **dict.fromkeys(("Enter", "Exit", "Merge", "NextIteration", "Switch"), "needs a loop or a branch around it"),
    **dict.fromkeys(
        ("RefEnter", "RefExit", "RefIdentity", "RefMerge", "RefNextIteration", "RefSwitch"), "needs a reference"
    ),
    **dict.fromkeys(("ReadVariableOp", "_ReadVariablesOp"), "needs a variable, whose buffer it is until a write"),
}
TABLE = sorted(buffer_ops(VIEW) | buffer_ops(REUSES))


@cache
def peak(op: str) -> tuple[int, float]:
    """The number of large operands, and the peak of memory in results of that size."""
    definition = registered_definition(op)
    count = 0

    def run(dtype: tf.DType) -> tuple[int, float]:
        @tf.function
        def program(value: Any) -> Any:
            nonlocal count
            count = 0

            def fill() -> Any:
                nonlocal count
                count += 1
                # Tiles of its own for each operand, so that nothing is shared.
                return tf.raw_ops.Fill(dims=[SIDE, SIDE], value=value)

            if op in OTHERS:
                result = OTHERS[op](fill)
            else:
                attrs = dict(defaults(definition))
                attrs[definition.output_arg[0].type_attr] = attr_value_pb2.AttrValue(type=dtype.as_datatype_enum)
                operands = [fill() for _ in definition.input_arg]
                graph = tf.compat.v1.get_default_graph()
                result = graph.create_op(op, operands, attrs=attrs).outputs[0]
            with tf.control_dependencies([result]):
                return tf.reshape(result, [-1])[:1]

        concrete = program.get_concrete_function(tf.TensorSpec([], dtype))
        argument = np.ones([], dtype.as_numpy_dtype)
        return count, peak_bytes(concrete, [argument], threads=1) / (SIDE * SIDE * dtype.size)

    for dtype in (tf.float32, tf.int32, tf.complex64, tf.bool):
        try:
            return run(dtype)
        except (TypeError, ValueError, tf.errors.OpError):
            continue  # the next type
    raise AssertionError(f"{op} runs for no type")


def registered_definition(op: str) -> op_def_pb2.OpDef:
    from tensorflow.python.framework import op_def_registry

    return op_def_registry.get(op)


def defaults(definition: op_def_pb2.OpDef) -> dict[str, Any]:
    return {attr.name: attr.default_value for attr in definition.attr if attr.HasField("default_value")}


def test_no_op_is_in_both_parts() -> None:
    assert not buffer_ops(VIEW) & buffer_ops(REUSES)


@pytest.mark.parametrize("op", TABLE)
def test_the_op_exists_and_its_effects_are_known(op: str) -> None:
    assert registered(op) is not None and op in builtin_facts()


@pytest.mark.parametrize("op", [op for op in TABLE if op not in NOT_RUN])
def test_the_result_takes_no_memory_of_its_own(op: str) -> None:
    operands, found = peak(op)
    assert operands <= found < operands + 0.5


@pytest.mark.parametrize("op", ["MatMul", "Betainc", "BatchMatMulV2"])
def test_others_do(op: str) -> None:
    operands, found = peak(op)
    assert found >= operands + 1


def test_what_is_not_run_is_in_the_table() -> None:
    assert NOT_RUN.keys() <= set(TABLE)
