"""Constants that are large, abbreviated, malformed, or of types whose bits cannot be told."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.message import Message
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2

from tests.bridge.test_tensors import FIELDS, TYPES, proto
from tfreuse.bridge.attrs import read_attr
from tfreuse.bridge.tensors import read_tensor
from tfreuse.errors import GraphError
from tfreuse.ir.attrs import Tensor

BILLION = (1000, 1000, 1000)
_EXTRA = tf.dtypes.experimental
NARROW = [_EXTRA.int4, _EXTRA.uint4, _EXTRA.float8_e5m2, _EXTRA.float8_e4m3fn]


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
def test_a_splat_is_never_spread(dtype: tf.DType) -> None:
    spelled = proto(dtype, BILLION, **{FIELDS[dtype]: [1, 0] if dtype.is_complex else [1]})
    tracemalloc.start()
    began = time.process_time()
    read = read_tensor(spelled)
    seconds, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(read, Tensor) and read.shape == BILLION
    assert len(read.elements) == dtype.size
    assert peak < 100_000 and seconds < 1
    assert read == read_tensor(spelled) and hash(read)


def test_a_splat_of_strings_is_never_spread() -> None:
    read = read_tensor(proto(tf.string, BILLION, string_val=[b"a", b"b"]))
    assert isinstance(read, Tensor) and read.elements == (b"a", b"b")


def test_a_shape_larger_than_any_memory() -> None:
    read = read_tensor(proto(tf.float32, (2**62, 2**62), float_val=[1.0]))
    assert isinstance(read, Tensor) and len(read.elements) == 4


def test_a_large_content_is_read_in_linear_time() -> None:
    array = np.zeros(5_000_000, np.float32)
    array[:4_000_000] = np.arange(4_000_000)
    began = time.process_time()
    read = read_tensor(proto(tf.float32, array.shape, tensor_content=array.tobytes()))
    assert time.process_time() - began < 2
    assert isinstance(read, Tensor) and len(read.elements) == 4 * 4_000_001


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("extra", [-1, 1, 8])
def test_content_of_the_wrong_length(dtype: tf.DType, extra: int) -> None:
    with pytest.raises(GraphError, match="bytes"):
        read_tensor(proto(dtype, (3,), tensor_content=bytes(3 * dtype.size + extra)))


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
def test_list_longer_than_the_shape(dtype: tf.DType) -> None:
    with pytest.raises(GraphError, match="more than 2"):
        read_tensor(proto(dtype, (2,), **{FIELDS[dtype]: [0, 1] * 3}))


def test_strings_longer_than_the_shape() -> None:
    with pytest.raises(GraphError, match="more than 1"):
        read_tensor(proto(tf.string, (1,), string_val=[b"a", b"b"]))


@pytest.mark.parametrize("dtype", [tf.complex64, tf.complex128], ids=lambda dtype: dtype.name)
def test_half_of_a_complex_number(dtype: tf.DType) -> None:
    for numbers in ([1.0], [1.0, 2.0, 3.0]):
        with pytest.raises(GraphError):
            read_tensor(proto(dtype, (4,), **{FIELDS[dtype]: numbers}))


@pytest.mark.parametrize("dtype", [tf.resource, tf.variant], ids=lambda dtype: dtype.name)
def test_handles_have_no_bits(dtype: tf.DType) -> None:
    assert read_tensor(proto(dtype, ())) is None


@pytest.mark.parametrize("shape", [{"unknown_rank": True}, {"dim": [{"size": -1}]}])
def test_unknown_shape(shape: dict[str, object]) -> None:
    sizes = tensor_shape_pb2.TensorShapeProto(**shape)
    assert read_tensor(tensor_pb2.TensorProto(dtype=1, tensor_shape=sizes, float_val=[1.0])) is None


@pytest.mark.parametrize("dtype", NARROW, ids=lambda dtype: dtype.name)
def test_narrow_types_are_told_apart_or_not_at_all(dtype: tf.DType) -> None:
    """Equal only if TensorFlow's own constants are; a type that cannot be told equals nothing but its own wire form."""

    def attr(numbers: list[int]) -> object:
        return _attr(tf.constant(np.array(numbers, dtype.as_numpy_dtype)))

    assert read_attr(attr([1, 2])) == read_attr(attr([1, 2]))
    assert read_attr(attr([1, 2])) != read_attr(attr([2, 1]))
    assert read_attr(attr([1, 1])) != read_attr(attr([1, 2]))


def test_what_cannot_be_told_is_its_wire_form() -> None:
    unknown = tensor_shape_pb2.TensorShapeProto(unknown_rank=True)
    protos = [tensor_pb2.TensorProto(dtype=1, tensor_shape=unknown, float_val=[number]) for number in (1.0, 2.0, 1.0)]
    read = [read_attr(_tensor_attr(tensor)) for tensor in protos]
    assert read[0] == read[2] != read[1]


def _attr(tensor: tf.Tensor) -> Message:
    return _tensor_attr(tf.make_tensor_proto(tensor.numpy(), dtype=tensor.dtype))


def _tensor_attr(tensor: Message) -> Message:
    from tensorflow.core.framework import attr_value_pb2

    return attr_value_pb2.AttrValue(tensor=tensor)
