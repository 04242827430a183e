"""Traps of the decorator: values that come to be shared, control inputs, branches, loops, and what comes after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tests.seeds import executed
from tests.traps.side_by_side import IMAGE, X, compare, slopes, whole

pytestmark = pytest.mark.tensorflow


def test_trap_067_outputs_share_no_buffer_that_is_written() -> None:
    """Two outputs that are one value: what changes a variable made of the first leaves the second alone."""
    state, inside = tf.Variable(tf.zeros(3)), tf.Variable(tf.zeros(3))

    @tfreuse.dedupe
    def program(x: Any) -> Any:
        inside.assign(tf.square(x))
        kept = tf.square(x)
        inside.scatter_nd_update([[0]], [100.0])
        return tf.square(x), kept, tf.square(x)

    one, other, third = program(X)
    state.assign(one)
    state.assign_add(X)
    executed.assert_same([one, other, third], [tf.square(X)] * 3)


CONSUMERS: dict[str, Callable[[Any, Any], Any]] = {
    "concat": lambda a, b: tf.concat([a, b, a], 0),
    "stack": lambda a, b: tf.stack([a, b]),
    "add_n": lambda a, b: tf.add_n([a, b, a]),
    "matmul": lambda a, b: tf.linalg.matvec(tf.linalg.diag(a), b),
    "where": lambda a, b: tf.where(a > 0.0, a, b),
    "select": lambda a, b: tf.clip_by_value(a, -b, b),
    "identity_n": lambda a, b: tf.identity_n([a, b]),
    "cond": lambda a, b: tf.cond(a[0] > 0.0, lambda: a - 2.0 * b, lambda: a * b),
    "while": lambda a, b: tf.while_loop(lambda i, *_: i < 2, lambda i, p, q: (i + 1, p * b, q - a), [0, a, b])[1:],
    "call": lambda a, b: tf.function(lambda p, q: p - 2.0 * q)(a, b),
    "map": lambda a, b: tf.map_fn(lambda pair: pair[0] * pair[1], (a, b), fn_output_signature=tf.float32),
    "einsum": lambda a, b: tf.einsum("i,j->ij", a, b),
    "dynamic_stitch": lambda a, b: tf.dynamic_stitch([[0, 1, 2], [3, 4, 5]], [a, b]),
}


@pytest.mark.parametrize("name", CONSUMERS)
def test_trap_068_one_tensor_twice(name: str) -> None:
    def make() -> Callable[..., Any]:
        return lambda x: CONSUMERS[name](tf.square(x) - 3.0, tf.square(x) - 3.0)

    _, _, function = compare(make, X)
    assert function.report.merged > 0 or name == "cond"
    slopes(make, X)


def test_trap_071_control_dependencies_of_the_user() -> None:
    def make() -> Callable[..., Any]:
        state = tf.Variable(0.0)

        def program(x: Any) -> Any:
            early = tf.square(x) + state.read_value()
            with tf.control_dependencies([early]):
                written = state.assign_add(1.0)
            with tf.control_dependencies([written]):
                late = tf.square(x) + tf.raw_ops.ReadVariableOp(resource=state.handle, dtype=tf.float32)
            return early, late

        return program

    compare(make, X)


def test_trap_080_values_of_two_branches() -> None:
    def make() -> Callable[..., Any]:
        def program(x: Any) -> Any:
            return tf.cond(x[0] > 0.0, lambda: tf.square(x) - 1.0, lambda: tf.square(x) + 1.0) * tf.square(x)

        return program

    for x in (X, -X):
        compare(make, x)
        slopes(make, x)


def test_trap_082_bodies_are_visited() -> None:
    def make() -> Callable[..., Any]:
        kernel = tf.Variable(whole(3, 3, 2, 2, seed=2))

        def convolved(x: Any) -> Any:
            return tf.nn.conv2d(x, kernel, 1, "SAME")

        def program(x: Any) -> Any:
            for _ in tf.range(2):
                x = convolved(x) - 2.0 * convolved(x)
            return x

        return program

    before, after, _ = compare(make, IMAGE)
    assert (before["Conv2D"], after["Conv2D"]) == (2, 1)


def test_trap_083_a_body_with_two_callers_and_a_gradient() -> None:
    def run(decorate: Callable[..., Any]) -> Any:
        weight = tf.Variable(X)

        @decorate
        def inner(x: Any) -> Any:
            return tf.square(x * weight) - tf.square(x * weight) * weight

        program = decorate(lambda x, y: inner(x) + inner(y) + 2.0 * inner(x))
        with tf.GradientTape() as tape:
            tape.watch(X)
            value = program(X, X + 1.0)
        return value, tape.gradient(value, [X, weight])

    executed.assert_same(run(tf.function), run(tfreuse.dedupe))


def test_trap_084_one_variable_captured_twice_by_a_loop() -> None:
    def make() -> Callable[..., Any]:
        weight = tf.Variable(X)

        def program(x: Any) -> Any:
            one, other = weight.read_value(), weight.read_value()
            return tf.while_loop(lambda i, _: i < 2, lambda i, v: (i + 1, v * one - other), [0, x])[1]

        return program

    compare(make, X)
    slopes(make, X)


def test_trap_092_fused_convolution() -> None:
    """A whole chain is shared, so that TensorFlow can still fuse it into one kernel."""

    def make() -> Callable[..., Any]:
        kernel, bias = tf.Variable(whole(3, 3, 2, 4, seed=2)), tf.Variable(whole(4, seed=3))

        def tower(x: Any) -> Any:
            return tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias))

        return lambda x: tower(x) - 2.0 * tower(x)

    before, after, _ = compare(make, IMAGE)
    assert (before["Conv2D"], after["Conv2D"]) == (2, 1)
    assert (after["BiasAdd"], after["Relu"]) == (before["BiasAdd"], before["Relu"]) == (0, 0)


def test_trap_098_constants_that_a_compiler_needs() -> None:
    def make() -> Callable[..., Any]:
        def program(x: Any) -> Any:
            sides = [tf.reduce_sum(tf.reshape(tf.tile(x, [2]), [2, -1]), [1]) for _ in range(2)]
            return sides[0] * sides[1]

        return program

    plain = tf.function(make(), jit_compile=True)(X)
    shared = tfreuse.dedupe(make(), jit_compile=True, on_error="raise")
    executed.assert_same(plain, shared(X))
    assert shared.report.merged > 0
