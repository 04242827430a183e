"""Multiply-adds and bytes in the reports of functions, against numbers worked out by hand.

Each program computes one thing twice, so what a report says is saved is the cost of one copy.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import pytest
import tensorflow as tf

import tfreuse

Spec = tf.TensorSpec
IMAGE = Spec([5, 9, 9, 2])


def totals(function: Callable[..., Any], *specs: Any) -> dict[str, Any]:
    """The report's totals for a function that computes `function` twice."""

    @tfreuse.dedupe
    def twice(*args: Any) -> Any:
        first, second = function(*args), function(*args)
        return [2.0 * one + other for one, other in zip(tf.nest.flatten(first), tf.nest.flatten(second), strict=True)]

    twice.get_concrete_function(*specs)
    found: dict[str, Any] = twice.report.to_dict()["totals"]
    return found


def ones(*shape: int) -> tf.Variable:
    return tf.Variable(tf.ones(shape))


def strided(x: Any, kernel: Any) -> Any:
    return tf.nn.conv2d(x, kernel, 2, "SAME")


def two_dimensions() -> Any:
    kernel = ones(3, 3, 2, 4)
    return lambda x: strided(x, kernel)


def groups() -> Any:
    kernel = ones(3, 3, 1, 4)
    return lambda x: tf.nn.conv2d(x, kernel, 1, "SAME")


def one_dimension() -> Any:
    kernel = ones(3, 2, 4)
    return lambda x: tf.nn.conv1d(x, kernel, 1, "VALID")


def three_dimensions() -> Any:
    kernel = ones(2, 3, 3, 2, 4)
    return lambda x: tf.nn.conv3d(x, kernel, [1, 1, 1, 1, 1], "VALID")


def depthwise() -> Any:
    kernel = ones(3, 3, 2, 4)
    return lambda x: tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "VALID")


def separable() -> Any:
    layer = tf.keras.layers.SeparableConv2D(6, 3, depth_multiplier=2, use_bias=False)
    layer.build((None, 9, 9, 2))
    return layer


def transposed() -> Any:
    kernel = ones(3, 3, 4, 2)
    return lambda x: tf.nn.conv2d_transpose(x, kernel, [5, 18, 18, 4], 2, "SAME")


def product() -> Any:
    weight = ones(6, 7)
    return lambda x: tf.matmul(x, weight)


def product_of_the_transposed() -> Any:
    weight = ones(6, 7)
    return lambda x: tf.matmul(x, weight, transpose_a=True)


def batches_of_products() -> Any:
    return lambda x, y: tf.matmul(x, y, adjoint_a=True)


def gradients() -> Any:
    kernel = ones(3, 3, 2, 4)

    def run(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.square(strided(x, kernel)))
        return tape.gradient(loss, [x, kernel])

    return run


def depthwise_gradients() -> Any:
    kernel = ones(3, 3, 2, 4)

    def run(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.square(tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "VALID")))
        return tape.gradient(loss, [x, kernel])

    return run


CASES: list[tuple[Callable[[], Any], list[Any], int]] = [
    (two_dimensions, [IMAGE], prod([5, 5, 5, 4]) * 3 * 3 * 2),
    (groups, [IMAGE], prod([5, 9, 9, 4]) * 3 * 3 * 1),
    (one_dimension, [Spec([5, 9, 2])], prod([5, 7, 4]) * 3 * 2),
    (three_dimensions, [Spec([5, 7, 9, 9, 2])], prod([5, 6, 7, 7, 4]) * 2 * 3 * 3 * 2),
    (depthwise, [IMAGE], prod([5, 7, 7, 2 * 4]) * 3 * 3),
    (separable, [IMAGE], prod([5, 7, 7, 2 * 2]) * 3 * 3 + prod([5, 7, 7, 6]) * 2 * 2),
    (transposed, [IMAGE], prod([5, 9, 9, 2]) * 3 * 3 * 4),
    (product, [Spec([5, 6])], 5 * 6 * 7),
    (product_of_the_transposed, [Spec([6, 5])], 5 * 6 * 7),
    (batches_of_products, [Spec([3, 6, 5]), Spec([3, 6, 7])], 3 * 5 * 6 * 7),
    # The convolution, its gradient to the image and its gradient to the kernel.
    (gradients, [IMAGE], 3 * prod([5, 5, 5, 4]) * 3 * 3 * 2),
    (depthwise_gradients, [IMAGE], 3 * prod([5, 7, 7, 8]) * 3 * 3),
]


@pytest.mark.parametrize(("make", "specs", "expected"), CASES, ids=[make.__name__ for make, *_ in CASES])
def test_multiply_adds(make: Callable[[], Any], specs: list[Any], expected: int) -> None:
    found = totals(make(), *specs)
    assert found["multiply_adds"] == expected
    assert not found["unknown_cost"]
    assert not found["per_example"]


def test_bytes_are_those_of_the_results_that_are_no_longer_made() -> None:
    kernel = ones(3, 3, 2, 4)
    half = tf.Variable(tf.ones([7], tf.float16))
    assert totals(lambda x: strided(x, kernel), IMAGE)["bytes"] == 4 * (prod([5, 5, 5, 4]) + prod([3, 3, 2, 4]))
    # Three reads of four, one product and its cast, one product of floats.
    assert totals(lambda x: tf.cast(half * half, tf.float32) * x, Spec([]))["bytes"] == 7 * (3 * 2 + 2 + 4 + 4)


def test_an_unknown_batch_counts_as_one_example() -> None:
    found = totals(two_dimensions(), Spec([None, 9, 9, 2]))
    assert found["multiply_adds"] == prod([5, 5, 4]) * 3 * 3 * 2
    assert found["per_example"]
    assert not found["unknown_cost"]


@pytest.mark.parametrize("shape", [None, [None, None, None, 2], [5, None, 9, 2]], ids=str)
def test_an_unknown_shape_has_an_unknown_cost(shape: Any) -> None:
    kernel = ones(3, 3, 2, 4)

    @tfreuse.dedupe(input_signature=[Spec(shape)])
    def twice(x: Any) -> Any:
        return strided(x, kernel) * 2.0 + strided(x, kernel)

    twice.get_concrete_function()
    (entry,) = twice.report.to_dict()["functions"]
    (region,) = entry["regions"]
    assert region["ops"] == {"Conv2D": 1, "ReadVariableOp": 1}
    assert region["multiply_adds"] is region["bytes"] is None
    assert twice.report.to_dict()["totals"]["unknown_cost"]
    assert "at least 0 multiply-adds" in str(twice.report)
    assert "unknown" in str(twice.report)
