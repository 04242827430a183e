"""Traps of the decorator: state, effects and randomness, under tf.function and under tfreuse.dedupe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfreuse
from tests.seeds import executed
from tests.traps.side_by_side import IMAGE, X, compare, live, same, whole

pytestmark = pytest.mark.tensorflow


def test_trap_001_read_on_both_sides_of_a_write() -> None:
    def make() -> Callable[..., Any]:
        state = tf.Variable(X)

        def program(x: Any) -> Any:
            old = state + x
            state.assign(old)
            return old, state + x, state.read_value() - state.read_value()

        return program

    before, after, function = compare(make, X)
    assert after["ReadVariableOp"] < before["ReadVariableOp"]
    executed.assert_same(function(X)[1], 4.0 * X)


def test_trap_002_layer_called_four_times() -> None:
    def make() -> Callable[..., Any]:
        layer = tf.keras.layers.Conv2D(3, 3)
        layer.build((None, None, None, 2))
        layer.set_weights([whole(3, 3, 2, 3, seed=2), whole(3, seed=3)])
        return lambda x: tf.add_n([layer(x) * float(i) for i in range(1, 5)])

    before, after, _ = compare(make, IMAGE)
    assert (before["ReadVariableOp"], before["Conv2D"]) == (8, 4)
    assert (after["ReadVariableOp"], after["Conv2D"]) == (2, 1)


def test_trap_006_one_variable_in_two_arguments() -> None:
    state = tf.Variable(X)

    @tfreuse.dedupe
    def inner(one: Any, other: Any) -> Any:
        first = one.read_value() - one.read_value()
        other.assign_add(X)
        return first, one.read_value()

    @tfreuse.dedupe
    def program(x: Any) -> Any:
        return inner(state, state), state + x

    executed.assert_same(program(X), ((0.0 * abs(X), 2.0 * X), 3.0 * X))
    executed.assert_same(inner(state, state), (0.0 * abs(X), 3.0 * X))


def test_trap_009_read_and_write_in_a_loop() -> None:
    def make() -> Callable[..., Any]:
        state = tf.Variable(X)

        def program(x: Any) -> Any:
            total = x + state
            for _ in tf.range(3):
                total += state.read_value() * state.read_value()
                state.assign_add(x)
            return total, state + x

        return program

    _, _, function = compare(make, X)
    assert function.report.merged > 0


def test_trap_011_random_ops_registered_as_stateless() -> None:
    """TensorFlow's own optimiser merges these two; as written they are two."""

    @tfreuse.dedupe
    def program(x: Any) -> Any:
        return [tf.raw_ops.FractionalMaxPool(value=x, pooling_ratio=[1.0, 1.5, 1.5, 1.0])[0] for _ in range(2)]

    assert live(program, tf.constant(whole(1, 60, 60, 1)))["FractionalMaxPool"] == 2


def test_trap_012_a_file_read_on_both_sides_of_a_write(tmp_path: Path) -> None:
    name = tmp_path / "file"

    def make() -> Callable[..., Any]:
        def program(name: Any) -> Any:
            name.set_shape([])
            old = tf.io.read_file(name)
            again = tf.io.read_file(name)
            with tf.control_dependencies([old, again]):
                written = tf.io.write_file(name, "new")
            with tf.control_dependencies([written]):
                return old, again, tf.io.read_file(name)

        name.write_text("old")
        return program

    _, after, function = compare(make, tf.constant(str(name)))
    name.write_text("old")
    assert [value.numpy() for value in function(tf.constant(str(name)))] == [b"old", b"old", b"new"]
    assert after["ReadFile"] == 2


def test_trap_017_buffers_updated_in_place() -> None:
    """The graph keeps two buffers; the executor's own pass may still make them one, in plain functions as well."""

    @tfreuse.dedupe
    def program(sizes: Any, one: Any) -> Any:
        buffers = [tf.fill(sizes, 0.0) for _ in range(2)]
        return [tf.raw_ops.InplaceAdd(x=buffer, i=[0], v=[one]) for buffer in buffers]

    graph = program.get_concrete_function(tf.constant([2, 3]), X).graph
    updates = [op for op in graph.get_operations() if op.type == "InplaceAdd"]
    assert len({op.inputs[0].op.name for op in updates}) == 2


def test_trap_020_python_functions_are_called_as_often() -> None:
    calls: list[str] = []

    def make() -> Callable[..., Any]:
        def double(x: Any) -> Any:
            calls.append("double")
            return 2.0 * x

        def triple(x: Any) -> Any:
            calls.append("triple")
            return 3.0 * x

        def program(x: Any) -> Any:
            parts = [tf.numpy_function(f, [x], tf.float32, stateful=False) for f in (double, triple, double)]
            return tf.stack(parts)

        return program

    plain = tf.function(make())(X)
    expected = Counter(calls)
    calls.clear()
    executed.assert_same(plain, tfreuse.dedupe(make(), on_error="raise")(X))
    assert Counter(calls) == expected


def test_trap_025_uninitialised_variable_behind_a_branch() -> None:
    """The branch that does not read runs, although another place would fail."""
    handle = tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[], shared_name="never_written")

    def read() -> Any:
        return tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32)

    @tfreuse.dedupe
    def program(p: Any) -> Any:
        return tf.cond(p, lambda: read() + read(), lambda: 0.0), tf.cond(p, lambda: read() * 2.0, lambda: 1.0)

    assert [float(value) for value in program(tf.constant(False))] == [0.0, 1.0]
    with pytest.raises(tf.errors.FailedPreconditionError):
        program(tf.constant(True))


def test_trap_029_two_dropouts() -> None:
    @tfreuse.dedupe
    def program(x: Any) -> Any:
        return tf.nn.dropout(x, 0.5), tf.nn.dropout(x, 0.5)

    one, other = program(tf.ones([4000]))
    assert np.any(one.numpy() != other.numpy())


def test_trap_033_recomputed_forward() -> None:
    """What is computed again to save memory is computed again."""

    def make() -> Callable[..., Any]:
        kernel = tf.Variable(whole(3, 3, 2, 2, seed=2))

        @tf.recompute_grad
        def segment(x: Any) -> Any:
            return tf.nn.relu(tf.nn.conv2d(tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME")), kernel, 1, "SAME"))

        def program(x: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = tf.reduce_sum(segment(x))
            return y, tape.gradient(y, x)

        return program

    plain, shared = tf.function(make()), tfreuse.dedupe(make(), on_error="raise")
    same(plain(IMAGE), shared(IMAGE))
    assert live(shared, IMAGE)["Conv2D"] == live(plain, IMAGE)["Conv2D"] == 4
