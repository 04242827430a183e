"""Keras models with loops over time: what is the same in every step is computed once, where there is such a thing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf

import tfreuse
from tests.loops.runs import assert_same_results, normal, times


class Conditioned(keras.layers.Layer):
    """A cell that adds a projection of a context, which is the same in every step."""

    def __init__(self, context: Any) -> None:
        super().__init__()
        self.state_size, self.output_size = 4, 4
        self.context = context
        self.project, self.mix = keras.layers.Dense(4), keras.layers.Dense(4)

    def build(self, shape: Any) -> None:
        self.project.build((1, 3))
        self.mix.build((None, shape[-1]))

    def call(self, inputs: Any, states: Any) -> Any:
        state = tf.tanh(self.mix(inputs) + states[0] + self.project(self.context))
        return state, [state]


def test_a_cell_with_a_context() -> None:
    """The projection of the context runs once, not in each of the steps."""
    rnn = keras.layers.RNN(Conditioned(tf.constant(normal(1, 3, seed=2))))
    data = tf.constant(normal(2, 5, 3))
    rnn(data)
    plain, shared = tf.function(lambda x: rnn(x)), tfreuse.dedupe(lambda x: rnn(x), on_error="raise", preset="hoist")
    results = []
    for made in (plain, shared):
        with tf.GradientTape() as tape:
            result = made(data)
            loss = tf.reduce_sum(result**2)
        results.append([result, *tape.gradient(loss, rnn.trainable_variables)])
    assert_same_results(*results)
    assert (times("MatMul", plain, data), times("MatMul", shared, data)) == (10, 6)


LAYERS = {
    "LSTM": (lambda: keras.layers.LSTM(4), (2, 5, 3), "MatMul"),
    "GRU": (lambda: keras.layers.GRU(4), (2, 5, 3), "MatMul"),
    "SimpleRNN": (lambda: keras.layers.SimpleRNN(4), (2, 5, 3), "MatMul"),
    "ConvLSTM2D": (lambda: keras.layers.ConvLSTM2D(2, 3), (1, 4, 8, 8, 3), "Conv2D"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_over_time_have_nothing_invariant(name: str, tmp_path: Path) -> None:
    """Each product and convolution of these layers takes the step's input or state: all run as often as before."""
    make, shape, op = LAYERS[name]
    layer = make()
    data = tf.constant(normal(*shape))
    layer(data)
    plain, shared = (
        tf.function(lambda x: layer(x)),
        tfreuse.dedupe(lambda x: layer(x), on_error="raise", preset="hoist"),
    )
    assert_same_results([plain(data)], [shared(data)])
    assert times(op, shared, data) == times(op, plain, data) > 1
    assert "hoisted" not in [remark["id"] for remark in shared.report.to_dict()["remarks"]]
    model = keras.Sequential([keras.Input(shape[1:]), layer])
    model.export(str(tmp_path / "plain"))
    report = tfreuse.optimize_saved_model(tmp_path / "plain", tmp_path / "hoisted", verify=3, preset="hoist")
    assert "hoisted" not in [remark["id"] for remark in report.to_dict()["remarks"]]
