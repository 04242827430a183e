"""Constants are equal exactly where their type, shape and bits are, however the protocol buffer spells them."""

from __future__ import annotations

import itertools
import struct
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2

from tfreuse.bridge.tensors import read_tensor, write_tensor
from tfreuse.ir.attrs import Tensor

HALVES = {tf.half: np.float16, tf.bfloat16: ml_dtypes.bfloat16}
FIELDS = {
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int8: "int_val",
    tf.int16: "int_val",
    tf.int32: "int_val",
    tf.int64: "int64_val",
    tf.uint8: "int_val",
    tf.uint16: "int_val",
    tf.uint32: "uint32_val",
    tf.uint64: "uint64_val",
    tf.bool: "bool_val",
    tf.half: "half_val",
    tf.bfloat16: "half_val",
    tf.complex64: "scomplex_val",
    tf.complex128: "dcomplex_val",
    tf.qint8: "int_val",
    tf.quint8: "int_val",
    tf.qint16: "int_val",
    tf.quint16: "int_val",
    tf.qint32: "int_val",
}
QUANTIZED = {tf.qint8: tf.int8, tf.quint8: tf.uint8, tf.qint16: tf.int16, tf.quint16: tf.uint16, tf.qint32: tf.int32}
TYPES = sorted(FIELDS, key=lambda dtype: dtype.as_datatype_enum)


def proto(dtype: tf.DType, shape: tuple[int, ...], **fields: Any) -> Any:
    """A `TensorProto`."""
    sizes = tensor_shape_pb2.TensorShapeProto(dim=[{"size": size} for size in shape])
    return tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum, tensor_shape=sizes, **fields)


def listed(dtype: tf.DType, array: np.ndarray) -> list[Any]:
    """The elements of `array` as the field of `dtype` lists them."""
    flat = array.ravel()
    if dtype in HALVES:
        return [int(bits) for bits in flat.view(np.uint16)]
    if dtype.is_complex:
        return [part for value in flat for part in (value.real, value.imag)]
    return [value.item() for value in flat]


def spellings(dtype: tf.DType, array: np.ndarray) -> dict[str, Any]:
    """All ways to write one array."""
    numbers, per = listed(dtype, array), 2 if dtype.is_complex else 1
    found = {
        "content": proto(dtype, array.shape, tensor_content=array.tobytes()),
        "list": proto(dtype, array.shape, **{FIELDS[dtype]: numbers}),
    }
    groups = [numbers[i : i + per] for i in range(0, len(numbers), per)]
    for length in range(1, len(groups)):
        if all(group == groups[length - 1] for group in groups[length:]):
            short = [number for group in groups[:length] for number in group]
            found[f"list of {length}"] = proto(dtype, array.shape, **{FIELDS[dtype]: short})
    return found


def values(dtype: tf.DType, numbers: list[int]) -> np.ndarray:
    """Small numbers as an array of the type."""
    return np.array(numbers).astype(QUANTIZED.get(dtype, dtype).as_numpy_dtype)


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("numbers", [[3, 1, 1, 1, 1, 1], [1] * 6, [0] * 6, [1, 0, 1, 0, 1, 0], [0, 0, 0, 0, 0, 1]])
def test_all_spellings_are_equal(dtype: tf.DType, numbers: list[int]) -> None:
    found = spellings(dtype, values(dtype, numbers).reshape(2, 3))
    read = {name: read_tensor(spelled) for name, spelled in found.items()}
    first = read["content"]
    assert isinstance(first, Tensor)
    for name, tensor in read.items():
        assert tensor == first and hash(tensor) == hash(first), name


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
def test_spellings_are_tensorflows(dtype: tf.DType) -> None:
    """What is called equal here is equal for TensorFlow, which decodes every spelling to the same bits."""
    array = values(dtype, [1, 0, 1, 1, 1, 1]).reshape(2, 3)
    for spelled in spellings(dtype, array).values():
        given = tf.io.parse_tensor(spelled.SerializeToString(), dtype)
        plain = tf.bitcast(given, QUANTIZED[dtype]) if dtype in QUANTIZED else given
        assert plain.numpy().tobytes() == array.tobytes()


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
def test_differences_are_seen(dtype: tf.DType) -> None:
    arrays = [values(dtype, numbers) for numbers in ([0, 1], [1, 0], [1, 1], [0, 0])]
    variants = [*arrays, arrays[0].reshape(1, 2), arrays[0].reshape(2, 1), values(dtype, [0, 1, 1]), values(dtype, [0])]
    read = [read_tensor(next(iter(spellings(dtype, array).values()))) for array in variants]
    for one, other in itertools.combinations(read, 2):
        assert one != other


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
def test_nothing_given_is_zero(dtype: tf.DType) -> None:
    zeros = read_tensor(proto(dtype, (2, 2), tensor_content=bytes(4 * dtype.size)))
    assert read_tensor(proto(dtype, (2, 2))) == zeros


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
def test_empty(dtype: tf.DType) -> None:
    empty = read_tensor(proto(dtype, (2, 0)))
    assert empty is not None and len(empty.elements) == 0
    assert empty != read_tensor(proto(dtype, (0, 2)))


