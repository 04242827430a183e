"""What TensorFlow runs of a decorated function: equal work once, with the bits and gradients of tf.function.

Inputs and weights are small whole numbers, so sums are exact and a merge cannot show in their rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfreuse
from tests.seeds import executed

Function = Callable[..., Any]


def whole(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-2, 3, shape).astype(np.float32)


def image(size: int = 8, channels: int = 2) -> tf.Tensor:
    return tf.constant(whole(2, size, size, channels, seed=1))


@dataclass
class Case:
    """A program, its arguments, the variables that it differentiates, and counts of op types run, plain and shared."""

    run: Function
    args: tuple[Any, ...]
    variables: list[Any]
    plain: dict[str, int]
    shared: dict[str, int]


def keras_layer() -> Case:
    layer = tf.keras.layers.Conv2D(3, 3)
    layer.build((None, None, None, 2))
    layer.set_weights([whole(3, 3, 2, 3, seed=2), whole(3, seed=3)])
    return Case(
        lambda x: tf.add_n([layer(x) * float(i) for i in range(1, 5)]),
        (image(),),
        list(layer.trainable_variables),
        {"ReadVariableOp": 8, "Conv2D": 4},
        {"ReadVariableOp": 2, "Conv2D": 1},
    )


def explicit_convolutions() -> Case:
    kernel = tf.Variable(whole(3, 3, 2, 3, seed=2))

    def run(x: Any) -> Any:
        same = [tf.nn.conv2d(x, kernel, 1, "SAME") * float(i + 1) for i in range(3)]
        return tf.add_n(same), tf.nn.conv2d(x, kernel, 1, "VALID"), tf.nn.conv2d(x, kernel, 2, "SAME")

    counts = {"ReadVariableOp": 5, "Conv2D": 5}, {"ReadVariableOp": 1, "Conv2D": 3}
    return Case(run, (image(),), [kernel], *counts)


def towers() -> Case:
    first, second = (tf.Variable(whole(3, 3, c, 2, seed=c)) for c in (2, 2))

    def tower(x: Any) -> Any:
        hidden = tf.nn.relu(tf.nn.conv2d(x, first, 1, "SAME"))
        return tf.nn.max_pool2d(tf.nn.conv2d(hidden, second, 1, "SAME"), 2, 2, "SAME")

    counts = {"ReadVariableOp": 6, "Conv2D": 6, "MaxPool": 3}, {"ReadVariableOp": 2, "Conv2D": 2, "MaxPool": 1}
    return Case(lambda x: tower(x) + 2.0 * tower(x) - 4.0 * tower(x), (image(),), [first, second], *counts)


def swapped_operands() -> Case:
    weight = tf.Variable(whole(4, 4))

    def run(x: Any, y: Any) -> Any:
        def part(left: Any, right: Any, combine: Function) -> Any:
            return combine(tf.matmul(left, weight), tf.matmul(right, weight))

        sums = tf.abs(part(x, y, tf.add)) + tf.abs(part(y, x, tf.add))
        return sums, tf.abs(part(x, y, tf.subtract)) - 2.0 * tf.abs(part(y, x, tf.subtract))

    counts = {"ReadVariableOp": 8, "MatMul": 8, "Abs": 4}, {"ReadVariableOp": 1, "MatMul": 2, "Abs": 3}
    return Case(run, (tf.constant(whole(4, 4, seed=1)), tf.constant(whole(4, 4, seed=2))), [weight], *counts)


def loop_body() -> Case:
    kernel = tf.Variable(whole(1, 1, 2, 2, seed=2))

    def run(x: Any) -> Any:
        for _ in tf.range(2):
            x = tf.nn.conv2d(x, kernel, 1, "SAME") + 2.0 * tf.nn.conv2d(x, kernel, 1, "SAME")
        return x

    return Case(run, (image(),), [kernel], {"ReadVariableOp": 2, "Conv2D": 2}, {"ReadVariableOp": 1, "Conv2D": 1})


def branches() -> Case:
    kernel = tf.Variable(whole(3, 3, 2, 2, seed=2))

    def conv(x: Any) -> Any:
        return tf.nn.conv2d(x, kernel, 1, "SAME")

    def run(x: Any) -> Any:
        one = tf.cond(tf.reduce_sum(x) > 1e9, lambda: conv(x) + 2.0 * conv(x), lambda: conv(x) - 3.0 * conv(x))
        return one + tf.switch_case(tf.cast(x[0, 0, 0, 0], tf.int32) * 0, [lambda: conv(x) * conv(x), lambda: conv(x)])

    return Case(run, (image(),), [kernel], {"ReadVariableOp": 7, "Conv2D": 7}, {"ReadVariableOp": 4, "Conv2D": 4})


def nested_functions() -> Case:
    kernel = tf.Variable(whole(3, 3, 2, 2, seed=2))

    def inner(x: Any) -> Any:
        return tf.nn.conv2d(x, kernel, 1, "SAME") + 2.0 * tf.nn.conv2d(x, kernel, 1, "SAME")

    def run(x: Any) -> Any:
        call = tf.function(inner)  # a new one for each trace: a traced function stays as it is
        return call(x) - 3.0 * call(x)

    return Case(run, (image(),), [kernel], {"ReadVariableOp": 4, "Conv2D": 4}, {"ReadVariableOp": 1, "Conv2D": 1})


CASES = [keras_layer, explicit_convolutions, towers, swapped_operands, loop_body, branches, nested_functions]


def gradients(fn: Function, case: Case) -> Any:
    with tf.GradientTape() as tape:
        tape.watch(case.args)
        loss = tf.add_n([tf.reduce_sum(part * part) for part in tf.nest.flatten(fn(*case.args))])
    return [tf.convert_to_tensor(slope) for slope in tape.gradient(loss, [*case.args, *case.variables])]


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_equal_work_runs_once(make: Callable[[], Case]) -> None:
    case = make()
    before, after, report = executed.compare(case.run, *case.args)
    assert {op: before[op] for op in case.plain} == case.plain
    assert {op: after[op] for op in case.shared} == case.shared
    assert not report.failures


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_gradients_are_those_of_a_plain_function(make: Callable[[], Case]) -> None:
    case = make()
    plain = gradients(tf.function(case.run), case)
    assert any(np.any(slope) for slope in plain)
    executed.assert_same(plain, gradients(tfreuse.dedupe(case.run), case))


def test_a_loop_reads_again_what_it_writes() -> None:
    kernel, count = tf.Variable(whole(1, 1, 2, 2, seed=2)), tf.Variable(0.0)

    def run(x: Any) -> Any:
        for _ in tf.range(3):
            x = tf.nn.conv2d(x, kernel, 1, "SAME") + tf.nn.conv2d(x, kernel, 1, "SAME")
            kernel.assign_add(tf.ones_like(kernel))
            x += tf.nn.conv2d(x, kernel, 1, "SAME") + tf.nn.conv2d(x, kernel, 1, "SAME")
            count.assign_add(1.0)
        return x, kernel + 0.0, count + count

    start = kernel.numpy()
    plain, before = executed.call(tf.function(run), image())
    kernel.assign(start)
    count.assign(0.0)
    shared, after = executed.call(tfreuse.dedupe(run), image())
    executed.assert_same(plain, shared)
    assert (before["Conv2D"], after["Conv2D"]) == (4, 2)
    assert (before["AssignAddVariableOp"], after["AssignAddVariableOp"]) == (2, 2)
    executed.assert_same(kernel.numpy(), start + 3.0)
