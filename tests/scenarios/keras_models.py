"""Keras layers and models whose methods are decorated."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tests.scenarios.observe import expect, whole
from tests.scenarios.registry import EAGER, Decorate, scenario


def whole_numbers(shape, dtype=None):
    """An initializer: the same small whole numbers for a shape, so that sums are exact."""
    return tf.constant(whole(*shape, seed=len(shape)), dtype or "float32")


def twice_model(decorate: Decorate, **methods) -> keras.Model:
    """A built model whose decorated `call` applies its layers twice to the same input."""

    class Twice(keras.Model):
        def __init__(self):
            super().__init__(name="twice")
            self.hidden = keras.layers.Dense(2, "relu", kernel_initializer=whole_numbers, name="hidden")
            self.head = keras.layers.Dense(1, kernel_initializer=whole_numbers, name="head")

        @decorate
        def call(self, x, training=False):
            once = self.head(self.hidden(x))
            again = self.head(self.hidden(x))
            return once + again if training else once + again + 1.0

    model = type("Twice", (Twice,), methods)()
    model.hidden.build((None, 2))
    model.head.build((None, 2))
    model.built = True
    return model


def data() -> tuple[np.ndarray, np.ndarray]:
    """Four rows; small enough that two steps of training stay exact in float32."""
    return whole(4, 2, seed=5, low=0, high=2), whole(4, 1, seed=6, low=0, high=3)


def first_loss(weights: list[np.ndarray]) -> float:
    """The mean squared error of the model in training on `data()`, with these weights and no biases."""
    x, y = data()
    return float(np.mean((2.0 * np.maximum(x @ weights[0], 0) @ weights[2] - y) ** 2))


@scenario
def keras_layer_methods(decorate: Decorate):
    """A layer with a decorated `call` and helper, in a functional model."""

    class Scale(keras.layers.Layer):
        """A layer with a decorated `call` and a decorated helper, which counts its calls."""

        def build(self, shape):
            self.scale = self.add_weight(shape=shape[-1:], initializer=whole_numbers, name="scale")
            self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")

        @decorate
        def helper(self, x):
            return x * self.scale + x * self.scale

        @decorate
        def call(self, x, training=False):
            if training:
                self.calls.assign_add(1.0)
            return self.helper(x) + self.helper(x)

    layer = Scale(name="scale")
    layer.build((None, 3))
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layer(inputs) + layer(inputs))
    x = tf.constant(whole(2, 3, seed=7))
    with tf.GradientTape() as tape:
        outputs = [layer(x), layer(x, training=True), layer.helper(x), model(x, training=True)]
    slope = tape.gradient(outputs, layer.scale.value)
    expect(outputs[0], 4.0 * x.numpy() * layer.scale.numpy())
    expect(outputs[3], 8.0 * x.numpy() * layer.scale.numpy())
    expect(slope, 18.0 * x.numpy().sum(axis=0))
    expect(layer.calls.numpy(), np.float32(3.0))
    expect(layer.calls.dtype, "float32")
    paths = [weight.path for weight in layer.weights]
    return outputs, slope, layer.get_weights(), model.predict(x, verbose=0), paths


@scenario
def fit_with_decorated_call(decorate: Decorate):
    """Training, prediction and evaluation of a model whose `call` is decorated."""
    model = twice_model(decorate)
    x, y = data()
    model.compile(keras.optimizers.SGD(0.03125), loss="mse", run_eagerly=False)
    start = model.get_weights()
    history = model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    assert not np.array_equal(start[0], model.get_weights()[0])
    assert np.isfinite(history.history["loss"]).all()
    expect(history.history["loss"][0], first_loss(start))
    return {
        "loss": history.history["loss"],
        "weights": model.get_weights(),
        "predict": model.predict(x, verbose=0),
        "evaluate": model.evaluate(x, y, verbose=0),
        "iterations": int(model.optimizer.iterations.numpy()),
    }


@scenario
def fit_with_decorated_train_step(decorate: Decorate):
    """A decorated `train_step` with momentum and a state of its own."""

    @decorate
    def train_step(self, batch):
        x, y = batch
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self(x, training=True) - y))
            loss += tf.reduce_mean(tf.square(self(x, training=True) - y))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        self.steps.assign_add(1.0)
        return {"loss": loss, "steps": self.steps + self.steps}

    model = twice_model(decorate, train_step=train_step)
    model.steps = tf.Variable(0.0, trainable=False)
    x, y = data()
    model.compile(keras.optimizers.SGD(0.03125, momentum=0.5), run_eagerly=False)
    start = model.get_weights()
    history = model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    expect(history.history["steps"], [2.0, 4.0])
    expect(
        history.history["loss"][0],
        2.0 * first_loss(start),
    )
    moments = [np.asarray(variable) for variable in model.optimizer.variables]
    return history.history, model.get_weights(), moments, model.steps


@scenario
def jit_compiled_fit(decorate: Decorate):
    """The same model trained in compiled steps."""
    model = twice_model(decorate)
    x, y = data()
    model.compile(keras.optimizers.SGD(0.03125), loss="mse", jit_compile=True)
    start = model.get_weights()
    loss = model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0).history["loss"]
    expect(loss[0], first_loss(start))
    assert not np.array_equal(start[0], model.get_weights()[0])
    return loss, model.get_weights(), model.predict(x, verbose=0)


@scenario(reference=EAGER)
def unbuilt_keras_model(decorate: Decorate):
    """The first call of a model builds it.

    Keras traces that call in a scope without state, and plain `tf.function` keeps the trace, initial weights
    baked in as constants: gradients are None and the output ignores the weights. So the reference is the
    undecorated method.
    """

    class Lazy(keras.Model):
        def __init__(self):
            super().__init__(name="lazy")
            self.dense = keras.layers.Dense(2, kernel_initializer=whole_numbers, name="dense")

        @decorate
        def call(self, x):
            return self.dense(x) + self.dense(x)

    model = Lazy()
    x = tf.constant(whole(3, 2, seed=8))
    with tf.GradientTape() as tape:
        first = model(x)
    slopes = tape.gradient(first, [weight.value for weight in model.trainable_weights])
    expect(first, 2.0 * x.numpy() @ model.dense.kernel.numpy())
    assert all(slope is not None for slope in slopes), "no gradient reaches the weights"
    expect(slopes[1], [6.0, 6.0])
    model.dense.kernel.assign(np.zeros((2, 2), np.float32))
    model.dense.bias.assign([1.0, 2.0])
    after = model(x)
    expect(after, [[2.0, 4.0]] * 3, "output after the weights changed")
    return first, slopes, after, model.predict(x, verbose=0), [weight.path for weight in model.weights]
