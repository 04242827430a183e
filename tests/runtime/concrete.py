"""Programs for `tfreuse.optimize`: polynomials of small whole numbers, so that the order of sums cannot show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

X = tf.constant([1.0, -2.0])
SPEC = tf.TensorSpec([2])


@dataclass
class Program:
    """A concrete function of one vector, what it captures and is differentiated by, the variables that it writes.

    `merges` are op types of which a report must count some as merged. Gradients of gradients of nested control flow
    take seconds to trace, and those of Python functions and of gathered rows are TensorFlow's to refuse.
    """

    function: Any
    captured: list[Any]
    merges: set[str]
    written: list[tf.Variable] = field(default_factory=list)
    second_order: bool = True


PROGRAMS: dict[str, Callable[[], Program]] = {}


def program(make: Callable[[], Program]) -> Callable[[], Program]:
    PROGRAMS[make.__name__] = make
    return make


def concrete(function: Callable[..., Any], *specs: Any, **options: Any) -> Any:
    return tf.function(function, **options).get_concrete_function(*(specs or (SPEC,)))


def vector(*values: float) -> tf.Variable:
    return tf.Variable(values or (2.0, 3.0))


def as_text(function: Any) -> bytes:
    return function.graph.as_graph_def().SerializeToString(deterministic=True)


@program
def straight_line() -> Program:
    weight = vector()

    def run(x: Any) -> Any:
        return x * weight + 2.0 * (weight * x), tf.square(x * weight) - tf.square(x * weight) * 3.0

    return Program(concrete(run), [weight], {"ReadVariableOp", "Mul", "Square"})


@program
def captured_constants() -> Program:
    """TensorFlow turns small ones into nodes and passes large ones; equal ones stay two, each with its gradient."""
    small, twin = tf.constant([3.0, 4.0]), tf.constant([3.0, 4.0])
    large = tf.constant(np.arange(600.0, dtype=np.float32) % 5.0)

    def run(x: Any) -> Any:
        product = x * small + x * small, x * twin, tf.constant([3.0, 4.0]) * x
        return *product, tf.reduce_sum(x * large[:2]) * tf.reduce_sum(x * large[:2])

    return Program(concrete(run), [small, twin, large], {"Mul", "Sum"})


@program
def loop() -> Program:
    weight = vector()

    def run(x: Any) -> Any:
        for _ in tf.range(3):
            x = x * weight - 2.0 * (x * weight)
        return x, x * weight + x * weight

    return Program(concrete(run), [weight], {"ReadVariableOp", "Mul"})


@program
def branches() -> Program:
    weight = vector()

    def run(x: Any) -> Any:
        one = tf.cond(tf.reduce_sum(x) > 9.0, lambda: x, lambda: x * weight + 2.0 * (x * weight))
        many = [lambda: x * weight * weight, lambda: x * weight + x * weight]
        return one + one * tf.switch_case(tf.cast(x[0], tf.int32), many)

    return Program(concrete(run), [weight], {"ReadVariableOp", "Mul"})


@program
def branch_in_a_loop() -> Program:
    weight = vector()

    def run(x: Any) -> Any:
        for i in tf.range(3):
            if i > 1:
                x = x * weight + 2.0 * (x * weight)
            else:
                x = x - x * weight * x - x * weight * x
        return x

    return Program(concrete(run), [weight], {"ReadVariableOp", "Mul"}, second_order=False)


@program
def calls_in_calls() -> Program:
    weight = vector()
    inner = tf.function(lambda x: x * weight * x)
    middle = tf.function(lambda x: inner(x) * inner(x))
    return Program(concrete(lambda x: middle(x) + middle(x) * 3.0), [weight], {"StatefulPartitionedCall"})


@program
def mapped_and_collected() -> Program:
    weight = vector()

    def run(x: Any) -> Any:
        array = tf.TensorArray(tf.float32, 2)
        for i in tf.range(2):
            array = array.write(i, x[i] * weight[i] + x[i] * weight[i])
        return tf.map_fn(lambda item: item * weight[0] - 2.0 * (item * weight[0]), x), array.stack()

    return Program(concrete(run), [weight], {"ReadVariableOp", "Mul"}, second_order=False)


@program
def rows() -> Program:
    table = tf.Variable([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])

    def run(x: Any) -> Any:
        return tf.gather(table, [2, 0]) * x + 2.0 * tf.gather(table, [2, 0]) * x

    return Program(concrete(run), [table], {"ResourceGather"}, second_order=False)


@program
def writes() -> Program:
    weight, count = vector(), tf.Variable(1.0, trainable=False)

    def run(x: Any) -> Any:
        before = x * weight * count + x * weight * count
        count.assign_add(1.0)
        weight.assign_sub([1.0, 2.0])
        return before, x * weight * count + x * weight * count, count + count

    return Program(concrete(run), [weight], {"ReadVariableOp", "Mul"}, [weight, count])


@program
def writes_in_bodies() -> Program:
    weight, count = vector(), tf.Variable(0.0, trainable=False)

    def run(x: Any) -> Any:
        for _ in tf.range(2):
            x = x * weight + x * weight
            count.assign_add(2.0)
        if x[0] > 0.0:
            count.assign_add(count + count)
        return x * count + x * count

    return Program(concrete(run), [weight], {"ReadVariableOp", "Mul"}, [count])


@program
def python_functions() -> Program:
    weight = vector()

    def run(x: Any) -> Any:
        called = tf.py_function(lambda item: item * item, [x * weight], tf.float32)
        return called + tf.py_function(lambda item: item * 3.0, [x * weight], tf.float32)

    return Program(concrete(run), [weight], {"ReadVariableOp", "Mul"}, second_order=False)


@program
def compiled() -> Program:
    weight = vector()
    return Program(concrete(lambda x: x * weight + x * weight, jit_compile=True), [weight], {"ReadVariableOp"})


@program
def stopped_gradients() -> Program:
    weight = vector()

    def run(x: Any) -> Any:
        still = tf.stop_gradient(x * weight) * x + tf.stop_gradient(x * weight) * x
        return still + tf.clip_by_value(x * weight, -1.0, 3.0) + tf.clip_by_value(x * weight, -1.0, 3.0)

    return Program(concrete(run), [weight], {"ReadVariableOp", "Mul"})
