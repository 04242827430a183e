"""What a decorated function finds in its surroundings: variables, constants, call-time values, `self`."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tests.scenarios.observe import expect, names, whole
from tests.scenarios.registry import Decorate, scenario


@scenario
def captured_variables(decorate: Decorate):
    """Equal values are not the same variable; a variable read twice is."""
    kernel = tf.Variable(np.ones((2, 2), np.float32), name="kernel")
    twin = tf.Variable(np.ones((2, 2), np.float32), name="twin")
    frozen = tf.Variable([2.0, 2.0], trainable=False, name="frozen")

    @decorate
    def compute(x):
        same = tf.matmul(x, kernel) + tf.matmul(x, kernel)
        other = tf.matmul(x, twin)
        return same * frozen, other * frozen, tf.reduce_sum(kernel * twin)

    x = tf.constant([[1.0, 2.0]])
    with tf.GradientTape() as tape:
        outputs = compute(x)
    slopes = tape.gradient(outputs, [kernel, twin, frozen])
    expect(slopes[0], [[5.0, 5.0], [9.0, 9.0]])
    expect(slopes[1], [[3.0, 3.0], [5.0, 5.0]])
    assert slopes[2] is None
    twin.assign_add(np.ones((2, 2), np.float32))
    after = compute(x)
    expect(after[:2], ([[12.0, 12.0]], [[12.0, 12.0]]))
    concrete = compute.get_concrete_function(x)
    return {
        "results": [outputs, slopes, after],
        "watched": names(tape.watched_variables()),
        "variables": sorted(names(concrete.variables)),
        "trainable": sorted(names(concrete.trainable_variables)),
        "outputs": str(concrete.structured_outputs),
    }


@scenario
def captured_constants(decorate: Decorate):
    """Large and small eager constants are inputs: an equal constant in the body is not the same tensor."""
    small = tf.constant([1.0, 2.0])
    same = tf.constant([1.0, 2.0])
    large = tf.constant(whole(40, 60, seed=1))
    number = tf.constant(3.0)

    @decorate
    def compute(x):
        inside = tf.constant([1.0, 2.0])
        products = [x * small, x * small, x * inside, x * same]
        sums = tf.reduce_sum(large * number) + tf.reduce_sum(large * tf.constant(3.0))
        return tf.add_n(products) * number, sums

    x = tf.constant([5.0, 7.0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([small, same, large, number])
        outputs = compute(x)
    slopes = [tape.gradient(outputs, tensor) for tensor in (small, same, large, number)]
    expect(outputs[0], [60.0, 168.0])
    expect(slopes[0], [30.0, 42.0], "gradient to the constant used twice")
    expect(slopes[1], [15.0, 21.0], "gradient to its equal")
    expect(slopes[2], np.full((40, 60), 6.0))
    expect(slopes[3], 76.0 + large.numpy().sum())
    return outputs, slopes


@scenario
def deferred_captures(decorate: Decorate):
    """Values that are looked up at each call, not when the function is traced."""
    box = {"value": tf.constant(2.0)}
    spec = tf.TensorSpec([], tf.float32)

    @decorate
    def compute(x):
        graph = tf.compat.v1.get_default_graph()
        first = graph.capture_call_time_value(lambda: box["value"], spec)
        second = graph.capture_call_time_value(lambda: box["value"] + 1.0, spec)
        shared = [graph.capture_call_time_value(lambda: box["value"], spec, key="box") for _ in range(2)]
        return x * first + x * first, x * second, x * shared[0] + x * shared[1]

    x = tf.constant(3.0)
    results = [compute(x)]
    box["value"] = tf.constant(10.0)
    results.append(compute(x))
    expect(results, [(12.0, 9.0, 12.0), (60.0, 33.0, 60.0)])
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.add_n(compute(x))
    slope = tape.gradient(total, x)
    expect(slope, 51.0)
    return results, slope, compute.experimental_get_tracing_count()


@scenario
def module_methods(decorate: Decorate):
    """Decorated methods: per instance, inherited, overridden, static, `__call__`."""

    class Base(tf.Module):
        """A decorated method of a base class, a decorated `__call__`, and a static one."""

        def __init__(self, value, name):
            super().__init__(name=name)
            with self.name_scope:
                self.weight = tf.Variable(whole(2, seed=int(value)) * value, name="weight")

        @decorate
        def forward(self, x):
            return x * self.weight + x * self.weight

        @decorate
        def __call__(self, x, training=False):
            return self.forward(x) + self.forward(x) if training else self.forward(x)

        @staticmethod
        @decorate
        def square(x):
            return tf.square(x) + tf.square(x)

    class Child(Base):
        @decorate
        def forward(self, x):
            return super().forward(x) + super().forward(x) + self.square(x)

    modules = [Base(1.0, "one"), Base(2.0, "two"), Child(1.0, "child")]
    x = tf.constant([1.0, 2.0])
    results = []
    for module in modules:
        with tf.GradientTape() as tape:
            outputs = [module(x), module(x, training=True), module.forward(x=x), module.square(x)]
        results.append([outputs, tape.gradient(outputs, module.trainable_variables), names(module.variables)])
    expect(results[0][0][0], 2.0 * x.numpy() * modules[0].weight.numpy())
    expect(results[2][0][2], 4.0 * x.numpy() * modules[2].weight.numpy() + 2.0 * x.numpy() ** 2)
    expect(results[0][1], [[8.0, 16.0]])
    assert Base.forward.__name__ == "forward"
    return results
