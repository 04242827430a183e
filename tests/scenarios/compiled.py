"""XLA and device placement."""

from __future__ import annotations

import re

import tensorflow as tf

from tests.scenarios.observe import caught, expect, whole
from tests.scenarios.registry import Decorate, scenario

v1 = tf.compat.v1


@scenario
def jit_compile(decorate: Decorate):
    """Compiled inside a decorated function, compiled around one, and the compiler's own view of it."""
    weight, counter = tf.Variable(whole(2, 2, seed=1)), tf.Variable(0.0)

    @decorate(jit_compile=True)
    def compiled(x):
        before = counter + counter
        counter.assign_add(1.0)
        return tf.matmul(x, weight) * tf.matmul(x, weight), before, counter + counter

    @decorate
    def outer(x):
        return compiled(x), compiled(x), tf.matmul(x, weight) + tf.matmul(x, weight)

    @decorate
    def inner(x):
        return tf.matmul(x, weight) + tf.matmul(x, weight)

    outside = tf.function(lambda x: inner(x) + inner(x), jit_compile=True)
    dynamic = decorate(lambda x: tf.unique(x).y + tf.unique(x).y, jit_compile=True)
    x = tf.constant(whole(3, 2, seed=2))
    with tf.GradientTape() as tape:
        results = [compiled(x), outer(x), outside(x)]
        total = tf.reduce_sum(results[0][0]) + tf.reduce_sum(results[1][2]) + tf.reduce_sum(results[2])
    slope = tape.gradient(total, weight)
    expect(results[0], ((x.numpy() @ weight.numpy()) ** 2, 0.0, 2.0))
    expect(results[1][1][1:], (4.0, 6.0))
    expect(results[2], 4.0 * x.numpy() @ weight.numpy())
    known = x.numpy().T @ (2.0 * x.numpy() @ weight.numpy() + 2.0 + 4.0)
    expect(slope, known)
    listing = compiled.experimental_get_compiler_ir(x)(stage="hlo")
    layout = re.search(r"entry_computation_layout=\{(.*)\}$", listing.splitlines()[0])
    return results, slope, counter, layout.group(1) if layout else listing, caught(lambda: dynamic(x[0]))


def matmul_devices(decorate: Decorate) -> list[str]:
    """Where the products of a function ran, as a session's trace of the run tells."""
    options = v1.RunOptions(trace_level=v1.RunOptions.FULL_TRACE)
    ran = v1.RunMetadata()

    @decorate
    def spread(x):
        with tf.device("CPU:0"):
            left = tf.matmul(x, x) + tf.matmul(x, x)
        with tf.device("CPU:1"):
            right = tf.matmul(x, x) + tf.matmul(x, x)
        return left, right

    with tf.Graph().as_default(), v1.Session(config=v1.ConfigProto(device_count={"CPU": 2})) as session:
        x = v1.placeholder(tf.float32, [2, 2])
        session.run(spread(x), {x: whole(2, 2)}, options=options, run_metadata=ran)
    return sorted(
        {
            step.device
            for step in ran.step_stats.dev_stats
            for node in step.node_stats
            if "MatMul" in node.timeline_label
        }
    )


@scenario
def devices(decorate: Decorate):
    """Equal work on two devices stays on two devices."""
    assert len(tf.config.list_logical_devices("CPU")) == 2, "TensorFlow was started before conftest.py"
    with tf.device("CPU:1"):
        weight = tf.Variable(whole(2, seed=3))

    @decorate
    def spread(x):
        with tf.device("CPU:0"):
            left = tf.identity(x * weight) + tf.identity(x * weight)
        with tf.device("CPU:1"):
            right = tf.identity(x * weight) + tf.identity(x * weight)
        return left, right

    @decorate
    def anywhere(x):
        return tf.identity(x + x) * tf.identity(x + x)

    x = tf.constant([1.0, 2.0])
    with tf.GradientTape() as tape:
        outputs = spread(x)
    slope = tape.gradient(outputs, weight)
    with tf.device("CPU:1"):
        moved = anywhere(x)
    expect(outputs, (2.0 * x.numpy() * weight.numpy(),) * 2)
    expect(slope, [4.0, 8.0])
    places = matmul_devices(decorate)
    assert [place[-5:] for place in places] == ["CPU:0", "CPU:1"]
    return outputs, slope, moved, [tensor.device for tensor in (*outputs, slope, moved)], places
