"""Derivatives of decorated functions: tapes, forward mode, jacobians, and what stands in their way."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tests.scenarios.observe import caught, expect, names, whole
from tests.scenarios.registry import Decorate, scenario


@scenario
def tape_outside(decorate: Decorate):
    """Which variables a tape watches, in which order, and what it makes of them."""
    first = tf.Variable(whole(2, seed=1), name="first")
    second = tf.Variable(whole(2, seed=2), name="second")
    unused = tf.Variable(1.0, name="unused")
    still = tf.Variable(2.0, trainable=False, name="still")

    @decorate
    def compute(x):
        _ = unused + 1.0
        return second * x + second * x + first * first, first * still + first * still

    x = tf.constant([2.0, 3.0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        outputs = compute(x)
        again = compute(outputs[0])
    with tf.GradientTape(watch_accessed_variables=False) as narrow:
        narrow.watch(second)
        total = tf.reduce_sum(compute(x)[0])
    sources = [first, second, unused, still, x]
    slopes = {
        "both": tape.gradient(outputs, sources),
        "one": tape.gradient(outputs[1], sources),
        "chain": tape.gradient(again, sources),
        "weighted": tape.gradient(outputs[0], sources, output_gradients=tf.constant([3.0, 5.0])),
        "zeros": tape.gradient(outputs[1], second, unconnected_gradients=tf.UnconnectedGradients.ZERO),
        "narrow": narrow.gradient(total, [first, second]),
    }
    expect(slopes["both"][0], 2.0 * first.numpy() + 4.0)
    expect(slopes["both"][1], 2.0 * x.numpy())
    expect(slopes["both"][4], 2.0 * second.numpy())
    assert slopes["both"][2:4] == [None, None]
    assert slopes["narrow"][0] is None
    return outputs, slopes, names(tape.watched_variables()), names(narrow.watched_variables())


@scenario
def second_order_gradients(decorate: Decorate):
    """Two tapes outside, two inside, one of each; and an inner tape that watches one of two equal tensors."""
    weight = tf.Variable(2.0)

    @decorate
    def cubic(x):
        return weight * x * x * x + weight * x * x * x

    def curvature(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = cubic(x)
            slope = inner.gradient(y, x)
        return y, slope, outer.gradient(slope, [x, weight])

    @decorate
    def inner_slope(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = cubic(x) + cubic(x)
        return tape.gradient(y, x)

    @decorate
    def watches_one_of_two(x):
        with tf.GradientTape() as tape:
            watched, equal = tf.square(x), tf.square(x)
            tape.watch(watched)
            y = watched * equal + watched * equal
        return tape.gradient(y, watched)

    x = tf.constant(3.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        slope = inner_slope(x)
    mixed = tape.gradient(slope, [x, weight])
    results = [curvature(x), decorate(curvature)(x), [slope, mixed], watches_one_of_two(x)]
    expect(results[0], (108.0, 108.0, [72.0, 54.0]))
    expect(results[1], (108.0, 108.0, [72.0, 54.0]))
    expect(results[2], [216.0, [144.0, 108.0]])
    expect(results[3], 18.0, "gradient to the watched one alone")
    return results


@scenario
def forward_accumulator(decorate: Decorate):
    """Forward mode outside, inside, to a variable, and over a backward pass."""
    weight = tf.Variable(whole(3, seed=3))

    @decorate
    def compute(x):
        return tf.reduce_sum(weight * x * x) + tf.reduce_sum(weight * x * x)

    def product(x, direction):
        with tf.autodiff.ForwardAccumulator(x, direction) as accumulator:
            y = compute(x)
        return y, accumulator.jvp(y)

    x, direction = tf.constant([1.0, 2.0, 3.0]), tf.constant([1.0, -1.0, 2.0])
    with tf.autodiff.ForwardAccumulator(weight, tf.ones_like(weight)) as by_weight:
        y = compute(x)
    with tf.autodiff.ForwardAccumulator(x, direction) as accumulator:
        with tf.GradientTape() as tape:
            tape.watch(x)
            z = compute(x)
        slope = tape.gradient(z, x)
    results = {
        "outside": product(x, direction),
        "inside": decorate(product)(x, direction),
        "by weight": by_weight.jvp(y),
        "forward over backward": accumulator.jvp(slope),
    }
    expect(results["outside"][1], float(np.sum(4.0 * weight.numpy() * x.numpy() * direction.numpy())))
    expect(results["by weight"], 28.0)
    expect(results["forward over backward"], 4.0 * weight.numpy() * direction.numpy())
    return results


@scenario
def jacobian(decorate: Decorate):
    """Full and batch jacobians, vectorized or one row at a time, outside and inside."""
    weight = tf.Variable(whole(3, 2, seed=4))

    @decorate
    def compute(x):
        return tf.square(tf.matmul(x, weight)) + tf.square(tf.matmul(x, weight))

    @decorate
    def inside(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = compute(x)
        return tape.batch_jacobian(y, x)

    x = tf.constant(whole(2, 3, seed=5))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = compute(x)
    results = {
        "x": tape.jacobian(y, x),
        "weight": tape.jacobian(y, weight),
        "one at a time": tape.jacobian(y, weight, experimental_use_pfor=False),
        "batch": tape.batch_jacobian(y, x),
        "inside": inside(x),
    }
    known = 4.0 * (x.numpy() @ weight.numpy())[:, :, None] * weight.numpy().T[None]
    expect(results["batch"], known)
    expect(results["inside"], known)
    return results


@scenario
def vectorized_map(decorate: Decorate):
    """A decorated function vectorized, and a vectorized one inside."""
    weight = tf.Variable(whole(2, 2, seed=6))

    @decorate
    def one(row):
        product = tf.linalg.matvec(weight, row) + tf.linalg.matvec(weight, row)
        return {"product": product, "square": tf.reduce_sum(row * row) + tf.reduce_sum(row * row)}

    @decorate
    def inside(rows):
        def square(row):
            return tf.linalg.matvec(weight, row) * tf.linalg.matvec(weight, row)

        return tf.vectorized_map(square, rows)

    rows = tf.constant(whole(3, 2, seed=7))
    with tf.GradientTape() as tape:
        outputs = [tf.vectorized_map(one, rows), inside(rows)]
        total = tf.add_n([tf.reduce_sum(part) for part in tf.nest.flatten(outputs)])
    slope = tape.gradient(total, weight)
    expect(outputs[0]["product"], 2.0 * rows.numpy() @ weight.numpy().T)
    expect(outputs[1], (rows.numpy() @ weight.numpy().T) ** 2)
    return outputs, slope


@scenario
def gradient_filters(decorate: Decorate):
    """`stop_gradient`, clipping, `grad_pass_through`, and a gradient that must not be taken."""
    weight = tf.Variable([1.0, -3.0, 5.0])

    @decorate
    def compute(x):
        square = tf.square(x)
        stopped = square * tf.stop_gradient(tf.square(x))
        clipped = tf.clip_by_value(x * weight, -4.0, 4.0) + tf.clip_by_value(x * weight, -4.0, 4.0)
        passed = tf.grad_pass_through(tf.round)(x * weight) + tf.grad_pass_through(tf.round)(x * weight)
        plain = tf.round(x * weight)
        return stopped, clipped, passed, plain

    @decorate
    def forbidden(x):
        doubled = x * weight + x * weight
        return tf.raw_ops.PreventGradient(input=doubled, message="no way back")

    x = tf.constant([1.0, 1.0, 2.0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        outputs = compute(x)
    slopes = [tape.gradient(output, [x, weight]) for output in outputs]
    expect(slopes[0][0], [2.0, 2.0, 16.0])
    expect(slopes[1], [[2.0, -6.0, 0.0], [2.0, 2.0, 0.0]])
    expect(slopes[2], [[2.0, -6.0, 10.0], [2.0, 2.0, 4.0]])

    def slope_of_forbidden():
        with tf.GradientTape() as tape:
            y = forbidden(x)
        return tape.gradient(y, weight)

    error = caught(slope_of_forbidden, "no way back")
    assert error["raised"] == "LookupError"
    return outputs, slopes, forbidden(x), error


@scenario
def embedding_gradient(decorate: Decorate):
    """Row gradients stay IndexedSlices. (How many slices they hold is free: only the sum counts.)"""
    table = tf.Variable(whole(5, 2, seed=8))

    @decorate
    def lookup(ids):
        return tf.gather(table, ids) + tf.nn.embedding_lookup(table, ids) * 3.0 + tf.gather(table, ids)

    @decorate
    def step(ids):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(lookup(ids) * lookup(ids)) + tf.reduce_sum(tf.gather(table, ids))
        gradient = tape.gradient(loss, table)
        table.scatter_sub(tf.IndexedSlices(gradient.values * 0.125, gradient.indices))
        return loss, type(gradient).__name__

    ids = tf.constant([3, 1, 3])
    with tf.GradientTape() as tape:
        rows = lookup(ids)
    slope = tape.gradient(rows, table)
    assert isinstance(slope, tf.IndexedSlices)
    expect(rows, 5.0 * table.numpy()[[3, 1, 3]])
    expect(tf.convert_to_tensor(slope)[:, 0], [0.0, 5.0, 0.0, 10.0, 0.0])
    start = table.numpy()
    loss, kind = step(ids)
    expect(table, ["variable", start - 0.125 * (50.0 * start + 1.0) * [[0.0], [1.0], [0.0], [2.0], [0.0]]])
    return rows, tf.convert_to_tensor(slope), slope.dense_shape, loss, kind, table
