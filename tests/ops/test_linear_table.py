"""Each row of `tfreuse.ops.linear` against the kernel: on whole numbers f(a) + f(b) is f(a + b), to the last bit."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfreuse.ops.linear import LINEAR, Linear
from tfreuse.validate.tolerance import gamma

pytestmark = pytest.mark.tensorflow

IMAGE, VIDEO, FILTER = (2, 4, 4, 2), (1, 4, 4, 4, 2), (3, 3, 2, 2)
PLAIN = {"strides": [1, 1, 1, 1], "padding": "SAME"}
VOLUME = {"strides": [1, 1, 1, 1, 1], "padding": "SAME"}
POOL = {"ksize": [1, 2, 2, 1], "strides": [1, 2, 2, 1], "padding": "VALID"}
POOL3 = {"ksize": [1, 2, 2, 2, 1], "strides": [1, 2, 2, 2, 1], "padding": "VALID"}
HALF, HALF3 = (2, 2, 2, 2), (1, 2, 2, 2, 2)
MATRIX, BATCH = (3, 3), (2, 3, 3)

# For each op its operands in order (a shape stands for random whole numbers, anything else for itself) and attributes.
SAMPLES: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "Conv2D": ([IMAGE, FILTER], PLAIN),
    "Conv3D": ([VIDEO, (3, 3, 3, 2, 2)], VOLUME),
    "DepthwiseConv2dNative": ([IMAGE, FILTER], PLAIN),
    "Conv2DBackpropFilter": ([IMAGE, list(FILTER), IMAGE], PLAIN),
    "Conv2DBackpropInput": ([list(IMAGE), FILTER, IMAGE], PLAIN),
    "Conv3DBackpropFilterV2": ([VIDEO, [3, 3, 3, 2, 2], VIDEO], VOLUME),
    "Conv3DBackpropInputV2": ([list(VIDEO), (3, 3, 3, 2, 2), VIDEO], VOLUME),
    "DepthwiseConv2dNativeBackpropFilter": ([IMAGE, list(FILTER), (2, 4, 4, 4)], PLAIN),
    "DepthwiseConv2dNativeBackpropInput": ([list(IMAGE), FILTER, (2, 4, 4, 4)], PLAIN),
    "MatMul": ([MATRIX, MATRIX], {"transpose_b": True}),
    **dict.fromkeys(("BatchMatMul", "BatchMatMulV2"), ([BATCH, BATCH], {"adj_x": True})),
    **dict.fromkeys(
        ("EluGrad", "LeakyReluGrad", "Relu6Grad", "ReluGrad", "SeluGrad", "SigmoidGrad", "TanhGrad"),
        ([IMAGE, IMAGE], {}),
    ),
    **dict.fromkeys(("SoftplusGrad", "SoftsignGrad"), ([IMAGE, IMAGE], {})),
    **dict.fromkeys(("ReciprocalGrad", "RsqrtGrad", "SqrtGrad"), ([np.full(IMAGE, 2.0, np.float32), IMAGE], {})),
    "Cast": ([IMAGE], {"DstT": tf.float64}),
    "ExpandDims": ([MATRIX, 1], {}),
    "Neg": ([IMAGE], {}),
    "Pad": ([MATRIX, [[1, 0], [0, 2]]], {}),
    "Tile": ([MATRIX, [2, 1]], {}),
    "Transpose": ([MATRIX, [1, 0]], {}),
    "RealDiv": ([IMAGE, np.float32(4.0)], {}),
    "Mul": ([IMAGE, IMAGE], {}),
    "Reshape": ([IMAGE, [8, 8]], {}),
    "Squeeze": ([(3, 1)], {"axis": [1]}),
    "AvgPoolGrad": ([list(IMAGE), HALF], POOL),
    "AvgPool3DGrad": ([list(VIDEO), HALF3], POOL3),
    "MaxPoolGrad": ([IMAGE, "pooled", HALF], POOL),
    "MaxPool3DGrad": ([VIDEO, "pooled", HALF3], POOL3),
    "FusedBatchNormGradV3": ([IMAGE, IMAGE, (2,), (2,), np.ones(2, np.float32), np.zeros(0, np.float32)], {}),
    "BiasAddGrad": ([IMAGE], {}),
    "Mean": ([IMAGE, [0, 1]], {}),
    "Slice": ([MATRIX, [1, 0], [2, 2]], {}),
    "Sum": ([IMAGE, [0, 1]], {}),
}
ROUNDS = {"EluGrad", "LeakyReluGrad", "SeluGrad", "SigmoidGrad", "SoftplusGrad", "SoftsignGrad", "FusedBatchNormGradV3"}
"""Ops that multiply by fractions that are no sums of powers of two."""
LAWS = [(op, law) for op, laws in LINEAR.items() for law in laws]


def whole(shape: tuple[int, ...], seed: int) -> Any:
    return tf.constant(np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32))


def operands(op: str) -> list[Any]:
    found: list[Any] = [
        whole(sample, place) if isinstance(sample, tuple) else sample for place, sample in enumerate(SAMPLES[op][0])
    ]
    if op.startswith("MaxPool"):
        pool = tf.raw_ops.MaxPool if op == "MaxPoolGrad" else tf.raw_ops.MaxPool3D
        found[1] = pool(input=found[0], **SAMPLES[op][1])
    return found


def run(op: str, values: list[Any]) -> list[Any]:
    function = getattr(tf.raw_ops, op)
    names = list(inspect.signature(function).parameters)
    result = function(**dict(zip(names, values, strict=False)), **SAMPLES[op][1])
    return list(result) if isinstance(result, (list, tuple)) else [result]


def test_every_row_has_a_sample() -> None:
    assert SAMPLES.keys() == LINEAR.keys()


@pytest.mark.parametrize(("op", "law"), LAWS, ids=lambda part: part if isinstance(part, str) else f"{part.operand}")
def test_it_is_linear(op: str, law: Linear) -> None:
    values = operands(op)
    one = values[law.operand]
    other = whole(tuple(one.shape), 99)
    found = [run(op, [*values[: law.operand], v, *values[law.operand + 1 :]]) for v in (one, other, one + other)]
    for port in range(law.ports):
        left, right, both = (np.asarray(results[port]) for results in found)
        assert np.any(left) and left.dtype in (np.float32, np.float64)
        if op in ROUNDS:
            # As many roundings as there are elements, and some for the factor, of sums that all magnitudes bound.
            magnitude = float(sum(np.sum(np.abs(value)) for value in (one, other)))
            bound = 3 * gamma(int(tf.size(one)) + 20, "float32") * magnitude
            np.testing.assert_allclose(left + right, both, rtol=0, atol=bound)
        else:
            np.testing.assert_array_equal(left + right, both)


@pytest.mark.parametrize(
    ("op", "law"),
    [(op, law) for op, law in LAWS if law.pinned],
    ids=lambda p: p if isinstance(p, str) else f"{p.operand}",
)
def test_another_shape_is_refused_or_gives_another(op: str, law: Linear) -> None:
    values = operands(op)
    one = values[law.operand]
    expected = [result.shape for result in run(op, values)[: law.ports]]
    for axis in range(len(one.shape)):
        larger = tf.concat([one, tf.gather(one, [0], axis=axis)], axis)
        try:
            found = run(op, [*values[: law.operand], larger, *values[law.operand + 1 :]])
        except (tf.errors.InvalidArgumentError, ValueError):
            continue
        assert [result.shape for result in found[: law.ports]] != expected, f"axis {axis}"
