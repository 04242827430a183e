"""Gradients that are zero, and not none, because a call gives several outputs of which some are not used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tests.runtime.test_inlined_calls import Layer, X


@pytest.mark.parametrize(
    "use", [lambda y: (), tf.stop_gradient, lambda y: tf.cast(y, tf.int32), tf.floor, tf.zeros_like]
)
def test_a_gradient_that_is_zero_because_of_a_call_stays_zero(use: Callable[[Any], Any]) -> None:
    layer, scale = Layer(), tf.Variable(2.0)
    first = tf.function(lambda x: (tf.nn.relu(layer(x)), scale * 3.0), autograph=False)
    second = tf.function(lambda x: tf.reduce_sum(layer(x)), autograph=False)

    def program(x: Any) -> Any:
        image, other = first(x)
        return image, second(x), use(other)

    gradients = []
    for function in (tf.function(program), tfreuse.dedupe(program, on_error="raise")):
        with tf.GradientTape() as tape:
            outputs = function(tf.constant(X))
        gradients.append(tape.gradient(outputs[:2], scale))
    assert [float(gradient) for gradient in gradients] == [0.0, 0.0]
