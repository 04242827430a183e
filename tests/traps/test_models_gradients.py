"""Traps of SavedModels: gradients of what was loaded, before and after."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tests.offline import checks
from tests.offline.models import normal, optimized, saved
from tests.seeds import executed
from tests.traps.saved_twins import IMAGE, functions

pytestmark = pytest.mark.tensorflow


def test_trap_106_custom_gradients() -> None:
    """The attribute that leads to a gradient is there, word by word, and the gradient is found."""

    def types(path: str) -> Counter[bytes]:
        nodes = [node for function in functions(path).values() for node in function.node_def]
        return Counter(node.attr["_gradient_op_type"].s for node in nodes if "_gradient_op_type" in node.attr)

    assert types(saved("softened")).keys() == types(optimized("softened")).keys()
    numbers = tf.constant(normal(3, 4, seed=8))

    def slopes(path: str) -> Any:
        loaded = tf.saved_model.load(path)
        with tf.GradientTape() as tape:
            tape.watch(numbers)
            value = loaded(numbers)
        return tape.gradient(value, [numbers, loaded.weight])

    with checks.as_written():
        executed.assert_close(slopes(saved("softened")), slopes(optimized("softened")), relative=1e-6)


class Clipped(tf.Module):
    """Two calls of one function whose custom gradient clips."""

    def __init__(self) -> None:
        super().__init__(name="clipped")

        @tf.custom_gradient
        def clipped(x: Any) -> Any:
            return 3.0 * x, lambda upstream: tf.clip_by_value(upstream, -1.0, 1.0)

        self.inner = tf.function(lambda x: clipped(x))

    @tf.function(input_signature=[tf.TensorSpec([3], tf.float32)], autograph=False)
    def __call__(self, x: Any) -> Any:
        return 2.0 * self.inner(x) - 5.0 * self.inner(x)


def test_trap_106_custom_gradients_in_called_functions(tmp_path: Path) -> None:
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    tf.saved_model.save(Clipped(), source, options=tf.saved_model.SaveOptions(experimental_custom_gradients=True))
    tfreuse.optimize_saved_model(source, target)

    def slope(path: str) -> Any:
        loaded, x = tf.saved_model.load(path), tf.constant([1.0, 2.0, 3.0])
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loaded(x)
        return tape.gradient(value, x)

    executed.assert_same(slope(source), tf.zeros(3))
    executed.assert_same(slope(target), tf.zeros(3))


def test_trap_107_gradients_of_a_loaded_model() -> None:
    def slopes(path: str) -> Any:
        loaded = tf.saved_model.load(path)
        with tf.GradientTape() as tape:
            tape.watch(IMAGE)
            value = loaded.features(IMAGE)
        return tape.gradient(value, [IMAGE, loaded.kernel, loaded.bias])

    executed.assert_close(slopes(saved("service")), slopes(optimized("service")))
