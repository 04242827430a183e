"""Custom gradients: each call keeps its own, wherever it stands."""

from __future__ import annotations

import tensorflow as tf

from tests.scenarios.observe import expect, names
from tests.scenarios.registry import Decorate, scenario


def scaled_gradient(factor: float):
    """A function that returns `3 * x` but claims the derivative `factor`."""

    @tf.custom_gradient
    def triple(x):
        def backward(upstream):
            return upstream * factor

        return x * 3.0, backward

    return triple


@scenario
def custom_gradient_outside(decorate: Decorate):
    """Decorated functions as the forward and the backward half of a custom gradient."""
    weight = tf.Variable(2.0)

    @decorate
    def square(x):
        return x * x * weight + x * x * weight

    @decorate
    def backward_rule(upstream, x):
        return upstream * x * 10.0 + upstream * x * 10.0

    @tf.custom_gradient
    def wrapped(x):
        def backward(upstream, variables=None):
            return backward_rule(upstream, x), [tf.constant(7.0) for _ in variables]

        return square(x), backward

    x = tf.constant(3.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = wrapped(x) + wrapped(x)
    slopes = tape.gradient(y, [x, weight])
    expect([y, *slopes], [72.0, 120.0, 14.0])
    return y, slopes, names(tape.watched_variables())


@scenario
def custom_gradient_inside(decorate: Decorate):
    """The same forward computation with two different gradients, each of them twice."""
    five, seven = scaled_gradient(5.0), scaled_gradient(7.0)

    @decorate
    def compute(x):
        return five(x) + five(x), seven(x) + five(x), x * 3.0 + x * 3.0

    x = tf.constant([1.0, 2.0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        outputs = compute(x)
    slopes = [tape.gradient(output, x) for output in outputs]
    expect(outputs, ([6.0, 12.0],) * 3)
    expect(slopes, [[10.0, 10.0], [12.0, 12.0], [6.0, 6.0]])
    inside = decorate(lambda value: tf.gradients(five(value) * five(value) + seven(value), value))(x)
    expect(inside, [[37.0, 67.0]])
    return outputs, slopes, inside


@scenario
def custom_gradient_with_variables(decorate: Decorate):
    """A custom gradient that answers for a variable, beside an ordinary use of it."""
    weight, other = tf.Variable(2.0, name="weight"), tf.Variable(5.0, name="other")

    @tf.custom_gradient
    def scale(x):
        product = x * weight

        def backward(upstream, variables=None):
            return upstream * (x + weight), [upstream * 11.0 * x for _ in variables]

        return product, backward

    @decorate
    def compute(x):
        return scale(x) * other + scale(x) * other + x * weight

    x = tf.constant(3.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = compute(x)
    slopes = tape.gradient(y, [x, weight, other])
    expect([y, *slopes], [66.0, 52.0, 333.0, 12.0])
    weight.assign(4.0)
    return y, slopes, compute(x), names(tape.watched_variables())


@scenario
def custom_gradient_in_loop(decorate: Decorate):
    """Two custom gradients in a loop body."""
    five, seven = scaled_gradient(5.0), scaled_gradient(7.0)
    weight = tf.Variable(1.0)

    @decorate
    def compute(x):
        for _ in tf.range(2):
            x = five(x * weight) + five(x * weight) + seven(x * weight)
        return x

    x = tf.constant(1.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = compute(x)
    slopes = tape.gradient(y, [x, weight])
    expect([y, *slopes], [81.0, 289.0, 442.0])
    mapped = decorate(lambda rows: tf.gradients(tf.map_fn(lambda row: five(row) * five(row), rows), rows))
    return y, slopes, mapped(tf.constant([1.0, 2.0]))


@scenario
def custom_gradient_in_cond(decorate: Decorate):
    """Different custom gradients in the two branches."""
    five, seven = scaled_gradient(5.0), scaled_gradient(7.0)
    weight = tf.Variable(1.0)

    @decorate
    def compute(x):
        if x > 0.0:
            y = five(x * weight) + five(x * weight)
        else:
            y = seven(x * weight) + seven(x * weight)
        return y + five(x * weight)

    results = []
    for value in (2.0, -2.0):
        x = tf.constant(value)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = compute(x)
        results.append([y, tape.gradient(y, [x, weight])])
    expect(results, [[18.0, [15.0, 30.0]], [-18.0, [19.0, -38.0]]])
    return results


@scenario
def custom_gradient_in_nested_function(decorate: Decorate):
    """Custom gradients inside functions that are called twice."""
    five, seven = scaled_gradient(5.0), scaled_gradient(7.0)
    weight = tf.Variable(2.0)

    @tf.function
    def plain(x):
        return five(x * weight) + five(x * weight)

    @decorate
    def inner(x):
        return seven(x * weight) + seven(x * weight)

    @decorate
    def outer(x):
        return plain(x) + plain(x) + inner(x) + inner(x), five(x * weight)

    x = tf.constant(1.0)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        with tf.GradientTape() as inner_tape:
            inner_tape.watch(x)
            y = outer(x)
        slope = inner_tape.gradient(y, x)
    slopes = [slope, tape.gradient(y, weight), tape.gradient(slope, weight)]
    expect(y, (48.0, 6.0))
    expect(slopes, [106.0, 53.0, 53.0])
    return y, slopes


@scenario
def recompute_grad(decorate: Decorate):
    """A recomputed block around a decorated function, and inside one."""
    weight, runs = tf.Variable(2.0), []

    def block(x):
        runs.append("traced")
        return x * x * weight + x * x * weight

    around = tf.recompute_grad(decorate(block))
    recomputed = tf.recompute_grad(block)
    inside = decorate(lambda x: recomputed(x) + recomputed(x) * 3.0)
    both = decorate(tf.recompute_grad(decorate(block)))

    results = []
    for function in (around, inside, both):
        x = tf.constant(3.0)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        results.append([y, tape.gradient(y, [x, weight]), names(tape.watched_variables())])
    expect(results[0][:2], [36.0, [24.0, 18.0]])
    expect(results[1][:2], [144.0, [96.0, 72.0]])
    expect(results[2][:2], [36.0, [24.0, 18.0]])
    return results, len(runs)
