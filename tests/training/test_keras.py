"""Keras models with decorated calls and train steps: fit, and export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfreuse
from tests.seeds import executed
from tfreuse.validate.tolerance import gamma

pytestmark = pytest.mark.tensorflow

ROWS, SIDE = 16, 8
Decorate = Callable[[Any], Any]


def same(function: Any) -> Any:
    return function


def fast(function: Any) -> Any:
    return tfreuse.dedupe(function, preset="fast", on_error="raise")


def exact(function: Any) -> Any:
    return tfreuse.dedupe(function, on_error="raise")


def initial(shape: Any, dtype: Any = None) -> Any:
    """The same small numbers for a shape."""
    return tf.constant(np.random.default_rng(sum(shape)).standard_normal(shape) / 4.0, dtype or "float32")


def model(on_call: Decorate = same, on_step: Decorate = same) -> keras.Model:
    """A small convolutional network; its step runs it twice, for two losses."""

    class Network(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="network")
            self.first = keras.layers.Conv2D(4, 3, padding="same", activation="relu", kernel_initializer=initial)
            self.second = keras.layers.Conv2D(4, 3, padding="same", activation="relu", kernel_initializer=initial)
            self.flat = keras.layers.Flatten()
            self.head = keras.layers.Dense(1, kernel_initializer=initial)

        def build(self, shape: Any) -> None:
            for layer, channels in ((self.first, 2), (self.second, 4)):
                layer.build((None, SIDE, SIDE, channels))
            self.flat.build((None, SIDE, SIDE, 4))
            self.head.build((None, SIDE * SIDE * 4))
            self.built = True

        @on_call
        def call(self, x: Any, training: bool = False) -> Any:
            once = self.head(self.flat(self.second(self.first(x))))
            again = self.head(self.flat(self.second(self.first(x))))
            return 0.5 * once + 0.25 * again

        @on_step
        def train_step(self, batch: Any) -> Any:
            x, y = batch
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(self(x, training=True) - y))
                loss += tf.reduce_mean(tf.abs(self(x, training=True) - y))
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply(gradients, self.trainable_variables)
            return {"total": loss}  # Keras has a "loss" of its own

    made = Network()
    made.build((None, SIDE, SIDE, 2))
    return made


def data() -> tuple[np.ndarray, np.ndarray]:
    source = np.random.default_rng(5)
    return (
        source.standard_normal((ROWS, SIDE, SIDE, 2)).astype(np.float32),
        source.standard_normal((ROWS, 1)).astype(np.float32),
    )


def fitted(made: keras.Model) -> tuple[list[float], list[np.ndarray], keras.Model]:
    """Losses of four epochs of two steps each, and the weights."""
    made.compile(keras.optimizers.SGD(2.0**-6, momentum=0.5), run_eagerly=False, jit_compile=False)
    history = made.fit(*data(), batch_size=8, epochs=4, shuffle=False, verbose=0)
    return history.history["total"], made.get_weights(), made


@pytest.mark.parametrize("where", ["call", "step", "call and step"])
def test_fit_with_the_default_preset(where: str) -> None:
    plain = fitted(model())
    shared = fitted(model(exact if "call" in where else same, exact if "step" in where else same))
    assert plain[0][0] > plain[0][-1]
    if where == "step":  # decorated as a whole: the gradient is the plain one, bit for bit
        assert plain[0] == shared[0]
        executed.assert_same(plain[1], shared[1])
    else:
        close(plain, shared)


@pytest.mark.parametrize("where", ["call", "step", "call and step"])
def test_fit_with_fast(where: str) -> None:
    plain = fitted(model())
    shared = fitted(model(fast if "call" in where else same, fast if "step" in where else same))
    close(plain, shared)


def close(plain: Any, shared: Any) -> None:
    """Losses and weights apart by no more than two roundings of the gradients of eight steps, each with the sums over
    taps and channels on its way and those over batch and pixels, carried on as the largest weight is."""
    roundings = 8 * (2 * 9 * 4 + 8 * SIDE * SIDE + SIDE * SIDE * 4)
    allowed = 2 * gamma(roundings, "float32")
    largest = max(float(np.abs(weights).max()) for weights in plain[1])
    for one, other in zip(plain[1], shared[1], strict=True):
        assert float(np.abs(one - other).max()) <= allowed * largest
    np.testing.assert_allclose(shared[0], plain[0], rtol=allowed)


def test_a_step_of_any_batch_runs_each_layer_once() -> None:
    """`fit` traces for batches of any size."""
    counts = []
    for decorate in (same, fast):
        made = model(on_step=decorate)
        _, ops = executed.call(fitted, made)
        counts.append([ops[op] for op in ("Conv2D", "Conv2DBackpropFilter", "Conv2DBackpropInput")])
    assert counts == [[8, 8, 4], [2, 2, 1]]
    assert not made.train_step.report.failures


def test_export(tmp_path: Path) -> None:
    made = fitted(model(fast, fast))[2]
    made.export(str(tmp_path / "exported"))
    x = data()[0]
    loaded = tf.saved_model.load(str(tmp_path / "exported"))
    plain = model()
    plain.set_weights(made.get_weights())
    np.testing.assert_array_equal(loaded.serve(tf.constant(x)), plain(x))
