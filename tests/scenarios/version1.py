"""Decorated functions in graphs of TensorFlow 1."""

from __future__ import annotations

import contextlib

import tensorflow as tf

from tests.scenarios.observe import expect
from tests.scenarios.registry import Decorate, scenario

v1 = tf.compat.v1


@contextlib.contextmanager
def control_flow_of_version1():
    """Loops as Enter, Merge, Switch and NextIteration instead of functional ops."""
    v1.disable_control_flow_v2()
    try:
        yield
    finally:
        v1.enable_control_flow_v2()


@scenario
def session_graph(decorate: Decorate):
    """Calls from a graph that a session runs."""
    with tf.Graph().as_default(), v1.Session() as session:
        weight = v1.get_variable("weight", initializer=[2.0, 3.0], use_resource=True)
        counter = v1.get_variable("counter", initializer=0.0, use_resource=True, trainable=False)

        @decorate
        def compute(x):
            counter.assign_add(1.0)
            return x * weight + x * weight, counter + counter

        x = v1.placeholder(tf.float32, [2])
        first, second = compute(x), compute(x)
        with tf.control_dependencies([first[1], second[1]]):
            count = counter.read_value()
        slope = tf.gradients(first[0] + second[0] * 3.0, [x, weight])
        session.run(v1.global_variables_initializer())
        results = [session.run([first[0], second[0], count, slope], {x: [1.0, 2.0]}) for _ in range(2)]
        lone = session.run(compute(x), {x: [1.0, 1.0]})
    expect(results[0], [[4.0, 12.0], [4.0, 12.0], 2.0, [[16.0, 24.0], [8.0, 16.0]]])
    expect(results[1][2], 4.0)
    expect(lone[1], 10.0)
    return results, lone


@scenario
def version1_while_loop(decorate: Decorate):
    """`tf.compat.v1.while_loop` in a decorated function, and decorated calls in the frame of an old loop."""
    weight = tf.Variable(2.0)

    @decorate
    def loop(x):
        def body(step, value):
            return step + 1, value * weight + value * weight

        options = {"parallel_iterations": 1, "back_prop": True}
        return v1.while_loop(lambda step, value: step < 3, body, [0, x], **options)[1]

    x = tf.constant(1.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = loop(x)
    slopes = tape.gradient(y, [x, weight])
    expect([y, *slopes], [64.0, 64.0, 96.0])

    with control_flow_of_version1(), tf.Graph().as_default(), v1.Session() as session:
        factor = v1.get_variable("factor", initializer=3.0, use_resource=True)
        double = decorate(lambda value: value * factor + value * factor)
        frame = v1.while_loop(
            lambda step, value: step < 2,
            lambda step, value: [step + 1, double(value) + double(value)],
            [0, tf.constant(1.0)],
        )[1]
        session.run(v1.global_variables_initializer())
        old = session.run(frame)
        kinds = {operation.type for operation in session.graph.get_operations()}
    expect(old, 144.0)
    return y, slopes, old, "NextIteration" in kinds
