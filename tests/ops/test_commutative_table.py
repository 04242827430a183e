"""`commutative.txt` against the registry and the kernels: swapped operands give the same bits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tests.ops.tables import commutative, dtype_number, facts, registry

pytestmark = pytest.mark.tensorflow


def test_commutative_rows_fit_the_definition() -> None:
    for op, names in commutative().items():
        if op not in registry():
            continue
        definition = registry()[op]
        assert facts()[op].effects == ["pure"], op
        left, right = definition.input_arg
        assert (left.type, left.type_attr) == (right.type, right.type_attr), op
        allowed = [attr for attr in definition.attr if attr.name == left.type_attr]
        if not allowed:
            assert not names, f"{op} has no attribute T"
            continue
        assert names, f"{op} needs its types"
        assert left.type_attr == "T", op
        types = allowed[0].allowed_values.list.type
        assert {dtype_number(name) for name in names} <= set(types) or not types, op


FLOATS = [0.0, -0.0, 1.0, -1.0, 1.5, 3.0, 1e-3, 0.1, -7.25, 60000.0, np.inf, -np.inf, np.nan, 1e-7, -1e-7]


def samples(name: str) -> np.ndarray:
    """Values of one element type, its edge values among them; of a quantised type its integers."""
    dtype = plain(tf.as_dtype(dtype_number(name)))
    if dtype == tf.string:
        return np.array([b"", b"a", b"b", b"ab", b"ba"], object)
    if dtype == tf.bool:
        return np.array([False, True])
    if dtype.is_complex:
        return np.array([complex(*parts) for parts in itertools.product(FLOATS, FLOATS)], dtype.as_numpy_dtype)
    if dtype.is_floating:
        return np.array(FLOATS, np.float64).astype(dtype.as_numpy_dtype)
    return np.array([dtype.min, dtype.max, dtype.max // 2, *range(6)], dtype.as_numpy_dtype)


def plain(dtype: tf.DType) -> tf.DType:
    """The integer type that holds a quantised one."""
    return {tf.qint8: tf.int8, tf.quint8: tf.uint8, tf.qint32: tf.int32}.get(dtype, dtype)


def bitcast(tensor: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    return tensor if tensor.dtype == dtype else tf.bitcast(tensor, dtype)


def bits(tensor: tf.Tensor) -> np.ndarray:
    """The bytes of each element, in rows; all NaNs alike, since their payload is not compared."""
    values = bitcast(tensor, plain(tensor.dtype)).numpy()
    if values.dtype == object:
        return values
    values = np.ascontiguousarray(values).reshape(-1)
    if tensor.dtype.is_complex:
        values = values.view(values.real.dtype)
    if tensor.dtype.is_complex or tensor.dtype.is_floating:
        values = np.where(np.isnan(values.astype(np.float64)), np.array(np.nan, values.dtype), values)
    return values.view(np.uint8).reshape(values.size, values.itemsize)


def pairings(op: str, values: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Every pair of values, as vectors and as broadcasts, and runs of each length up to 33."""
    if op == "BroadcastArgs":
        shapes = [[], [1], [3], [2, 3], [2, 1], [4, 1, 1], [4, 2, 3]]
        operands = [np.array(shape, values.dtype) for shape in shapes]
        return list(itertools.product(operands, operands))
    count = values.size
    left, right = np.repeat(values, count), np.tile(values, count)
    found = [(left, right)]
    for length in range(1, 34):
        start = length * 7 % max(1, count * count - 33)
        found.append((left[start : start + length], right[start : start + length]))
    if op != "ApproximateEqual":  # it does not broadcast
        found.append((values[:, np.newaxis], values[np.newaxis, :]))
        found.extend((values, values[index : index + 1].reshape([])) for index in range(min(count, 20)))
    return found


CASES = [(op, name) for op, names in commutative().items() for name in names or ["bool"]]


@pytest.mark.parametrize(("op", "name"), CASES, ids=[f"{op}-{name}" for op, name in CASES])
def test_swapped_operands_give_the_same_bits(op: str, name: str) -> None:
    if op not in registry():
        pytest.skip(f"{op} is not in TensorFlow {tf.__version__}")
    run = getattr(tf.raw_ops, op)
    first, second = (arg.name for arg in registry()[op].input_arg)
    dtype = tf.as_dtype(dtype_number(name))
    for pair in pairings(op, samples(name)):
        left, right = (bitcast(tf.constant(operand, plain(dtype)), dtype) for operand in pair)
        there = run(**{first: left, second: right})
        back = run(**{first: right, second: left})
        assert there.shape == back.shape
        assert np.array_equal(bits(there), bits(back)), f"{op}({left}, {right}) = {there}, swapped {back}"


def test_what_depends_on_the_order_of_operands_has_no_row() -> None:
    """Zeros in floating maxima, fused rounding in complex products, concatenation, the order of sums."""
    floats = {"bfloat16", "half", "float", "double"}
    assert floats.isdisjoint(commutative()["Maximum"])
    assert floats.isdisjoint(commutative()["Minimum"])
    assert {"complex64", "complex128"}.isdisjoint(commutative()["Mul"])
    assert "string" not in commutative()["Add"]
    assert {"AddN", "AccumulateNV2", "MulNoNan", "Sub"}.isdisjoint(commutative())
