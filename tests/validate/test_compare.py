"""Bits are compared, and a difference says which element, by how much."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfreuse.bridge.module import ops_of, read_module
from tfreuse.ir.graph import Value
from tfreuse.validate.compare import compare, ulp_distance
from tfreuse.validate.magnitudes import as_magnitudes
from tfreuse.validate.numeric_programs import as_array
from tfreuse.validate.roundings import roundings
from tfreuse.validate.tolerance import Unbounded, bound, gamma

NANS = np.array([0x7FC00000, 0x7FC00001], np.uint32).view(np.float32)
BFLOAT16 = tf.bfloat16.as_numpy_dtype


@pytest.mark.parametrize(
    "value",
    [NANS, np.float32(-0.0), np.array([b"a", b""], object), np.zeros([0, 3]), np.array([1, 2], BFLOAT16), True, 1 + 2j],
)
def test_equal_bits(value: Any) -> None:
    assert compare(value, np.array(value, copy=True)) is None


@pytest.mark.parametrize(
    ("left", "right", "ulps", "text"),
    [
        (np.float32(0.0), np.float32(-0.0), 1, "0.0 became -0.0"),
        (np.float32([1, 1]), np.float32([1, 1 + 2**-22]), 2, "element [1]: 1.0 became 1.0000002"),
        (np.float64(1), np.nextafter(1, 2), 1, "1.0 became 1.0000000000000002"),
        (np.array([1, 2], BFLOAT16), np.array([1, 2.015625], BFLOAT16), 1, "element [1]"),
        (np.float32(-1e-45), np.float32(1e-45), 3, "became"),
        (np.float32(np.inf), np.finfo(np.float32).max, 1, "inf became"),
        (np.float32(1), np.float32(np.nan), None, "0x7fc00000"),
        (np.int32([3, 5]), np.int32([3, 9]), 4, "5 became 9"),
        (np.float32(1), np.float64(1), None, "float32 became float64"),
        (np.ones(2), np.ones([2, 1]), None, "[2] became [2, 1]"),
        (np.array([b"a"], object), np.array([b"b"], object), None, "b'a' became b'b'"),
        (np.complex64(1 + 2j), np.complex64(1 - 2j), 2 * 0x40000000 + 1, "became"),
    ],
)
def test_differences(left: Any, right: Any, ulps: int | None, text: str) -> None:
    found = compare(left, right)
    assert found is not None
    assert found.ulps == ulps
    assert text in str(found)
    assert not found.payloads_only


def test_payloads_of_nans_are_told_apart() -> None:
    found = compare(NANS, NANS[::-1])
    assert found is not None and found.payloads_only
    mixed = compare(np.append(NANS, np.float32(1)), np.append(NANS[::-1], np.float32(2)))
    assert mixed is not None and not mixed.payloads_only


def test_values_of_all_kinds_are_read() -> None:
    for value in (b"a", tf.constant(b"a"), np.array(b"a", object)):
        assert compare(as_array(value), as_array(tf.constant([b"a"])[0])) is None
        assert compare(as_array(value), as_array(b"a\0")) is not None
    assert compare(as_array(np.int32(2)), as_array(tf.constant(2))) is None
    assert compare(as_array(np.int32(2)), as_array(np.int32(1))) is not None


def test_ulps_count_representable_numbers() -> None:
    values = np.sort(np.arange(0xFC00, dtype=np.uint16).view(np.float16))
    finite = values[np.isfinite(values)]
    finite = np.concatenate([finite[finite < 0], [np.float16(-0.0)], finite[finite > 0]])
    assert ulp_distance(finite[:-1], finite[1:]) == 2  # only from -0.0, over 0.0, to the smallest number
    assert sum(ulp_distance(a[None], b[None]) for a, b in pairwise(finite)) == finite.size


def test_gamma_is_highams() -> None:
    assert gamma(1, "float32") == 2.0**-24 / (1 - 2.0**-24)
    with pytest.raises(Unbounded):
        gamma(2**10, "float16")
    with pytest.raises(Unbounded):
        gamma(1, "int32")


def test_the_bound_holds_for_sums_in_any_order() -> None:
    random = np.random.default_rng(1)
    terms = np.ldexp(random.standard_normal([1000, 64]), random.integers(-8, 8, [1000, 64])).astype(np.float32)
    orders = [terms, terms[:, ::-1], np.sort(terms)]
    sums = [np.add.accumulate(order, axis=1)[:, -1].astype(np.float64) for order in orders]
    allowed = bound(np.add.accumulate(np.abs(terms), axis=1)[:, -1], 63, 63)
    for one in sums:
        assert (np.abs(one - sums[0]) <= allowed).all()
    assert (allowed < 1e-4 * np.abs(terms).sum(axis=1)).all()


def test_magnitudes_and_roundings_of_a_graph() -> None:
    random = np.random.default_rng(3)
    weights, bias, image = (random.standard_normal(shape).astype(np.float32) for shape in ([5, 4], [4], [3, 5]))
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [3, 5], "x")
        y = tf.nn.relu(-tf.nn.bias_add(tf.matmul(x, weights), -bias)) * 0.5 - tf.transpose(x)[:1, :1]
        output = tf.reduce_sum(y, axis=1)
    graph_def = graph.as_graph_def(add_shapes=True)
    module = read_module(graph_def, ops_of(graph_def), arguments=["x"])
    # The product adds 5 terms, the bias, the factor and the difference one each, the sum at most all of 3 * 4.
    assert roundings(module, Value(output.op.name)) == 5 + 1 + 1 + 1 + 12
    as_magnitudes(graph_def)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.graph_util.import_graph_def(graph_def, name="")
        found = session.run(output.name, {"x:0": image})
    inner = (np.abs(image) @ np.abs(weights) + np.abs(bias)) * 0.5 + np.abs(image[0, 0])
    np.testing.assert_allclose(found, inner.sum(axis=1), rtol=1e-6)
    exponential = tf.function(lambda x: tf.exp(x)).get_concrete_function(tf.TensorSpec([2])).graph
    other = exponential.as_graph_def()
    with pytest.raises(Unbounded, match="Exp"):
        roundings(read_module(other, ops_of(other)), Value(exponential.outputs[0].op.name))


def test_windows_that_are_averaged_and_moved() -> None:
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [1, 8, 8, 1])
        patches = tf.image.extract_patches(x, [1, 4, 4, 1], [1, 2, 2, 1], [1, 1, 1, 1], "VALID")
        output = tf.nn.avg_pool2d(tf.reshape(patches, [-1, 4, 4, 1]), 2, 2, "SAME") + 1.0
    graph_def = graph.as_graph_def()
    # Four terms: three additions and a division; and the sum behind it.
    assert roundings(read_module(graph_def, ops_of(graph_def)), Value(output.op.name)) == 4 + 1
    values = np.random.default_rng(1).standard_normal((1, 8, 8, 1)).astype(np.float32)
    as_magnitudes(graph_def)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        found = tf.graph_util.import_graph_def(graph_def, return_elements=[output.name], name="")
        magnitude = session.run(found[0], {x.name: values})
    means = [np.abs(values[0, a : a + 2, b : b + 2, 0]).mean() for a in (0, 2, 4, 6) for b in (0, 2, 4, 6)]
    assert magnitude.min() == pytest.approx(min(means) + 1.0, rel=1e-5)
