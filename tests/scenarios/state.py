"""Variables that change: order, creation inside the function, training, functions in functions."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tests.scenarios.observe import caught, expect, names, whole
from tests.scenarios.registry import Decorate, scenario


@scenario
def read_assign_read_order(decorate: Decorate):
    """Reads merge between two writes, never across one, in whatever form the write comes."""
    value, rows = tf.Variable(1.0), tf.Variable(whole(3, 2, seed=1))
    start = rows.numpy()
    other = tf.Variable(5.0)

    def bump():
        value.assign_add(100.0)
        return value.read_value()

    called = tf.function(bump)

    @decorate
    def compute(x):
        reads = [value + x, value + x]
        value.assign_add(x)
        reads += [value + x, value + x]
        other.assign(value * 2.0)
        reads += [value + x, other + x]
        value.assign(x)
        value.assign(x + 1.0)
        value.assign(x)
        reads += [value + x]
        tf.cond(x > 0.0, bump, lambda: 0.0)
        tf.cond(x > 0.0, bump, lambda: 0.0)
        reads += [value + x]
        called()
        called()
        reads += [value + x]
        value.assign_add(x)
        value.assign_add(x)
        reads += [value + x, other + x]
        gathered = [tf.gather(rows, [0, 2]), tf.gather(rows, [0, 2])]
        rows.scatter_nd_update([[2]], [[9.0, 9.0]])
        gathered += [tf.gather(rows, [0, 2]), tf.gather(rows, [0, 2])]
        rows[0, 1].assign(7.0)
        return tf.stack(reads), tf.stack(gathered), rows + 0.0

    results = [compute(tf.constant(2.0)), compute(tf.constant(2.0))]
    expect(results[0][0], [3.0, 3.0, 5.0, 5.0, 5.0, 8.0, 4.0, 204.0, 404.0, 408.0, 8.0])
    expect(results[1][0], [408.0, 408.0, 410.0, 410.0, 410.0, 818.0, 4.0, 204.0, 404.0, 408.0, 818.0])
    expect(results[0][1][1], start[[0, 2]])
    expect(results[0][1][2], [start[0], [9.0, 9.0]])
    return results, value, other, rows


@scenario
def variable_created_on_first_call(decorate: Decorate):
    """Variables made while tracing, with a fixed initial value or with one that depends on the arguments."""
    kept, traces = {}, []

    @decorate
    def scale(x):
        traces.append(x.shape.as_list())
        if "fixed" not in kept:
            kept["fixed"] = tf.Variable([2.0, 3.0], name="fixed")
            kept["counter"] = tf.Variable(lambda: tf.zeros([]), trainable=False, name="counter")
        kept["counter"].assign_add(1.0)
        return x * kept["fixed"] + x * kept["fixed"], kept["counter"] + kept["counter"]

    @decorate
    def offset(x):
        if "first" not in kept:
            kept["first"] = tf.Variable(tf.reduce_sum(x) + tf.reduce_sum(x), name="first")
        before = kept["first"] + x
        kept["first"].assign_add(1.0)
        return before, kept["first"] + x, kept["first"] + x

    @decorate
    def careless(x):
        return tf.Variable(x) + tf.Variable(x)

    x = tf.constant([1.0, 2.0])
    with tf.GradientTape() as tape:
        results = [scale(x), scale(x)]
    slope = tape.gradient(results, kept["fixed"])
    results += [offset(x), offset(x + 10.0)]
    expect(results[1], ([4.0, 12.0], 4.0))
    expect(results[2], ([7.0, 8.0], [8.0, 9.0], [8.0, 9.0]))
    expect(results[3][0], [18.0, 19.0])
    expect(slope, [4.0, 8.0])
    error = caught(lambda: careless(x))
    assert error["raised"] == "ValueError"
    return (
        results,
        slope,
        error,
        traces,
        names(kept.values()),
        list(kept.values()),
        names(tape.watched_variables()),
    )


@scenario
def train_step_with_optimizer(decorate: Decorate):
    """Tape, gradient and optimizer inside the decorated step; the layer is applied twice to one input."""
    layer = keras.layers.Dense(2, kernel_initializer="ones", name="head")
    layer.build((None, 2))
    optimizer = keras.optimizers.SGD(learning_rate=0.25, momentum=0.5)
    counter = tf.Variable(0)

    @decorate
    def step(x, y):
        counter.assign_add(1)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((layer(x) + layer(x) - y) * 0.5)
            loss += tf.reduce_mean(tf.square(layer(x))) * 0.5
        gradients = tape.gradient(loss, layer.trainable_variables)
        optimizer.apply_gradients(zip(gradients, layer.trainable_variables, strict=True))
        return loss, gradients, layer(x)

    x, y = tf.constant([[1.0, 2.0], [2.0, 0.0]]), tf.constant([[1.0, 0.0], [2.0, 4.0]])
    results = [step(x, y) for _ in range(2)]
    expect(results[0][0], 4.875)
    expect(results[0][1], [[[2.5, 2.5], [2.0, 2.0]], [1.75, 1.75]])
    expect(results[0][2], [[0.9375, 0.9375], [0.3125, 0.3125]])
    return results, counter, layer.get_weights(), [np.asarray(variable) for variable in optimizer.variables]


@scenario
def nested_decorated(decorate: Decorate):
    """Pure calls may merge, calls with effects may not; decorated and plain functions call each other."""
    weight, counter = tf.Variable(whole(2, 2, seed=3)), tf.Variable(0.0)

    @decorate
    def pure(x):
        return tf.matmul(x, weight) + tf.matmul(x, weight)

    @decorate
    def counting(x):
        counter.assign_add(1.0)
        return x * counter

    @tf.function
    def plain(x):
        return pure(x) + pure(x)

    @decorate
    def outer(x):
        return pure(x) + pure(x), counting(x), counting(x), plain(x) + plain(x), counter + 0.0

    x = whole(1, 2, seed=4)
    with tf.GradientTape() as tape:
        results = [outer(x), plain(x), tf.function(outer)(x)]
        total = tf.add_n([tf.reduce_sum(part) for part in tf.nest.flatten(results)])
    slope = tape.gradient(total, weight)
    expect(results[0][0], 4.0 * x @ weight.numpy())
    expect(results[0][1:3], (x, 2.0 * x))
    expect(results[0][4], 2.0)
    expect(results[2][4], 4.0)
    expect(slope, (4.0 + 8.0) * 2.0 * np.repeat(x.T, 2, 1) + 4.0 * np.repeat(x.T, 2, 1))
    return results, slope, counter, names(tape.watched_variables())
