"""Patterns of inference in straight-line code and in nested functions."""

from __future__ import annotations

import keras
import tensorflow as tf

from tools.bench.data import conv, four_ways, images, kernel, kernels, tower
from tools.bench.patterns import Variants

SCALES = (0.5, 1.5, 2.5, 3.5)


def layer_x4(batch: int) -> Variants:
    """One Keras Conv2D called four times on one input: 8 reads and 4 convolutions where 2 and 1 do."""
    x = images(batch)
    layer = keras.layers.Conv2D(64, 3, padding="same", bias_initializer="ones")
    layer.build(x.shape)

    def program(x: tf.Tensor) -> tf.Tensor:
        return tf.add_n([layer(x) * scale for scale in SCALES])

    def ideal(x: tf.Tensor) -> tf.Tensor:
        y = layer(x)
        return tf.add_n([y * scale for scale in SCALES])

    return four_ways(program, ideal, (x,))


def conv_x4(batch: int) -> Variants:
    """`tf.nn.conv2d` four times with one variable, which is read four times."""
    weights = kernel(32, 64, seed=0)

    def program(x: tf.Tensor) -> tf.Tensor:
        return tf.add_n([conv(x, weights) * scale for scale in SCALES])

    def ideal(x: tf.Tensor) -> tf.Tensor:
        y = conv(x, weights)
        return tf.add_n([y * scale for scale in SCALES])

    return four_ways(program, ideal, (images(batch),))


def tower_x2(batch: int) -> Variants:
    """A tower of five convolutions behind two heads, applied once for each."""
    weights = kernels(5)

    def program(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.reduce_mean(tower(x, weights), [1, 2]), tf.reduce_max(tower(x, weights), [1, 2])

    def ideal(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        y = tower(x, weights)
        return tf.reduce_mean(y, [1, 2]), tf.reduce_max(y, [1, 2])

    return four_ways(program, ideal, (images(batch),))


def commuted(batch: int) -> Variants:
    """`a + b` and `b + a`, each into an equal convolution: the same work once addition is seen to commute."""
    weights = kernel(32, 64, seed=0)

    def program(a: tf.Tensor, b: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.nn.relu(conv(a + b, weights)), tf.nn.tanh(conv(b + a, weights))

    def ideal(a: tf.Tensor, b: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        y = conv(a + b, weights)
        return tf.nn.relu(y), tf.nn.tanh(y)

    return four_ways(program, ideal, (images(batch, seed=1), images(batch, seed=2)))


def nested_calls(batch: int) -> Variants:
    """A backbone behind two heads, each head and the backbone a `tf.function` of its own."""
    weights = kernels(3)

    @tf.function
    def backbone(x: tf.Tensor) -> tf.Tensor:
        return tower(x, weights)

    @tf.function
    def mean_head(x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(backbone(x), [1, 2])

    @tf.function
    def max_head(x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_max(backbone(x), [1, 2])

    def program(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return mean_head(x), max_head(x)

    def ideal(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        y = tower(x, weights)
        return tf.reduce_mean(y, [1, 2]), tf.reduce_max(y, [1, 2])

    return four_ways(program, ideal, (images(batch),))


def resnet50_nothing(batch: int) -> Variants:
    """ResNet50 once: nothing to share, so all of plain, tfreuse and ideal must take the same time."""
    model = keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3))

    def program(x: tf.Tensor) -> tf.Tensor:
        return model(x, training=False)

    return four_ways(program, program, (images(batch, channels=3),))
