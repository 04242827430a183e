"""`@dedupe`: what is the same in every iteration of a traced loop runs once, with the gradients of `tf.function`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tests.loops.runs import assert_same_results, normal, times, values_and_gradients

IMAGE = normal(1, 6, 6, 3)


class Weights(tf.Module):
    """Variables, and programs with loops over them."""

    def __init__(self) -> None:
        self.kernel = tf.Variable(normal(3, 3, 3, 3, seed=1) * 0.3)
        self.scale = tf.Variable(0.5)

    def convolve(self, image: Any, kernel: Any = None) -> Any:
        return tf.nn.conv2d(image, self.kernel if kernel is None else kernel, 1, "SAME")

    def reads(self, image: Any, count: Any) -> Any:
        result = image
        for _ in tf.range(count):
            result = tf.tanh(result) * self.convolve(image)
        return result

    def computes(self, image: Any, count: Any) -> Any:
        kernel = self.kernel * self.scale
        return tf.while_loop(
            lambda i, y: i < count,
            lambda i, y: (i + 1, tf.tanh(y) * tf.nn.relu(self.convolve(image, kernel))),
            [0, image],
            maximum_iterations=4,
            parallel_iterations=3,
        )[1]

    def nested(self, image: Any, count: Any) -> Any:
        result = image
        for _ in tf.range(count):
            for _ in tf.range(2):
                result = tf.tanh(result) * self.convolve(image)
        return result

    def branch_in_a_loop(self, image: Any, count: Any) -> Any:
        result = image
        for i in tf.range(count):
            if i % 2 == 0:
                result = tf.tanh(result) * self.convolve(image)
            else:
                result = result + self.convolve(image)
        return result

    def custom_gradient(self, image: Any, count: Any) -> Any:
        @tf.custom_gradient
        def doubled(value: Any) -> Any:
            inner = tf.sin(value)
            return inner, lambda upstream: 2.0 * upstream * tf.cos(value)

        result = image
        for _ in tf.range(count):
            result = tf.tanh(result) * doubled(self.convolve(image))
        return result

    def changing(self, image: Any, count: Any) -> Any:
        result = image
        for _ in tf.range(count):
            result = tf.tanh(self.convolve(result))
        return result

    def mapped(self, image: Any, count: Any) -> Any:
        rows = tf.map_fn(lambda row: row * self.convolve(image), tf.repeat(image, 2, axis=0)[:count])
        return tf.reduce_sum(rows, axis=0)


RUNS = {"reads": (3, 1), "computes": (3, 1), "nested": (6, 1), "branch_in_a_loop": (3, 1), "custom_gradient": (3, 1)}
RUNS["changing"] = (3, 3)


@pytest.mark.parametrize("name", RUNS)
def test_runs(name: str) -> None:
    weights = Weights()
    args = (tf.constant(IMAGE), tf.constant(3))
    program = getattr(weights, name)
    shared = tfreuse.dedupe(program, on_error="raise", preset="hoist")
    assert (times("Conv2D", tf.function(program), *args), times("Conv2D", shared, *args)) == RUNS[name]
    assert times("Conv2D", shared, args[0], tf.constant(0)) == (0 if RUNS[name][1] > 1 else 1)


@pytest.mark.parametrize("count", [0, 1, 3, 9])
@pytest.mark.parametrize("name", [*RUNS, "mapped"])
def test_values_and_gradients(name: str, count: int) -> None:
    weights = Weights()
    args = (tf.constant(IMAGE), tf.constant(count))
    results = []
    for made in (
        tf.function(getattr(weights, name)),
        tfreuse.dedupe(getattr(weights, name), on_error="raise", preset="hoist"),
    ):
        made(*args)  # a trace beside no tape; `values_and_gradients` has two
        results.append(values_and_gradients(made, args, [args[0], weights.kernel, weights.scale]))
    assert_same_results(*results)


def step_in_the_trace(weights: Weights, optimizer: Any) -> Callable[..., Any]:
    def step(image: Any, count: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(weights.computes(image, count) ** 2) + tf.reduce_sum(weights.reads(image, count))
        gradients = tape.gradient(loss, weights.trainable_variables)
        optimizer.apply_gradients(zip(gradients, weights.trainable_variables, strict=True))
        return loss

    return step


def test_a_train_step() -> None:
    """Loops that are differentiated within the trace carry what their gradient needs, and change all the same."""
    losses = []
    for decorate in (tf.function, lambda fn: tfreuse.dedupe(fn, on_error="raise", preset="hoist")):
        weights = Weights()
        step = decorate(step_in_the_trace(weights, tf.keras.optimizers.SGD(1e-3)))
        losses.append([step(tf.constant(IMAGE), tf.constant(3)) for _ in range(5)] + [weights.kernel.read_value()])
    assert_same_results(*losses)
    assert [remark["id"] for remark in step.report.to_dict()["remarks"]].count("hoisted") == 2


def test_a_read_beside_a_write_stays() -> None:
    weights = Weights()

    def program(image: Any, count: Any) -> Any:
        result = image
        for _ in tf.range(count):
            result = tf.tanh(result) + weights.convolve(image)
            weights.kernel.assign(weights.kernel * 0.5)
        return result, weights.kernel.read_value()

    args = (tf.constant(IMAGE), tf.constant(3))
    results = []
    for made in (tf.function(program), tfreuse.dedupe(program, on_error="raise", preset="hoist")):
        weights.kernel.assign(normal(3, 3, 3, 3, seed=1))
        results.append(made(*args))
    assert_same_results(*results, exact=2)
    assert times("Conv2D", made, *args) == 3


def test_saved_and_loaded(tmp_path: Path) -> None:
    weights = Weights()
    args = (tf.constant(IMAGE), tf.constant(3))
    signature = [tf.TensorSpec([1, 6, 6, 3]), tf.TensorSpec([], tf.int32)]
    weights.serve = tfreuse.dedupe(weights.computes, input_signature=signature, on_error="raise", preset="hoist")
    expected = values_and_gradients(tf.function(weights.computes), args, [args[0]])
    weights.serve(*args)
    tf.saved_model.save(weights, str(tmp_path / "model"))
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    assert_same_results(expected, values_and_gradients(loaded.serve, args, [args[0]]))
    assert times("Conv2D", loaded.serve, *args) == 1


def test_compiled_loops() -> None:
    weights = Weights()
    args = (tf.constant(IMAGE), tf.constant(3))
    plain = tf.function(weights.computes)
    shared = tfreuse.dedupe(weights.computes, on_error="raise", preset="hoist", jit_compile=True)
    assert_same_results([plain(*args)], [shared(*args)], exact=0)


def test_a_concrete_function_imported_again() -> None:
    weights = Weights()
    args = (tf.constant(IMAGE), tf.constant(3))
    plain = tf.function(weights.reads).get_concrete_function(*args)
    shared, report = tfreuse.optimize(plain, verify=2, preset="hoist")
    assert (times("Conv2D", plain, *args), times("Conv2D", shared, *args)) == (3, 1)
    results = [values_and_gradients(made, args, [args[0], weights.kernel]) for made in (plain, shared)]
    assert_same_results(*results)
    assert "hoisted" in [remark["id"] for remark in report.to_dict()["remarks"]]


def test_a_loop_beside_equal_cheap_work() -> None:
    """What is used far apart is weighed by its size, that of the new output of a loop included."""
    weights = Weights()

    def program(image: Any, count: Any) -> Any:
        before = tf.zeros([4, 4]) + weights.scale
        value = weights.reads(image, count)
        after = tf.zeros([4, 4]) + weights.scale
        return tf.reduce_sum(before) + value, tf.reduce_sum(after) * value

    args = (tf.constant(IMAGE), tf.constant(3))
    shared = tfreuse.dedupe(program, on_error="raise", preset="hoist", max_memory_growth="1MiB")
    assert_same_results(tf.function(program)(*args), shared(*args), exact=2)
    assert times("Conv2D", shared, *args) == 1
