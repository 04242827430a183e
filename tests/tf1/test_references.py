"""Which ops hand the buffer of a TF1 reference on: a write to the variable shows in their results, or does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.tf1.sessions import config
from tfreuse.ops.buffers import MAY_VIEW, VIEW, buffer_ops

pytestmark = pytest.mark.tensorflow

v1, raw = tf.compat.v1, tf.raw_ops
NO_AXES = np.zeros([0], np.int32)
NO_PADDING = [[0, 0], [0, 0]]
ONE_BLOCK = {"block_shape": [1, 1]}

HANDS_ON: dict[str, Callable[[Any], Any]] = {
    "AddN": lambda r: raw.AddN(inputs=[r]),
    "BatchToSpaceND": lambda r: raw.BatchToSpaceND(input=r[None, ..., None], crops=NO_PADDING, **ONE_BLOCK),
    "BroadcastTo": lambda r: raw.BroadcastTo(input=r, shape=[16, 16]),
    "Cast": lambda r: raw.Cast(x=r, DstT=tf.float32),
    "CopyHost": lambda r: raw.CopyHost(input=r),
    "MatrixBandPart": lambda r: raw.MatrixBandPart(input=r, num_lower=-1, num_upper=-1),
    "Max": lambda r: raw.Max(input=r, axis=NO_AXES),
    "Mean": lambda r: raw.Mean(input=r, axis=NO_AXES),
    "Min": lambda r: raw.Min(input=r, axis=NO_AXES),
    "MirrorPad": lambda r: raw.MirrorPad(input=r, paddings=NO_PADDING, mode="REFLECT"),
    "Pack": lambda r: raw.Pack(values=[r]),
    "Pad": lambda r: raw.Pad(input=r, paddings=NO_PADDING),
    "PadV2": lambda r: raw.PadV2(input=r, paddings=NO_PADDING, constant_values=0.0),
    "Prod": lambda r: raw.Prod(input=r, axis=NO_AXES),
    "Slice": lambda r: tf.slice(r, [8, 0], [8, 16]),
    "SpaceToBatchND": lambda r: raw.SpaceToBatchND(input=r[None, ..., None], paddings=NO_PADDING, **ONE_BLOCK),
    "Split": lambda r: tf.split(r, 2)[1],
    "SplitV": lambda r: tf.split(r, [8, 8])[1],
    "StridedSlice": lambda r: r[8],
    "Sum": lambda r: raw.Sum(input=r, axis=NO_AXES),
    "Tile": lambda r: raw.Tile(input=r, multiples=[1, 1]),
    "Transpose": lambda r: tf.transpose(r, [0, 1]),
    "Unpack": lambda r: tf.unstack(r)[8],
}
COPIES: dict[str, Callable[[Any], Any]] = {
    "Concat": lambda r: raw.Concat(concat_dim=0, values=[r, tf.zeros([0, 16])]),
    "EuclideanNorm": lambda r: raw.EuclideanNorm(input=r, axis=NO_AXES),
    "GatherV2": lambda r: tf.gather(r, tf.range(16)),
    "MatMul": lambda r: tf.matmul(r, tf.eye(16)),
    "Mul": lambda r: r * 1.0,
    "Relu": tf.nn.relu,
    "ReverseV2": lambda r: raw.ReverseV2(tensor=r, axis=NO_AXES),
    "Roll": lambda r: raw.Roll(input=r, shift=[0], axis=[0]),
    "SelectV2": lambda r: raw.SelectV2(condition=True, t=r, e=r),
}
NOT_RUN = {"All", "Any", "BatchToSpace", "ConjugateTranspose", "Copy", "SpaceToBatch"}
"""Other forms of ops above: for other types, with other attributes, for other devices."""


def result_behind_a_write(use: Callable[[Any], Any]) -> np.ndarray:
    """What is left of `use(variable)`, all ones, when the variable has become all sevens."""
    with tf.Graph().as_default(), v1.Session(config=config()) as session:
        variable = v1.get_variable("v", initializer=np.ones([16, 16], np.float32), use_resource=False)
        result = use(tf.identity(variable))
        with tf.control_dependencies([result]):
            write = v1.assign(variable, tf.fill([16, 16], 7.0), use_locking=True).op
        with tf.control_dependencies([write]):
            later = raw.AddV2(x=result, y=tf.zeros([]))
        session.run(v1.global_variables_initializer())
        return np.unique(session.run(later))


@pytest.mark.parametrize("op", HANDS_ON)
def test_the_result_changes_with_the_variable(op: str) -> None:
    assert result_behind_a_write(HANDS_ON[op]) == [7.0]


@pytest.mark.parametrize("op", COPIES)
def test_the_result_is_a_copy(op: str) -> None:
    assert result_behind_a_write(COPIES[op]) == [1.0]


def test_the_table_lists_them() -> None:
    assert buffer_ops(MAY_VIEW) == HANDS_ON.keys() | NOT_RUN
    assert not (buffer_ops(MAY_VIEW) | buffer_ops(VIEW)) & COPIES.keys()