def test_types_of_equal_bits_differ() -> None:
    read = [read_tensor(proto(dtype, (), tensor_content=bytes(dtype.size))) for dtype in TYPES]
    for one, other in itertools.combinations(read, 2):
        assert one != other


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64, tf.half, tf.bfloat16, tf.complex64, tf.complex128])
def test_zero_has_two_signs(dtype: tf.DType) -> None:
    plus, minus = (np.array([number], dtype.as_numpy_dtype) for number in (0.0, -0.0))
    for one in spellings(dtype, plus).values():
        for other in spellings(dtype, minus).values():
            assert read_tensor(one) != read_tensor(other)
            assert read_tensor(one) == read_tensor(proto(dtype, (1,)))


def test_sign_of_the_imaginary_part() -> None:
    read = [read_tensor(proto(tf.complex64, (), scomplex_val=[1.0, part])) for part in (0.0, -0.0)]
    assert read[0] != read[1]


@pytest.mark.parametrize("payload", [0x7FC00000, 0x7FC00001, 0xFFC00000, 0x7FFFFFFF])
def test_a_nan_is_its_bits(payload: int) -> None:
    content = proto(tf.float32, (2,), tensor_content=struct.pack("<2I", payload, payload))
    as_list = proto(tf.float32, (2,))
    as_list.MergeFromString(bytes([0x2A, 4]) + struct.pack("<I", payload))  # field 5, packed: no detour by Python
    assert read_tensor(content) == read_tensor(as_list)
    other = proto(tf.float32, (2,), tensor_content=struct.pack("<2I", payload ^ 2, payload ^ 2))
    assert read_tensor(content) != read_tensor(other)


def test_signalling_nan_in_a_list_is_not_the_quiet_one() -> None:
    """Python's floats make every NaN quiet, TensorFlow does not."""
    read = []
    for payload in (0x7FA00000, 0x7FE00000):
        spelled = proto(tf.float32, ())
        spelled.MergeFromString(bytes([0x2A, 4]) + struct.pack("<I", payload))
        assert tf.io.parse_tensor(spelled.SerializeToString(), tf.float32).numpy().tobytes() == struct.pack(
            "<I", payload
        )
        read.append(read_tensor(spelled))
    assert read[0] is None or read[0] != read[1]


def test_halves_are_bits() -> None:
    nan = [read_tensor(proto(tf.half, (), half_val=[bits])) for bits in (0x7E00, 0x7E01, 0xFE00)]
    assert len(set(nan)) == 3
    # A field of 32 bits holds 16: what stands above them means nothing.
    assert read_tensor(proto(tf.half, (), half_val=[0x18000])) == read_tensor(proto(tf.half, (), half_val=[0x8000]))


@pytest.mark.parametrize(("dtype", "number"), [(tf.int8, -1), (tf.int16, -2), (tf.int32, -3), (tf.uint8, 255)])
def test_narrow_integers(dtype: tf.DType, number: int) -> None:
    content = np.array([number], dtype.as_numpy_dtype).tobytes()
    assert read_tensor(proto(dtype, (1,), int_val=[number])) == read_tensor(proto(dtype, (1,), tensor_content=content))


def test_wide_integers() -> None:
    for dtype, field, number in ((tf.uint64, "uint64_val", 2**64 - 1), (tf.int64, "int64_val", -(2**63))):
        content = np.array([number], dtype.as_numpy_dtype).tobytes()
        assert read_tensor(proto(dtype, (), **{field: [number]})) == read_tensor(
            proto(dtype, (), tensor_content=content)
        )


def test_strings() -> None:
    def read(shape: tuple[int, ...], *texts: bytes) -> Tensor | None:
        return read_tensor(proto(tf.string, shape, string_val=texts))

    assert read((3,), b"a", b"b", b"b") == read((3,), b"a", b"b")
    assert read((3,), b"a") == read((3,), b"a", b"a", b"a")
    assert read((3,)) == read((3,), b"") == read((3,), b"", b"", b"")
    different = [read((3,), *texts) for texts in ((b"a",), (b"a", b"b"), (b"ab",), (b"a\0",), (b"",), (b"\xff",))]
    assert len(set(different)) == len(different)
    assert read((1, 3), b"a") != read((3,), b"a")
    assert read((0,)) == read((0,)) and read((0,)) != read((1,))


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
def test_what_is_written_is_what_was_read(dtype: tf.DType) -> None:
    for numbers in ([1, 0, 1], [1, 0, 0, 0], [1], []):
        tensor = read_tensor(spellings(dtype, values(dtype, numbers))["content"])
        assert tensor is not None
        written = tensor_pb2.TensorProto()
        write_tensor(tensor, written)
        assert read_tensor(written) == tensor
        assert tf.make_ndarray(written).tobytes() == values(dtype, numbers).tobytes()


def test_strings_and_signalling_nans_are_written_bit_for_bit() -> None:
    strings = Tensor(tf.string.as_datatype_enum, (3,), (b"a", b"\xff"))
    signalling = Tensor(tf.float32.as_datatype_enum, (3,), struct.pack("<2I", 1, 0x7FA00000))
    for tensor in (strings, signalling):
        written = tensor_pb2.TensorProto()
        write_tensor(tensor, written)
        assert read_tensor(written) == tensor
    assert len(written.tensor_content) == 12


def test_a_large_tensor_of_one_value_is_written_as_one() -> None:
    written = tensor_pb2.TensorProto()
    write_tensor(Tensor(tf.int64.as_datatype_enum, (10**9,), struct.pack("<q", -1)), written)
    assert written.ByteSize() < 50 and list(written.int64_val) == [-1]
