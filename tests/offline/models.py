"""Small TensorFlow 2 models that compute things twice, saved to folders that the tests share and never change."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import cache
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfreuse

CONVOLUTIONS = 4
"""How often `Service.features` and the TF1 models apply one convolution to one image."""
WORDS = ("ant", "bee", "cat")
IMAGE = tf.TensorSpec([None, 8, 8, 2], tf.float32, name="image")
NUMBERS = tf.TensorSpec([None, 4], tf.float32, name="numbers")

_ROOT = tempfile.TemporaryDirectory(prefix="models-")


def folder(*parts: str) -> str:
    """A path under one temporary folder, which goes when the process ends."""
    return os.path.join(_ROOT.name, *parts)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """The same float32 array in each run."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def vocabulary() -> str:
    """A file with one word a line."""
    path = folder("words.txt")
    with open(path, "w") as file:
        file.write("\n".join(WORDS) + "\n")
    return path


class Service(tf.Module):
    """Variables trainable and not, a file table, an asset, a large constant, nested functions and control flow."""

    def __init__(self) -> None:
        super().__init__(name="service")
        words = vocabulary()
        self.kernel = tf.Variable(normal(3, 3, 2, 4, seed=1), name="kernel")
        self.bias = tf.Variable(normal(4, seed=2), name="bias")
        self.scale = tf.Variable(3.0, trainable=False, name="scale")
        self.calls = tf.Variable(0, dtype=tf.int64, trainable=False, name="calls")
        rows = tf.lookup.TextFileInitializer(
            words, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
        )
        self.table = tf.lookup.StaticHashTable(rows, -1)
        self.words = tf.saved_model.Asset(words)
        self.large = tf.constant(normal(64, 64, seed=3))

    def convolved(self, image: Any) -> Any:
        """One convolution with the module's variables."""
        return tf.nn.bias_add(tf.nn.conv2d(image, self.kernel, 1, "SAME"), self.bias)

    @tf.function
    def features(self, image: Any) -> Any:
        """The convolution of the issue: applied four times to one image."""
        return tf.add_n([self.convolved(image) * float(i) for i in range(1, CONVOLUTIONS + 1)])

    @tf.function
    def __call__(self, image: Any, training: bool = False) -> Any:
        hidden = self.convolved(image) * self.convolved(image)
        return hidden + self.scale if training else hidden - self.scale

    @tf.function
    def nested(self, image: Any) -> Any:
        """Two equal calls of one function."""
        return self.features(image) * self.features(image)

    @tf.function
    def looped(self, image: Any) -> Any:
        """A loop and a branch that convolve twice."""
        total = tf.zeros_like(self.convolved(image))
        for _ in tf.range(3):
            total += self.convolved(image) * self.convolved(image)
        if tf.reduce_sum(total) > 0.0:
            return tf.sin(total) * tf.sin(total)
        return tf.cos(total) * tf.cos(total)

    @tf.function
    def mixed(self, numbers: Any) -> Any:
        """A large constant captured, read twice."""
        wide = tf.tile(numbers, [1, 16])
        return tf.matmul(wide, self.large) * tf.matmul(wide, self.large)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def lookup(self, text: Any) -> dict[str, Any]:
        """Two equal look-ups, and the asset's content twice."""
        found = self.table.lookup(text) + self.table.lookup(text)
        lines = tf.strings.join([tf.io.read_file(self.words), tf.io.read_file(self.words)])
        return {"ids": found, "lines": lines}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int64, name="step")])
    def count(self, step: Any) -> dict[str, Any]:
        """Reads before, between and after two writes: three different values."""
        before = self.calls.read_value() + self.calls.read_value()
        self.calls.assign_add(step)
        between = self.calls.read_value() + self.calls.read_value()
        self.calls.assign_add(step)
        return {"before": before, "between": between, "after": self.calls + self.calls}

    @tf.function(input_signature=[IMAGE])
    def serve(self, image: Any) -> dict[str, Any]:
        """The serving signature: two outputs that are one value under two names, and one of a nested call."""
        return {
            "left": tf.abs(self.convolved(image)),
            "right": tf.abs(self.convolved(image)),
            "all": self.nested(image),
        }


@tf.custom_gradient
def softened(x: Any) -> Any:
    """log(1 + exp(x)), with a gradient that holds a value of the forward pass."""
    power = tf.exp(x)

    def gradient(upstream: Any) -> Any:
        return upstream * (3.0 - 1.0 / (1.0 + power))

    return tf.math.log1p(power), gradient


class Softened(tf.Module):
    """A custom gradient whose held value is a duplicate of another one."""

    def __init__(self) -> None:
        super().__init__(name="softened")
        self.weight = tf.Variable(normal(4, 4, seed=4), name="weight")

    @tf.function(input_signature=[NUMBERS])
    def __call__(self, numbers: Any) -> Any:
        first = tf.exp(tf.matmul(numbers, self.weight))
        hidden = tf.matmul(numbers, self.weight)
        return softened(hidden) + first + tf.exp(hidden)


def save_service(path: str) -> None:
    """Four signatures, an alias, traces for both values of `training`."""
    module = Service()
    for function in (module.features, module.nested, module.looped):
        function.get_concrete_function(IMAGE)
    module.mixed.get_concrete_function(NUMBERS)
    for training in (True, False):
        module(tf.constant(normal(1, 8, 8, 2)), training=training)
        module.__call__.get_concrete_function(IMAGE, training=training)
    signatures = {
        "serving_default": module.serve,
        "features": module.features.get_concrete_function(IMAGE),
        "lookup": module.lookup,
        "count": module.count,
    }
    options = tf.saved_model.SaveOptions(function_aliases={"the_features": module.features})
    tf.saved_model.save(module, path, signatures, options)


def save_softened(path: str) -> None:
    """With the custom gradient in the model."""
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=True)
    tf.saved_model.save(Softened(), path, options=options)


def keras_model() -> Any:
    """One tower applied twice to one input, with a layer that behaves differently in training."""
    keras.utils.set_random_seed(5)
    image = keras.Input((8, 8, 2), name="image")
    conv = keras.layers.Conv2D(4, 3, activation="relu", name="conv")
    norm = keras.layers.BatchNormalization(name="norm")
    sides = [norm(conv(image)) for _ in range(2)]
    return keras.Model(image, keras.layers.Dense(3, name="head")(keras.layers.Flatten()(keras.layers.add(sides))))


def save_keras(path: str) -> None:
    """`tf.saved_model.save` of a Keras 3 model."""
    tf.saved_model.save(keras_model(), path)


def export_keras(path: str) -> None:
    """`Model.export` of a Keras 3 model."""
    keras_model().export(path)


BUILDERS: dict[str, Callable[[str], None]] = {
    "service": save_service,
    "softened": save_softened,
    "keras-save": save_keras,
    "keras-export": export_keras,
}


@cache
def saved(name: str) -> str:
    """The folder of the model `name`, built once."""
    path = folder("saved", name)
    BUILDERS[name](path)
    return path


@cache
def optimized(name: str) -> str:
    """The folder of the optimised model `name`, made once."""
    path = folder("optimized", name)
    report = tfreuse.optimize_saved_model(saved(name), path)
    assert not report.failures
    return path
