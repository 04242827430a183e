"""Gradients of loaded models are those of the original: the tape's, saved custom ones, and through signatures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfreuse
from tests.offline import checks
from tests.offline.models import normal, optimized, saved
from tests.seeds.executed import assert_close

PIXELS = tf.constant(normal(2, 8, 8, 2, seed=9))
NUMBERS = tf.constant(normal(3, 4, seed=8))


def both(name: str) -> tuple[Any, Any]:
    """The model and the optimised model, loaded."""
    return tf.saved_model.load(saved(name)), tf.saved_model.load(optimized(name))


@pytest.mark.parametrize("part", ["call", "training", "features", "looped", "signature"])
def test_gradients(part: str) -> None:
    """Up to rounding: where one convolution replaces four, its gradient is that of a sum, not a sum of gradients."""
    calls: dict[str, Callable[[Any, Any], Any]] = {
        "call": lambda model, image: model(image),
        "training": lambda model, image: model(image, training=True),
        "features": lambda model, image: model.features(image),
        "looped": lambda model, image: model.looped(image),
        "signature": lambda model, image: list(model.signatures["serving_default"](image=image).values()),
    }
    found = []
    for model in both("service"):
        with tf.GradientTape() as tape:
            tape.watch(PIXELS)
            result = calls[part](model, PIXELS)
        found.append(tape.gradient(result, [PIXELS, model.kernel, model.bias]))
        assert all(gradient is not None for gradient in found[-1])
    assert_close(*found)


@pytest.mark.parametrize("part", ["call", "signature"])
def test_custom_gradients(part: str) -> None:
    found = []
    for model in both("softened"):
        with tf.GradientTape() as tape:
            tape.watch(NUMBERS)
            signature = model.signatures["serving_default"]
            result = model(NUMBERS) if part == "call" else signature(numbers=NUMBERS)["output_0"]
        found.append([result, *tape.gradient(result, [NUMBERS, model.weight])])
    assert_close(*found)
    # What TensorFlow would derive by itself is something else.
    hidden = NUMBERS @ model.weight
    own = (tf.exp(hidden) * (2.0 + 1.0 / (1.0 + tf.exp(hidden)))) @ tf.transpose(model.weight)
    assert not np.allclose(own, found[1][1], rtol=1e-3)
    derived = (2.0 * tf.exp(hidden) + 3.0 - 1.0 / (1.0 + tf.exp(hidden))) @ tf.transpose(model.weight)
    assert_close([derived], [found[1][1]])


def test_the_value_that_a_custom_gradient_holds_keeps_its_name() -> None:
    graph = checks.serving(optimized("softened"))
    bodies = {f.signature.name: {node.name for node in f.node_def} for f in graph.graph_def.library.function}
    held = [node.captured_tensor for node in graph.object_graph_def.nodes if node.HasField("captured_tensor")]
    assert held
    for tensor in held:
        assert tensor.name.split(":")[0] in bodies[tensor.concrete_function]


SUMS: dict[str, Callable[[Any], Any]] = {
    "the sum": lambda y: tf.sin(y) + tf.sin(y),
    "behind a constant": lambda y: (tf.sin(y) + tf.sin(y)) - 1.0,
    "behind a bias": lambda y: tf.nn.bias_add(tf.sin(y) + tf.sin(y), tf.ones([4])),
    "behind a shape": lambda y: tf.ensure_shape(tf.sin(y) + tf.sin(y), [None, 4]),
    "behind a call": lambda y: tf.function(lambda z: tf.sin(z) + tf.sin(z))(y) + 1.0,
    "in a branch in it": lambda y: tf.cond(tf.reduce_max(y) > 0.0, lambda: tf.sin(y) + tf.sin(y), lambda: y),
}


class Branched(tf.Module):
    """The sides of a branch add equal values, of a shape that is known only when the function runs."""

    def __init__(self, name: str) -> None:
        super().__init__(name="branched")
        self._sum = SUMS[name]

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32)])
    def __call__(self, x: Any) -> Any:
        return self._sum(x) if tf.reduce_sum(x) > 0.0 else self._sum(x) * 2.0


def before_and_after(module: tf.Module, folder: Path) -> list[Any]:
    """The module saved and loaded, as it is and optimised."""
    before, after = str(folder / "before"), str(folder / "after")
    tf.saved_model.save(module, before)
    tfreuse.optimize_saved_model(before, after)
    return [tf.saved_model.load(path) for path in (before, after)]


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("name", SUMS)
def test_equal_values_added_in_a_branch(name: str, sign: float, tmp_path: Path) -> None:
    """TensorFlow 2.21 gives an empty gradient for `y + y` in the first side of a branch (and a right one without
    Grappler), so equal values that are added there must stay two."""
    numbers = tf.abs(NUMBERS) * sign
    found = []
    for model in before_and_after(Branched(name), tmp_path):
        with tf.GradientTape() as tape:
            tape.watch(numbers)
            result = model(numbers)
        found.append(tape.gradient(result, numbers))
    assert found[0].shape == found[1].shape == numbers.shape
    assert_close([found[0]], [found[1]])


class Passed(tf.Module):
    """Equal values are passed, side by side, to what runs functions of its own."""

    def __init__(self) -> None:
        super().__init__(name="passed")
        self.weight = tf.Variable(normal(3, 4, seed=6), name="weight")

    def equal(self, x: Any) -> tuple[Any, Any]:
        """Two computations of one value."""
        return tf.sin(x * self.weight), tf.sin(x * self.weight)

    @tf.function(input_signature=[tf.TensorSpec([3, 4], tf.float32)])
    def branch(self, x: Any) -> Any:
        a, b = self.equal(x)
        return tf.cond(tf.reduce_sum(x) > 0.0, lambda: a * b, lambda: tf.exp(a) * b)

    @tf.function(input_signature=[tf.TensorSpec([3, 4], tf.float32)])
    def case(self, x: Any) -> Any:
        a, b = self.equal(x)
        return tf.switch_case(tf.constant(1), [lambda: a * b, lambda: tf.exp(a) * b])

    @tf.function(input_signature=[tf.TensorSpec([3, 4], tf.float32)])
    def loop(self, x: Any) -> Any:
        a, b = self.equal(x)
        return tf.while_loop(lambda i, _: i < 3, lambda i, s: (i + 1, s * a + b), [0, x])[1]

    @tf.function(input_signature=[tf.TensorSpec([3, 4], tf.float32)])
    def loop_variables(self, x: Any) -> Any:
        a, b = self.equal(x)
        return tf.while_loop(lambda i, s, t: i < 3, lambda i, s, t: (i + 1, s * 2.0, t + s), [0, a, b])[2]

    @tf.function(input_signature=[tf.TensorSpec([3, 4], tf.float32)])
    def call(self, x: Any) -> Any:
        return tf.function(lambda a, b: tf.exp(a) * b)(*self.equal(x))

    @tf.function(input_signature=[tf.TensorSpec([3, 4], tf.float32)])
    def reads(self, x: Any) -> Any:
        a, b = self.weight.read_value(), self.weight.read_value()
        return tf.cond(tf.reduce_sum(x) > 0.0, lambda: a * b * x, lambda: tf.exp(a) * b)


@pytest.mark.parametrize("name", ["branch", "case", "loop", "loop_variables", "call", "reads"])
def test_equal_values_passed_side_by_side(name: str, tmp_path: Path) -> None:
    """For the gradient of a branch TensorFlow finds its operands by identity: they must stay distinct tensors."""
    found = []
    for model in before_and_after(Passed(), tmp_path):
        with tf.GradientTape() as tape:
            tape.watch(NUMBERS)
            result = getattr(model, name)(NUMBERS)
        found.append([result, *tape.gradient(result, [NUMBERS, model.weight])])
    assert_close(*found)
