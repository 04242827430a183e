"""Factored gradients outside of decorated functions: concrete functions, and graphs whose numbers are judged."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tests.seeds import executed
from tests.training.programs import BATCH, SIDE, Training

pytestmark = pytest.mark.tensorflow


class Slopes(Training):
    """Gradients of two squared losses of a network without other functions than Relu, in single precision."""

    dtype = tf.float32

    def __call__(self, x: Any) -> Any:
        with tf.GradientTape() as tape:
            first, second = self.network(x), self.network(x)
            loss = tf.reduce_mean(tf.square(first - 1.0)) + tf.reduce_mean(tf.square(0.5 * second))
        return tape.gradient(loss, self.weights)


def concrete(slopes: Slopes) -> Any:
    return tf.function(slopes.__call__).get_concrete_function(tf.TensorSpec([BATCH, SIDE, SIDE, 2]))


def test_a_concrete_function() -> None:
    slopes = Slopes()
    plain = concrete(slopes)
    shared, report = tfreuse.optimize(plain, preset="fast")
    assert not report.failures
    _, ops = executed.call(shared, tf.ones([BATCH, SIDE, SIDE, 2]))
    assert (ops["Conv2DBackpropFilter"], ops["Conv2DBackpropInput"]) == (2, 1)


def test_a_graph() -> None:
    """Constants in the place of variables; each gradient is held to the bound of its sums."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    slopes = Slopes()
    frozen = convert_variables_to_constants_v2(concrete(slopes))
    graph_def = frozen.graph.as_graph_def(add_shapes=True)
    names = [tensor.op.name for tensor in frozen.outputs]
    inputs = [tensor.op.name for tensor in frozen.inputs]
    changed, report = tfreuse.optimize_graph_def(graph_def, outputs=names, inputs=inputs, preset="fast", verify=5)
    used = {text.split(":")[0] for node in changed.node for text in node.input}
    assert sum(node.op == "Conv2DBackpropFilter" and node.name in used for node in changed.node) == 2
    (judged,) = report.to_dict()["verification"]["signatures"]
    assert not judged["not_judged"] and judged["judged"], judged


def test_a_gradient_of_relu_has_a_bound_only_where_activations_are_equal() -> None:
    from tfreuse.bridge.module import ops_of, read_module
    from tfreuse.ir.graph import Value
    from tfreuse.validate.roundings import roundings
    from tfreuse.validate.tolerance import Unbounded

    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [2, 3])
        active = tf.nn.relu(x, name="active")
        tf.raw_ops.ReluGrad(gradients=x, features=active, name="slope")
    graph_def = graph.as_graph_def()
    module = read_module(graph_def, ops_of(graph_def))
    assert roundings(module, Value("slope"), {"": frozenset({"active"})}) == 0
    with pytest.raises(Unbounded, match="another place"):
        roundings(module, Value("slope"))
