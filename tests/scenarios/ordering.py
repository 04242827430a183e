"""Effects in their order: prints, checks, control dependencies, random draws, Python calls."""

from __future__ import annotations

import os
import tempfile

import keras
import numpy as np
import tensorflow as tf

from tests.scenarios.observe import caught, expect
from tests.scenarios.registry import Decorate, scenario


@scenario
def print_and_assert_order(decorate: Decorate):
    """Equal prints are two prints; nothing is printed after a check that failed."""
    weight = tf.Variable(2.0)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "printed.txt")

        def say(*items):
            tf.print(*items, output_stream=f"file://{path}")

        @decorate
        def compute(x):
            say("start", x * weight)
            say("start", x * weight)
            tf.debugging.assert_positive(x, "not positive")
            tf.debugging.assert_positive(x, "not positive")
            say("checked", x * weight)
            weight.assign_add(1.0)
            say("start", x * weight)
            for _ in tf.range(2):
                say("loop", x)
                say("loop", x)
            if x > 1.0:
                say("large")
            tf.debugging.Assert(x < 9.0, ["too large", x])
            say("end")
            checked = [tf.debugging.check_numerics(x * weight, "odd") for _ in range(2)]
            return tf.add_n(checked)

        results = [compute(tf.constant(2.0)), compute(tf.constant(1.0))]
        errors = [
            caught(lambda: compute(tf.constant(-1.0)), "not positive"),
            caught(lambda: compute(tf.constant(9.0)), "too large"),
            caught(lambda: compute(tf.constant(float("nan")))),
        ]
        with open(path) as printed:
            lines = printed.read().splitlines()
    expect(results, [12.0, 8.0])
    loop = ["loop 2"] * 4
    assert lines[:10] == ["start 4", "start 4", "checked 4", "start 6", *loop, "large", "end"]
    assert [error["raised"] for error in errors] == ["InvalidArgumentError"] * 3
    assert lines.count("end") == 2
    return results, errors, lines


@scenario
def control_dependencies(decorate: Decorate):
    """Orders that the program asks for, on equal operations too."""
    value, log = tf.Variable(1.0), tf.Variable(0.0)

    @decorate
    def compute(x):
        early = value * x
        with tf.control_dependencies([value.assign_add(x)]):
            late = value * x
            with tf.control_dependencies([early]):
                both = value * x + tf.identity(early)
        with tf.control_dependencies([late, both]):
            group = tf.group(value.assign(x), log.assign_add(x))
        with tf.control_dependencies([group]):
            last = [value * x, value * x, tf.identity(x) + tf.identity(x)]
        with tf.control_dependencies(None):
            free = x * 3.0 + x * 3.0
        return early, late, both, last, free

    @decorate
    def guarded(x):
        unchecked = tf.square(x) + 1.0
        with tf.control_dependencies([tf.debugging.assert_less(x, 3.0)]):
            checked = tf.square(x) + 1.0
        return unchecked, checked

    results = [compute(tf.constant(2.0)), compute(tf.constant(2.0)), guarded(tf.constant(2.0))]
    expect(results[0], (2.0, 6.0, 8.0, [4.0, 4.0, 4.0], 12.0))
    expect(results[1][:3], (4.0, 8.0, 12.0))
    error = caught(lambda: guarded(tf.constant(4.0)))
    assert error["raised"] == "InvalidArgumentError"
    return results, value, log, error


@scenario
def random_ops(decorate: Decorate):
    """Two draws are two draws, and the stream goes on from call to call."""
    generator = tf.random.Generator.from_seed(7)
    dropout = keras.layers.Dropout(0.5, seed=3)
    ones = tf.ones([8])

    def draw_once(x):
        return tf.random.uniform([3], seed=11) * x

    def scaled_draw(item):
        return item * tf.random.uniform([])

    inner = decorate(draw_once)

    @decorate
    def draw(x):
        return {
            "unseeded": [tf.random.uniform([3]) * x, tf.random.uniform([3]) * x],
            "seeded": [tf.random.normal([3], seed=5) * x, tf.random.normal([3], seed=5) * x],
            "dropout": [tf.nn.dropout(ones * x, 0.5), tf.nn.dropout(ones * x, 0.5)],
            "keras": [dropout(ones * x, training=True), dropout(ones * x, training=True)],
            "shuffle": [tf.random.shuffle(tf.range(32)), tf.random.shuffle(tf.range(32))],
            "stateless": [tf.random.stateless_uniform([3], [1, 2]), tf.random.stateless_uniform([3], [1, 2])],
            "generator": [generator.normal([3]), generator.normal([3]), generator.uniform([3])],
            "calls": [inner(x), inner(x)],
            "branch": tf.cond(x > 0.0, lambda: tf.random.uniform([2]), lambda: tf.random.uniform([2]) + 1.0),
            "mapped": tf.map_fn(scaled_draw, tf.ones([4]), parallel_iterations=1),
        }

    results = [draw(tf.constant(1.0)) for _ in range(3)]
    for name in ("unseeded", "dropout", "keras", "shuffle", "generator"):
        for result in results:
            assert not np.array_equal(result[name][0], result[name][1]), f"{name} draws are equal"
    expect(results[0]["stateless"][0], results[0]["stateless"][1])
    assert len(set(results[0]["mapped"].numpy())) == 4
    return results, generator.state, tf.random.uniform([2])


@scenario
def py_function(decorate: Decorate):
    """Python calls run as often, and in the order, as they were written; their gradients are called too."""
    weight, calls = tf.Variable(5.0), []

    def recorded(name, factor):
        def run(x):
            calls.append((name, float(x)))
            return x * factor

        return run

    double, triple = recorded("double", 2.0), recorded("triple", 3.0)

    @decorate
    def compute(x):
        first = tf.py_function(double, [x], tf.float32)
        again = tf.py_function(double, [x], tf.float32)
        other = tf.py_function(triple, [x], tf.float32)
        last = tf.numpy_function(recorded("numpy", np.float32(5.0)), [x], tf.float32)
        last += tf.numpy_function(recorded("numpy", np.float32(5.0)), [x], tf.float32)
        pure = tf.numpy_function(lambda item: item + np.float32(1.0), [x], tf.float32, stateful=False)
        pure *= tf.numpy_function(lambda item: item + np.float32(2.0), [x], tf.float32, stateful=False)
        tf.py_function(lambda: calls.append("end"), [], [])
        return first + again + other, last, pure, x * weight + x * weight

    @decorate
    def failing(x):
        return tf.py_function(lambda item: {}[float(item)], [x], tf.float32)

    x = tf.constant(2.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = compute(x)
    slope = tape.gradient(outputs[0], x)
    expect([outputs, slope], [(14.0, 20.0, 12.0, 20.0), 7.0])
    assert calls == [("double", 2.0)] * 2 + [("triple", 2.0)] + [("numpy", 2.0)] * 2 + ["end"]
    return outputs, slope, compute(x), calls, caught(lambda: failing(x))
